//! Running the steps of a training case.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use aim_backbones::Encoders;
use aim_balance::MethodSpec;
use aim_core::{Batch, CLASSIFIERS, Grads, Method, Net, NetSpec, Optim, Params, Report, Result, State, Stateful};
use aim_fusion::{LateFusion, ModelConfig};
use candle_core::{DType, Tensor};
use serde_json::{Value, json};

use aim_train::Learner;

use crate::{
    case::{Case, Model},
    translate::{Translated, translate},
};

/// An optimizer that tells of its updates.
struct Recorder {
    inner: Box<dyn Optim>,
    seen: Rc<RefCell<Vec<Update>>>,
}

/// The gradients of an update and the parameters after it.
struct Update {
    grads: Grads,
    after: BTreeMap<String, Tensor>,
}

impl Optim for Recorder {
    fn apply(&mut self, params: &Params, grads: &Grads) -> Result<()> {
        self.inner.apply(params, grads)?;
        self.seen.borrow_mut().push(Update { grads: grads.clone(), after: params.snapshot()? });
        Ok(())
    }
    fn lr(&self) -> f64 {
        self.inner.lr()
    }
    fn set_lr(&mut self, lr: f64) {
        self.inner.set_lr(lr);
    }
}

impl Stateful for Recorder {
    fn state(&self) -> Result<State> {
        self.inner.state()
    }
    fn load(&mut self, state: &State) -> Result<()> {
        self.inner.load(state)
    }
}

/// Every quantity that the case's steps give, under the names of the expected file, and what the case says that was not
/// used.
pub(crate) fn run(case: &Case, encoders: &Encoders) -> Result<(BTreeMap<String, Tensor>, Vec<String>)> {
    let net = network(case, encoders)?;
    let translated = translate(case)?;
    let method = method(&net, &translated)?;
    let seen = Rc::default();
    let opt = Recorder { inner: optimizer(case)?, seen: Rc::clone(&seen) };
    let mut learner = Learner::new(Box::new(net), method, Box::new(opt), 0, 0).tracing();
    let mut got = BTreeMap::new();
    for t in 0..case.spec.steps {
        let batch = batch(case, learner.net().spec(), t, &translated.given)?;
        let report = learner.step(&batch, translated.clock(case, t))?;
        collect(&mut got, t, &report, &seen.take());
        for (name, value) in learner.net().params().snapshot()? {
            got.insert(format!("param{}.{name}", t + 1), value);
        }
        for (name, value) in learner.method().state()?.0 {
            let (kind, rest) = name.split_at(name.find('.').unwrap_or(name.len()));
            got.insert(format!("{kind}{}{rest}", t + 1), value.copy()?);
        }
    }
    // The sizes of AUG's heads are used.
    let used = |key: &&String| case.spec.method == "aug" && ["hidden", "classifiers"].contains(&key.as_str());
    let others = case.spec.model.iter().flat_map(|m| m.others.keys()).filter(|key| !used(key));
    let others = others.map(|key| format!("model.{key}"));
    Ok((got, translated.unused.into_iter().chain(others).collect()))
}

/// A report's key as cases write it: there, units of an encoder are named below `encoders`.
fn reference(key: &str) -> String {
    key.replacen("units.encoders.", "units.", 1)
}

/// Files a step's report and gradients. In the first step the updates are also filed one by one, for methods with
/// several.
fn collect(got: &mut BTreeMap<String, Tensor>, t: usize, report: &Report, seen: &[Update]) {
    let prefix = if t == 0 { String::new() } else { format!("step{}.", t + 1) };
    got.extend(report.iter().map(|(k, v)| (format!("{prefix}{}", reference(k)), v.clone())));
    if t > 0 {
        return;
    }
    if let Some(first) = seen.first() {
        got.extend(first.grads.iter().map(|(k, g)| (format!("grad.{k}"), g.clone())));
    }
    for (i, update) in (1..).zip(seen) {
        got.extend(update.grads.iter().map(|(k, g)| (format!("substep{i}.grad.{k}"), g.clone())));
        got.extend(update.after.iter().map(|(k, v)| (format!("substep{i}.param.{k}"), v.clone())));
    }
}

fn network(case: &Case, known: &Encoders) -> Result<LateFusion> {
    let model = case.spec.model.as_ref().ok_or_else(|| case.invalid("has no model"))?;
    let (mut encoders, mut shapes) = (Vec::new(), Vec::new());
    for name in &model.modalities {
        let encoder = model.encoders.get(name).ok_or_else(|| case.invalid(format!("no encoder `{name}`")))?;
        // Sizes and frames of the input are those of the batch.
        let told = |k: &String| !["type", "in", "in_channels", "frames"].contains(&k.as_str());
        let own = encoder.iter().filter(|(k, _)| told(k)).map(|(k, v)| (k.clone(), v.clone()));
        let mut section: serde_json::Map<String, Value> = own.collect();
        section.insert("name".into(), encoder.get("type").cloned().unwrap_or_default());
        let section = Value::Object(section);
        encoders.push((name.clone(), known.read(&section, &format!("model.encoders.{name}"))?));
        let suffix = if case.spec.steps > 1 { ".1" } else { "" };
        shapes.push((name.clone(), case.batch(&format!("x.{name}{suffix}"))?.dims()[1..].to_vec()));
    }
    let feature_norm = case.init.keys().any(|k| k.starts_with("norm."));
    let fusion = aim_fusion::builtin().read(&fusion(case, model)?, "model.fusion")?;
    let uni_heads = model.uni_heads.unwrap_or(false);
    let config = ModelConfig { uni_heads, feature_norm, ..ModelConfig::new(encoders, fusion) };
    let net = LateFusion::new(&config, &shapes, model.classes, 0, &case.device)?;
    let ours = net.params().tensors();
    let extra = |k: &String| case.spec.extra_init.iter().any(|e| k == e || k.starts_with(&format!("{e}.")));
    if let Some(name) = case.init.keys().find(|k| !ours.contains_key(*k) && !extra(k)) {
        return Err(case.invalid(format!("`{name}` of init.safetensors is neither a parameter nor in extra_init")));
    }
    net.params().load(&start(case, &net)?)?;
    Ok(net)
}

