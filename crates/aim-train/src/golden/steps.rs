//! Running the steps of a training case.

use std::collections::BTreeMap;

use aim_core::{Batch, Clock, Grads, Method, Net, Optim, Params, Report, Result, State, Stateful, Step};
use aim_fusion::{LateFusion, ModelConfig};
use aim_optim::OptimConfig;
use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};

use super::case::Case;

/// An optimizer that remembers the gradients it was given.
struct Recorder {
    inner: Box<dyn Optim>,
    seen: Vec<Grads>,
}

impl Optim for Recorder {
    fn apply(&mut self, params: &Params, grads: &Grads) -> Result<()> {
        self.seen.push(grads.clone());
        self.inner.apply(params, grads)
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

/// Every quantity that the case's steps give, under the names of the expected file.
pub(super) fn run(case: &Case) -> Result<BTreeMap<String, Tensor>> {
    let net = network(case)?;
    let mut method = method(case, &net)?;
    let mut opt = Recorder { inner: optimizer(case)?, seen: Vec::new() };
    let mut got = BTreeMap::new();
    for t in 0..case.spec.steps {
        let batch = batch(case, &net, t)?;
        opt.seen.clear();
        let clock =
            Clock { epoch: case.spec.epoch, epochs: case.spec.epoch + 1, step: t, steps_per_epoch: case.spec.steps };
        let report = method.step(&mut Step { net: &net, opt: &mut opt, batch: &batch, clock, seed: 0, trace: true })?;
        collect(&mut got, t, &report, &opt.seen);
        for (name, value) in net.params().snapshot()? {
            got.insert(format!("param{}.{name}", t + 1), value);
        }
    }
    Ok(got)
}

fn collect(got: &mut BTreeMap<String, Tensor>, t: usize, report: &Report, seen: &[Grads]) {
    let prefix = if t == 0 { String::new() } else { format!("step{}.", t + 1) };
    got.extend(report.iter().map(|(k, v)| (format!("{prefix}{k}"), v.clone())));
    if let (0, Some(grads)) = (t, seen.first()) {
        got.extend(grads.iter().map(|(k, g)| (format!("grad.{k}"), g.clone())));
    }
}

fn network(case: &Case) -> Result<LateFusion> {
    let model = case.spec.model.as_ref().ok_or_else(|| case.invalid("has no model"))?;
    let mut encoders = serde_json::Map::new();
    let mut shapes = Vec::new();
    for name in &model.modalities {
        let encoder = model.encoders.get(name).ok_or_else(|| case.invalid(format!("no encoder `{name}`")))?;
        let keep = |k: &str| encoder.get(k).map(|v| (k.to_owned(), v.clone()));
        let mut config: serde_json::Map<String, Value> =
            ["widths", "base_width"].into_iter().filter_map(keep).collect();
        config.insert("name".into(), encoder.get("type").cloned().unwrap_or_default());
        encoders.insert(name.clone(), Value::Object(config));
        let suffix = if case.spec.steps > 1 { ".1" } else { "" };
        shapes.push((name.clone(), case.batch(&format!("x.{name}{suffix}"))?.dims()[1..].to_vec()));
    }
    let config = json!({ "encoders": encoders, "fusion": model.fusion, "uni_heads": model.uni_heads });
    let config: ModelConfig = serde_json::from_value(config).map_err(|e| case.invalid(format!("model: {e}")))?;
    let net = LateFusion::new(&config, &shapes, model.classes, 0, &Device::Cpu)?;
    net.params().load(&case.init)?;
    Ok(net)
}

fn optimizer(case: &Case) -> Result<Box<dyn Optim>> {
    let mut config = case.spec.optimizer.clone().ok_or_else(|| case.invalid("has no optimizer"))?;
    let name = config.remove("type").ok_or_else(|| case.invalid("optimizer has no type"))?;
    config.insert("name".into(), name);
    let config: OptimConfig =
        serde_json::from_value(json!(config)).map_err(|e| case.invalid(format!("optimizer: {e}")))?;
    config.check("optimizer")?;
    Ok(config.build())
}

/// The method's config section; what the case supplies from outside is no setting.
fn method(case: &Case, net: &LateFusion) -> Result<Box<dyn Method>> {
    let mut section: serde_json::Map<String, Value> = case.spec.hyper.clone().into_iter().collect();
    section.remove("quality");
    section.insert("name".into(), json!(case.spec.method));
    let section = serde_yaml::to_value(Value::Object(section)).map_err(|e| case.invalid(e.to_string()))?;
    aim_balance::build(&section, net.spec())
}

/// The batch of step `t`: inputs, labels, and everything else as supplied draws.
fn batch(case: &Case, net: &LateFusion, t: usize) -> Result<Batch> {
    let suffix = if case.spec.steps > 1 { format!(".{}", t + 1) } else { String::new() };
    let input = |m: &String| Ok(case.batch(&format!("x.{m}{suffix}"))?.clone());
    let inputs = net.spec().modalities.iter().map(input).collect::<Result<_>>()?;
    let labels = case.batch(&format!("y{suffix}"))?.to_dtype(DType::U32)?;
    let mut batch = Batch::new(inputs, labels)?;
    let given = |(k, v): (&String, &Tensor)| Some((k.strip_suffix(suffix.as_str())?.to_owned(), v.clone()));
    batch.given = case.batch.iter().filter_map(given).collect();
    Ok(batch)
}
