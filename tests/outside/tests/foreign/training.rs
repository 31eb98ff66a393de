//! Networks of two modalities, their data, and training of them by a method.

use std::{collections::BTreeMap, ops::ControlFlow, sync::Arc};

use aim_backbones::{Build, LowRank};
use aim_balance::{MethodSpec, joint::Unimodal};
use aim_core::{Batch, Net, Preparation, Prepared, Rng, View, capability};
use aim_data::{Dataset, Loader, Source, Splits, Subset};
use aim_fusion::{Branch, Concat, LateFusion, NetParts};
use aim_optim::{Adam, OptimizerSettings};
use aim_train::{Learner, experiment::store};
use candle_core::{DType, Device, Tensor};

use crate::networks::{Modality, Place};

const CLASSES: usize = 3;
const BATCH: usize = 8;
const EPOCHS: usize = 2;
/// Number of steps of a training: 3 an epoch.
pub const STEPS: usize = EPOCHS * 24 / BATCH;

/// 24 samples a split of these modalities.
pub fn data(modalities: &[Modality]) -> Dataset {
    let split = |split: &str| -> Arc<dyn Source> {
        let labels: Vec<u32> = (0..24).map(|i| i % CLASSES as u32).collect();
        let input = |m: &Modality| (m.samples)(&labels, Rng::keyed(0, &format!("{split}.{}", m.name))).unwrap();
        let ids = (0..24).map(|i| format!("{split}.{i}")).collect();
        Arc::new(Subset::of(modalities.iter().map(input).collect(), labels.clone(), ids).unwrap())
    };
    Dataset {
        name: "foreign".into(),
        modalities: modalities.iter().map(|m| m.name.into()).collect(),
        class_names: (0..CLASSES).map(|c| c.to_string()).collect(),
        train: split("train"),
        validation: split("validation"),
        test: split("test"),
    }
}

/// The first samples.
pub fn batch(data: &Dataset) -> Batch {
    Loader::new(&*data.train, BATCH, &Device::Cpu).in_order().next().unwrap().unwrap()
}

/// A network of these modalities under one head, with what a method asks for.
pub fn network(modalities: &[Modality], method: &MethodSpec, seed: u64) -> LateFusion {
    let wants = |capability| method.methods().iter().any(|one| one.info().requires.wants(capability));
    let low_rank = wants(capability::ADAPTERS).then(|| LowRank::of(2));
    let encoder = |build: &mut Build, (modality, m): (usize, &Modality)| {
        (m.encoder)(Place { build, modality, name: m.name, low_rank: low_rank.clone() })
    };
    let mut build = Build::new(seed, &Device::Cpu);
    let encoders: Vec<Branch> = modalities.iter().enumerate().map(|m| encoder(&mut build, m).unwrap()).collect();
    let widths: Vec<usize> = encoders.iter().map(|branch| branch.encoder.width()).collect();
    let fusion = Box::new(Concat::new(&mut build, &widths, CLASSES).unwrap());
    let uni_heads = wants(capability::UNI_HEADS);
    LateFusion::from_parts(NetParts { build, encoders, fusion, uni_heads, classes: CLASSES }).unwrap()
}

/// Two modalities in training by a method.
pub struct Course<'a> {
    modalities: &'a [Modality],
    method: &'a MethodSpec,
    pub data: Dataset,
    pub prepared: Prepared,
}

impl<'a> Course<'a> {
    /// The data, and what the method needs trained before.
    pub fn new(modalities: &'a [Modality], method: &'a MethodSpec) -> Self {
        let data = data(modalities);
        let mut prepared = Prepared::default();
        for which in method.preparations(&data.modalities) {
            let of = |m: &&Modality| matches!(&which, Preparation::Alone { modality } if modality == m.name);
            store(&mut prepared, &which, alone(modalities.iter().find(of).unwrap())).unwrap();
        }
        Self { modalities, method, data, prepared }
    }

    /// A fresh network, method and optimizer, which know of no training before.
    pub fn unprepared(&self) -> Learner {
        learner(self.modalities, self.method)
    }

    /// The same with what was trained before.
    pub fn learner(&self) -> Learner {
        self.unprepared().prepared(self.prepared.clone())
    }

    /// Trains on until so many steps are done; every number that a step reports must be finite.
    pub fn train(&self, learner: &mut Learner, end: usize) {
        train(learner, &self.data, end);
    }

    /// The whole training.
    pub fn trained(&self) -> Learner {
        let mut learner = self.learner();
        self.train(&mut learner, STEPS);
        assert!(learner.is_done());
        learner
    }
}

fn learner(modalities: &[Modality], method: &MethodSpec) -> Learner {
    let net = network(modalities, method, 0);
    let (method, opt) = (method.build(net.spec()).unwrap(), Adam { lr: 0.01, ..Adam::default() }.build());
    Learner::new(Box::new(net), method, opt, 0, EPOCHS)
}

fn train(learner: &mut Learner, data: &Dataset, end: usize) {
    let observe = |clock: aim_core::Clock, report: &aim_core::Report| {
        for (name, value) in report.iter() {
            assert!(numbers(value).iter().all(|x| x.is_finite()), "step {}: {name} is {value}", clock.step);
        }
        Ok(if clock.step + 1 < end { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    };
    learner.run(&Splits::new(data, BATCH, &Device::Cpu), observe).unwrap();
}

/// Weights of a network of one modality after training, from the start that its encoder has in the run.
fn alone(modality: &Modality) -> View {
    let method = MethodSpec::of(Unimodal { modality: modality.name.into() });
    let one = std::slice::from_ref(modality);
    let mut learner = learner(one, &method);
    train(&mut learner, &data(one), STEPS);
    learner.net().params().snapshot().unwrap().into_iter().map(|(name, value)| (name.into(), value)).collect()
}

/// The entries of a tensor of any type.
pub fn numbers(t: &Tensor) -> Vec<f64> {
    t.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// Shape and bits of each tensor.
pub fn bits(tensors: &BTreeMap<String, Tensor>) -> BTreeMap<String, (Vec<usize>, Vec<u64>)> {
    let one = |t: &Tensor| (t.dims().to_vec(), numbers(t).into_iter().map(f64::to_bits).collect());
    tensors.iter().map(|(name, t)| (name.clone(), one(t))).collect()
}