/// The weights that a case starts from. What no step of it reaches keeps its own: classifiers that AUG does not count,
/// and the head of DI-MML's second stage.
fn start(case: &Case, net: &LateFusion) -> Result<BTreeMap<String, Tensor>> {
    let mut values = case.init.clone();
    if case.spec.method == "aug" {
        let counts = classifiers(case)?.into_iter().map(|count| count as u32).collect::<Vec<_>>();
        values.insert(CLASSIFIERS.into(), Tensor::new(counts, &case.device)?);
    }
    if ["aug", "di-mml"].contains(&case.spec.method.as_str()) {
        for (name, own) in net.params().snapshot()? {
            values.entry(name).or_insert(own);
        }
    }
    Ok(values)
}

/// How many classifiers each modality of a case has.
fn classifiers(case: &Case) -> Result<Vec<usize>> {
    let model = case.spec.model.as_ref().ok_or_else(|| case.invalid("has no model"))?;
    let of = |name: &String| model.others.get("classifiers")?.get(name)?.as_u64().map(|count| count as usize);
    let all = model.modalities.iter().map(of).collect::<Option<Vec<_>>>();
    all.ok_or_else(|| case.invalid("model.classifiers has no number for each modality"))
}

/// The fusion; a case says `none` where its method has heads of its own, whose widths are those of the weights.
fn fusion(case: &Case, model: &Model) -> Result<Value> {
    let rows = |name: &str| -> Result<usize> {
        let weight = case.init.get(name).ok_or_else(|| case.invalid(format!("no parameter `{name}`")))?;
        Ok(weight.dim(0)?)
    };
    Ok(match (model.fusion.as_str(), case.spec.method.as_str()) {
        ("none", "igm") => {
            let head = format!("igm_head.{}", model.modalities[0]);
            json!({ "deep": { "hidden": [rows(&format!("{head}.0.weight"))?, rows(&format!("{head}.1.weight"))?] } })
        }
        ("none", "reconboost") => json!({ "boosted": { "hidden": rows("head.0.weight")? } }),
        ("none", "aug") => {
            let most = classifiers(case)?.into_iter().max();
            json!({ "growing": { "hidden": rows(&format!("aug_head.{}.0.weight", model.modalities[0]))?, "most": most } })
        }
        ("shared", "di-mml") => json!("detached"),
        ("gated", _) => json!({ "gated-to": { "width": rows(&format!("gate.{}.weight", model.modalities[0]))? } }),
        (name, _) => json!(name),
    })
}

fn optimizer(case: &Case) -> Result<Box<dyn Optim>> {
    let mut config = case.spec.optimizer.clone().ok_or_else(|| case.invalid("has no optimizer"))?;
    let name = config.remove("type").ok_or_else(|| case.invalid("optimizer has no type"))?;
    config.insert("name".into(), name);
    Ok(aim_optim::builtin_optimizers().read(&json!(config), "optimizer")?.build())
}

/// A batch of one modality, as a loader would give it.
fn keep(batch: &mut Batch, kept: usize, case: &Case) -> Result<()> {
    let modalities = batch.inputs.len();
    let row: Vec<f32> = (0..modalities).map(|m| f32::from(u8::from(m == kept))).collect();
    let rows = Tensor::new(row.repeat(batch.len()), batch.labels.device())?;
    batch.present = Some(rows.reshape((batch.len(), modalities))?);
    // Where the case does not say, it is the method's default.
    if case.spec.hyper.get("absent").is_none_or(|absent| absent == "skip") {
        batch.resting = (0..modalities).filter(|m| *m != kept).collect();
    }
    Ok(())
}

/// The method that the case describes, in the state that it starts from.
fn method(net: &LateFusion, translated: &Translated) -> Result<Box<dyn Method>> {
    let spec = MethodSpec::read(aim_balance::builtin(), &translated.section)?;
    let mut method = spec.build(net.spec())?;
    let mut state = method.state()?;
    state.0.extend(translated.state.0.clone());
    method.load(&state)?;
    Ok(method)
}

/// The batch of step `t`: inputs, labels, and everything else as supplied draws.
fn batch(case: &Case, spec: &NetSpec, t: usize, given: &[(String, Tensor)]) -> Result<Batch> {
    let suffix = if case.spec.steps > 1 { format!(".{}", t + 1) } else { String::new() };
    let input = |m: &String| Ok(case.batch(&format!("x.{m}{suffix}"))?.clone());
    let inputs = spec.modalities.iter().map(input).collect::<Result<_>>()?;
    let labels = case.batch(&format!("y{suffix}"))?.to_dtype(DType::U32)?;
    let mut batch = Batch::new(inputs, labels)?;
    if let Some(ids) = case.batch.get(&format!("index{suffix}")) {
        batch.ids = ids.to_vec1::<i64>()?.into_iter().map(|i| i as usize).collect();
    }
    if let Some(kept) = case.batch.get(&format!("modality{suffix}")) {
        keep(&mut batch, kept.to_dtype(DType::U32)?.to_scalar::<u32>()? as usize, case)?;
    }
    let of_step = |(k, v): (&String, &Tensor)| Some((k.strip_suffix(suffix.as_str())?.to_owned(), v.clone()));
    batch.given = case.batch.iter().filter_map(of_step).chain(given.iter().cloned()).collect();
    Ok(batch)
}
