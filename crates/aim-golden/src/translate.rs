//! What a case's `hyper` says in a method's own words: settings, the state it starts from, and where training stands.

use aim_core::{Clock, Result, State};
use candle_core::Tensor;
use serde_json::{Map, Value, json};

use crate::case::Case;

/// A case as the method sees it.
pub(crate) struct Translated {
    /// The config section.
    pub section: Value,
    /// State to start from, laid over the method's own.
    pub state: State,
    /// Draws and decisions supplied in every step.
    pub given: Vec<(String, Tensor)>,
    /// Batches of the epoch before the first step, and all of them.
    pub batches: Option<(usize, usize)>,
    /// The epoch, where it is not the case's.
    pub epoch: Option<usize>,
    /// Keys of `hyper` that are neither settings nor state.
    pub unused: Vec<String>,
}

impl Translated {
    /// Where training stands in step `t` of the case, counted from 0.
    pub fn clock(&self, case: &Case, t: usize) -> Clock {
        let epoch = self.epoch.unwrap_or(case.spec.epoch);
        let (before, steps_per_epoch) = self.batches.unwrap_or((0, case.spec.steps));
        let batch = before + t;
        Clock { epoch, epochs: epoch + 1, step: epoch * steps_per_epoch + batch, batch, steps_per_epoch }
    }
}

pub(crate) fn translate(case: &Case) -> Result<Translated> {
    let mut settings: Map<String, Value> = case.spec.hyper.clone().into_iter().collect();
    let mut out = Translated {
        section: Value::Null,
        state: State::default(),
        given: vec![],
        batches: None,
        epoch: None,
        unused: vec![],
    };
    words(case, &mut settings, &mut out)?;
    // A case may describe itself in words that are no settings; the verdict names them.
    let known = aim_balance::builtin().get(&case.spec.method, "method.name")?.settings();
    let (known, unknown) = settings.into_iter().partition(|(key, _)| known.iter().any(|s| s.name == key));
    out.unused = Map::into_iter(unknown).map(|(key, _)| format!("hyper.{key}")).collect();
    let mut settings: Map<String, Value> = known;
    settings.insert("name".into(), json!(case.spec.method));
    out.section = Value::Object(settings);
    Ok(out)
}

/// What cases say in other words than a method's settings.
fn words(case: &Case, settings: &mut Map<String, Value>, out: &mut Translated) -> Result<()> {
    match case.spec.method.as_str() {
        "opm" => {
            settings.insert("warmup".into(), json!(0));
            supply(settings, "executed", out)?;
        }
        "mslr" | "mses" => {
            for (name, history) in object(settings.remove("accuracy").or_else(|| settings.remove("val_loss"))) {
                out.state.put(format!("op0.history.{name}"), &numbers(&history))?;
            }
        }
        "aim" => first_form(settings),
        "pmr" => always(settings),
        "agm" => {
            always(settings);
            let steps = settings.remove("iteration").and_then(|v| v.as_f64()).unwrap_or(1.) - 1.;
            out.state.put("steps", &[steps])?;
            for (name, mean) in object(settings.remove("running_mean")) {
                out.state.put(format!("mean.{name}"), &numbers(&mean))?;
            }
        }
        "qmf" => {
            nest(case, "history.", "objective.history.", &mut out.state);
        }
        "inforeg" => {
            for (name, trace) in object(settings.remove("trace")) {
                out.state.put(format!("op0.trace.{name}"), &numbers(&trace))?;
            }
            nest(case, "prev.", "op0.prev.", &mut out.state);
        }
        "mla" => {
            let mut count = |key: &str| settings.remove(key).and_then(|v| v.as_u64()).map(|v| v as usize);
            out.batches = count("batch_index").zip(count("num_batches"));
        }
        "mbcd" => nest(case, "ema.", "ema.", &mut out.state),
        "lora" => adapters(case, settings)?,
        "igm" => {
            let modality = settings.remove("modality");
            settings.insert("order".into(), json!([modality]));
            nest(case, "T.", "T.", &mut out.state);
        }
        "reconboost" => alternation(case, settings, out),
        "tcmax" if settings.get("negatives").is_some_and(|n| n == "all") => drop(settings.remove("negatives")),
        "cggm" => start(settings, "accuracy", "", out)?,
        // Cases are of the first stage.
        "di-mml" => drop(settings.insert("fuse_epochs".into(), json!(0))),
        "aug" => settings.retain(|key, value| key != "merge" || !value.is_null()),
        "asgml" => {
            // Cases hold the scale over their steps: no measurement falls into them.
            settings.insert("every".into(), json!(1_000_000));
            start(settings, "scale", "op0.", out)?;
        }
        _ => {}
    }
    Ok(())
}

