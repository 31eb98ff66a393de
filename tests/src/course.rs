//! Training by hand: steps without folders, schedules and probes, so that a test can stop, save and go on anywhere.

use std::{collections::BTreeSet, ops::ControlFlow, path::Path};

use aim_core::{Batch, Clock, Net, Prepared, Result, State, Stateful};
use aim_data::Dataset;
use aim_train::{
    Learner,
    config::RunConfig,
    experiment::{restrict, store},
    metrics,
    run::{Checkpoint, learner, splits},
    standard,
};
use candle_core::Device;

/// A run of one method that is driven step by step.
pub struct Course<'a> {
    config: &'a RunConfig,
    data: Dataset,
    learner: Learner,
}

impl<'a> Course<'a> {
    /// A fresh network, method and optimizer.
    ///
    /// # Errors
    /// If the configuration does not fit the data.
    pub fn new(config: &'a RunConfig, data: &Dataset, seed: u64) -> Result<Self> {
        let prepared = prepare(config, data, seed)?;
        let data = restrict(config, data)?;
        let learner = learner(config, &data, seed, &Device::Cpu)?.prepared(prepared);
        Ok(Self { config, data, learner })
    }

    /// Goes on from what [`save`](Self::save) gave.
    ///
    /// # Errors
    /// If the state does not fit.
    pub fn resumed(config: &'a RunConfig, data: &Dataset, seed: u64, saved: &[u8]) -> Result<Self> {
        let mut course = Self::new(config, data, seed)?;
        course.learner.load(&Checkpoint::from_bytes(Path::new("saved"), saved)?.state)?;
        Ok(course)
    }

    /// Trains until `end` steps or all epochs are done.
    ///
    /// # Errors
    /// Those of the method.
    pub fn train(&mut self, end: usize) -> Result<()> {
        if self.learner.steps() >= end {
            return Ok(());
        }
        let splits = splits(self.config, &self.data, &Device::Cpu)?;
        self.learner.run(&splits, |clock, _| {
            Ok(if clock.step + 1 < end { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })
    }

    /// The work before the first epoch and one step on a batch of the caller's.
    ///
    /// # Errors
    /// Those of the method.
    pub fn step(&mut self, batch: &Batch) -> Result<()> {
        let splits = splits(self.config, &self.data, &Device::Cpu)?;
        let epochs = self.config.train.epochs;
        let clock = Clock { epochs, steps_per_epoch: splits.training().batches(), ..Clock::default() };
        self.learner.begin(&splits, clock)?;
        self.learner.step(batch, Clock { steps_per_epoch: 1, ..clock }).map(drop)
    }

    /// The method's fused answers.
    ///
    /// # Errors
    /// Those of the method.
    pub fn answers(&self, batch: &Batch) -> Result<Vec<Vec<f32>>> {
        Ok(self.learner.method().infer(self.learner.net(), batch)?.logits.to_vec2()?)
    }

    /// Trains through the whole run.
    ///
    /// # Errors
    /// Those of the method.
    pub fn finish(&mut self) -> Result<()> {
        self.train(usize::MAX)
    }

    /// Trains through the whole run and gives the keys of all numbers and lists of numbers that its steps report.
    ///
    /// # Errors
    /// Those of the method.
    pub fn reported(&mut self) -> Result<BTreeSet<String>> {
        let splits = splits(self.config, &self.data, &Device::Cpu)?;
        let mut keys = BTreeSet::new();
        self.learner.run(&splits, |_, report| {
            keys.extend(report.iter().filter(|(_, value)| value.rank() <= 1).map(|(key, _)| key.clone()));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(keys)
    }

    /// Mean loss of the method's answers on the training split.
    ///
    /// # Errors
    /// Those of the method, and answers that are not finite.
    pub fn loss(&self) -> Result<f64> {
        let net = self.learner.net();
        let answers = metrics::evaluate(net, self.learner.method(), &*self.data.train, &Device::Cpu)?;
        Ok(answers.scores(&net.spec().modalities, self.data.classes(), &standard().metrics)?.loss())
    }

    /// Weights and buffers.
    ///
    /// # Errors
    /// If a tensor cannot be read.
    pub fn weights(&self) -> Result<Vec<u8>> {
        bytes(State(self.learner.net().params().tensors()))
    }

    /// Everything that a restart needs.
    ///
    /// # Errors
    /// If a tensor cannot be read.
    pub fn state(&self) -> Result<State> {
        self.learner.state()
    }

    /// The same as the bytes of a checkpoint.
    ///
    /// # Errors
    /// If a tensor cannot be read.
    pub fn save(&self) -> Result<Vec<u8>> {
        bytes(self.state()?)
    }

    /// The network.
    pub fn net(&self) -> &dyn Net {
        self.learner.net()
    }
}

/// Trains what the method needs before its run.
fn prepare(config: &RunConfig, data: &Dataset, seed: u64) -> Result<Prepared> {
    let mut prepared = Prepared::default();
    for which in config.method.preparations(&config.modalities()) {
        let config = config.preparation(&which);
        let mut course = Course::new(&config, data, seed)?;
        course.finish()?;
        let weights = course.learner.net().params().snapshot()?.into_iter().map(|(k, t)| (k.into(), t)).collect();
        store(&mut prepared, &which, weights)?;
    }
    Ok(prepared)
}

fn bytes(state: State) -> Result<Vec<u8>> {
    Checkpoint { log: Vec::new(), best: None, state }.to_bytes()
}
