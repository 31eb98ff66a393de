//! A network and a batch that are small enough to compute by hand with, and single steps on them.

use std::sync::Arc;

use aim_balance::MethodSpec;
use aim_config::yaml::parse;
use aim_core::{Batch, Clock, Grads, Method, Net, Optim, Output, Params, Pass, Report, Result, Rng, Stateless, Step};
use aim_data::{Dataset, Source, Subset};
use aim_fusion::LateFusion;
use aim_ops::{Reduction, cross_entropy};
use aim_train::{config::RunConfig, standard};
use candle_core::{Device, Tensor};

use crate::{CLASSES, MODALITIES};

/// One batch.
pub struct One(pub Batch);

/// Splits of one batch.
///
/// # Panics
/// If the batch has no labels.
pub fn data(One(batch): &One) -> Dataset {
    let ids = (0..batch.len()).map(|i| i.to_string()).collect();
    let split = Subset::of(batch.inputs.clone(), batch.labels.to_vec1().unwrap(), ids).unwrap();
    let train: Arc<dyn Source> = Arc::new(split);
    Dataset {
        name: "one".into(),
        modalities: MODALITIES[..batch.inputs.len()].iter().map(ToString::to_string).collect(),
        class_names: (0..CLASSES).map(|c| c.to_string()).collect(),
        validation: train.clone(),
        test: train.clone(),
        train,
    }
}

/// A network of three small MLPs, with these sections of the model beside the encoders, and a batch for it.
///
/// # Panics
/// If the sections are wrong.
pub fn small(sections: &str) -> (LateFusion, One) {
    let encoder = |name: &&str| format!("{name}: {{name: mlp, widths: [4]}}");
    let encoders = MODALITIES.iter().map(encoder).collect::<Vec<_>>().join(", ");
    let section = serde_yaml::from_str(&format!("{{encoders: {{{encoders}}}, {sections}}}")).unwrap();
    let model = RunConfig::read_model(section, standard()).unwrap();
    let shapes = MODALITIES.map(|name| (name.to_owned(), vec![3]));
    // With most other seeds no modality adds anything to chance, and all Shapley shares are equal.
    let net = LateFusion::new(&model, &shapes, CLASSES, 1, &Device::Cpu).unwrap();
    let mut rng = Rng::keyed(0, "batch");
    let inputs = MODALITIES.map(|_| rng.normal_tensor(&[40, 3], 1., &Device::Cpu).unwrap()).to_vec();
    let labels: Vec<u32> = (0..40).map(|i| i % 3).collect();
    (net, One(Batch::new(inputs, Tensor::new(labels, &Device::Cpu).unwrap()).unwrap()))
}

/// Leaves parameters alone, at a learning rate.
pub struct Still(pub f64);

impl Stateless for Still {}

impl Optim for Still {
    fn apply(&mut self, _: &Params, _: &Grads) -> Result<()> {
        Ok(())
    }
    fn lr(&self) -> f64 {
        self.0
    }
    fn set_lr(&mut self, _: f64) {}
}

/// Descends at this rate and keeps the last gradient.
pub struct Descent(pub f64, pub Grads);

impl Stateless for Descent {}

impl Optim for Descent {
    fn apply(&mut self, params: &Params, grads: &Grads) -> Result<()> {
        self.1 = grads.clone();
        for (name, grad) in grads.iter() {
            let var = &params.get(name).unwrap().var;
            var.set(&(var.as_tensor() - (grad * self.0)?)?)?;
        }
        Ok(())
    }
    fn lr(&self) -> f64 {
        self.0
    }
    fn set_lr(&mut self, _: f64) {}
}

/// The clock of a run of many epochs of one step.
pub fn at(epoch: usize) -> Clock {
    Clock { epoch, epochs: 9, step: epoch, batch: 0, steps_per_epoch: 1 }
}

/// A step of this epoch with an optimizer.
///
/// # Panics
/// If something does not fit.
pub fn step(method: &mut dyn Method, net: &LateFusion, One(batch): &One, epoch: usize, opt: &mut dyn Optim) -> Report {
    method.step(&mut Step { net, opt, batch, clock: at(epoch), seed: 0, trace: false }).unwrap()
}

/// A number of a report.
///
/// # Panics
/// If something does not fit.
pub fn scalar(report: &Report, name: &str) -> f64 {
    report.values(name).unwrap().unwrap_or_else(|| panic!("no `{name}` is reported"))[0]
}

/// A method section.
///
/// # Panics
/// If it is wrong.
pub fn spec(section: &str) -> MethodSpec {
    MethodSpec::read(aim_balance::builtin(), &parse(section).unwrap()).unwrap()
}

/// The method of a section for a network.
///
/// # Panics
/// If something does not fit.
pub fn method(section: &str, net: &LateFusion) -> Box<dyn Method> {
    spec(section).build(net.spec()).unwrap()
}

/// The gradient that a method descends in a step of this epoch in which nothing moves.
///
/// # Panics
/// If something does not fit.
pub fn gradient(section: &str, net: &LateFusion, samples: &One, epoch: usize) -> (Grads, Report) {
    let mut opt = Descent(0., Grads::default());
    let report = step(method(section, net).as_mut(), net, samples, epoch, &mut opt);
    (opt.1, report)
}

/// The entries of a gradient.
///
/// # Panics
/// If something does not fit.
pub fn flat(grads: &Grads) -> Vec<(String, Vec<f32>)> {
    grads.iter().map(|(k, g)| (k.to_string(), g.flatten_all().unwrap().to_vec1().unwrap())).collect()
}

/// Panics where two gradients have other names, or values that differ by more than rounding.
pub fn assert_close(a: &Grads, b: &Grads) {
    let (a, b) = (flat(a), flat(b));
    assert_eq!(a.iter().map(|(k, _)| k).collect::<Vec<_>>(), b.iter().map(|(k, _)| k).collect::<Vec<_>>());
    for ((name, a), (_, b)) in a.iter().zip(&b) {
        assert!(a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5), "{name}: {a:?}, not {b:?}");
    }
}

/// Everything as the network itself answers in evaluation.
///
/// # Panics
/// If something does not fit.
pub fn answers(net: &LateFusion, One(batch): &One) -> Output {
    (net as &dyn Net).forward(batch, &mut Pass::eval()).unwrap()
}

/// Mean cross-entropy of these logits.
///
/// # Panics
/// If something does not fit.
pub fn mean_loss(logits: &Tensor, One(batch): &One) -> Tensor {
    cross_entropy(logits, &batch.labels, 0., Reduction::Mean).unwrap()
}

/// A scalar.
///
/// # Panics
/// If something does not fit.
pub fn number(t: &Tensor) -> f64 {
    f64::from(t.to_scalar::<f32>().unwrap())
}