/// Cases leave out what was AIM's only form when they were made.
fn first_form(settings: &mut Map<String, Value>) {
    for (key, value) in [("keep", json!("adaptive")), ("saliency_every", json!(1)), ("aux_fraction", json!(1.))] {
        settings.entry(key).or_insert(value);
    }
}

/// Numbers by modality from which the method's state of that name starts.
fn start(settings: &mut Map<String, Value>, key: &str, nest: &str, out: &mut Translated) -> Result<()> {
    let mut parts = object(settings.remove(key)).into_iter();
    parts.try_for_each(|(name, value)| out.state.put(format!("{nest}{key}.{name}"), &numbers(&value)))
}

/// LoRA's rank and scale are the encoders'; its norm layers are trained by the first pass of a step (FORMAT.md).
fn adapters(case: &Case, settings: &mut Map<String, Value>) -> Result<()> {
    let mut number = |key: &str| settings.remove(key).and_then(|v| v.as_f64());
    let said = number("rank").zip(number("alpha"));
    settings.insert("statistics".into(), json!("train"));
    for encoder in case.spec.model.iter().flat_map(|m| m.encoders.values()) {
        let of = |key: &str| encoder.get("lora").and_then(|lora| lora.get(key)).and_then(Value::as_f64);
        let built = of("rank").zip(of("scale"));
        let apart = |a: f64, b: f64| (a - b).abs() > 1e-6 * a.abs();
        let differ =
            |((rank, alpha), (own, scale)): ((f64, f64), (f64, f64))| rank != own || apart(alpha, scale * rank);
        if said.zip(built).is_some_and(differ) {
            return Err(case.invalid("hyper.rank and alpha are not those of the encoders' lora"));
        }
    }
    Ok(())
}

/// The order puts the case's modality first and the previous one last; only the second round has a previous one.
fn alternation(case: &Case, settings: &mut Map<String, Value>, out: &mut Translated) {
    let [modality, previous] = ["modality", "previous"].map(|key| settings.remove(key).filter(|v| !v.is_null()));
    let phase = settings.remove("phase").and_then(|v| v.as_u64()).unwrap_or(1) as usize;
    let names = case.spec.model.as_ref().map(|m| m.modalities.clone()).unwrap_or_default();
    let ends = [&modality, &previous].map(|v| v.as_ref().and_then(Value::as_str).unwrap_or_default());
    let between = names.iter().filter(|n| !ends.contains(&n.as_str())).map(|n| json!(n));
    let order: Vec<Value> = modality.clone().into_iter().chain(between).chain(previous.clone()).collect();
    let round = if previous.is_some() { 2 * order.len() } else { 0 };
    out.epoch = Some(round + phase - 1);
    settings.insert("order".into(), json!(order));
    settings.insert("boost_epochs".into(), json!(1));
    settings.insert("correct_epochs".into(), json!(1));
}

/// Modulation in every epoch, unless the case says otherwise: it knows no default.
fn always(settings: &mut Map<String, Value>) {
    settings.entry("modulation_ends").or_insert(json!(1_000_000));
}

/// Moves a decision from the settings to what is supplied.
fn supply(settings: &mut Map<String, Value>, key: &str, out: &mut Translated) -> Result<()> {
    if let Some(value) = settings.remove(key) {
        let value = value.as_f64().unwrap_or(f64::from(u8::from(value == Value::Bool(true))));
        out.given.push((key.into(), Tensor::new(value, &candle_core::Device::Cpu)?));
    }
    Ok(())
}

fn object(value: Option<Value>) -> Map<String, Value> {
    match value {
        Some(Value::Object(map)) => map,
        _ => Map::new(),
    }
}

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(list) => list.iter().filter_map(Value::as_f64).collect(),
        one => one.as_f64().into_iter().collect(),
    }
}

/// Tensors of the init file under another prefix.
fn nest(case: &Case, prefix: &str, own: &str, state: &mut State) {
    let renamed = |(k, v): (&String, &Tensor)| Some((format!("{own}{}", k.strip_prefix(prefix)?), v.clone()));
    state.0.extend(case.init.iter().filter_map(renamed));
}
