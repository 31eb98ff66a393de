//! Training by hand: steps without folders, schedules and probes, so that a test can stop, save and go on anywhere.

use std::path::Path;

use aim_core::{Batch, Clock, EpochStart, Extra, Method, Net, Optim, Prepared, Result, Samples, Split, State, Step};
use aim_data::{Dataset, Loader};
use aim_fusion::LateFusion;
use aim_train::{
    config::RunConfig,
    experiment::{restrict, store},
    metrics,
    run::{Checkpoint, network},
};
use candle_core::Device;

/// A run of one method that is driven step by step.
pub struct Course<'a> {
    config: &'a RunConfig,
    data: Dataset,
    prepared: Prepared,
    seed: u64,
    net: LateFusion,
    method: Box<dyn Method>,
    opt: Box<dyn Optim>,
    at: Position,
}

/// Where a course stands.
#[derive(Clone, Debug, Default)]
pub struct Position {
    /// Steps done.
    step: usize,
    /// Batches done of the current epoch; 0 before its work.
    batch: usize,
    epoch: usize,
    /// What the current epoch shows beside every sample once.
    extra: Vec<Extra>,
}

impl<'a> Course<'a> {
    /// A fresh network, method and optimizer.
    ///
    /// # Errors
    /// If the configuration does not fit the data.
    pub fn new(config: &'a RunConfig, data: &Dataset, seed: u64) -> Result<Self> {
        let prepared = prepare(config, data, seed)?;
        let data = restrict(config, data)?;
        let net = network(config, &data, seed, &Device::Cpu)?;
        let method = aim_balance::build(&config.method, net.spec())?;
        Ok(Self { opt: config.optimizer.build(), config, data, prepared, seed, net, method, at: Position::default() })
    }

    /// Goes on from what [`save`](Self::save) and [`position`](Self::position) gave.
    ///
    /// # Errors
    /// If the state does not fit.
    pub fn resumed(config: &'a RunConfig, data: &Dataset, seed: u64, saved: &[u8], at: Position) -> Result<Self> {
        let state = Checkpoint::from_bytes(Path::new("saved"), saved)?.state;
        let mut course = Self { at, ..Self::new(config, data, seed)? };
        course.net.params().load(&state.part("net").0)?;
        course.opt.load(&state.part("optimizer"))?;
        course.method.load(&state.part("method"))?;
        Ok(course)
    }

    /// Where it stands.
    pub fn position(&self) -> Position {
        self.at.clone()
    }

    /// Trains until `end` steps or all epochs are done.
    ///
    /// # Errors
    /// Those of the method.
    pub fn train(&mut self, end: usize) -> Result<()> {
        while self.at.step < end && self.at.epoch < self.config.train.epochs {
            if self.at.batch == 0 {
                self.at.extra = self.before_epoch()?;
            }
            let loader = Loader::new(&self.data.train, self.config.train.batch, &Device::Cpu);
            let batches = loader.epoch_with(self.seed, self.at.epoch, self.at.extra.clone());
            let (per_epoch, seed) = (batches.len(), self.seed);
            let (net, opt) = (&self.net as &dyn Net, self.opt.as_mut());
            for batch in batches.skip(self.at.batch).take(end - self.at.step) {
                let clock = clock(self.config, &self.at, per_epoch);
                self.method.step(&mut Step { net, opt: &mut *opt, batch: &batch?, clock, seed, trace: false })?;
                (self.at.step, self.at.batch) = (self.at.step + 1, self.at.batch + 1);
            }
            if self.at.batch == per_epoch {
                (self.at.epoch, self.at.batch) = (self.at.epoch + 1, 0);
            }
        }
        Ok(())
    }

    /// The method's work before the current epoch.
    fn before_epoch(&mut self) -> Result<Vec<Extra>> {
        let loader = Loader::new(&self.data.train, self.config.train.batch, &Device::Cpu);
        let mut start = EpochStart {
            net: &self.net,
            opt: self.opt.as_mut(),
            samples: &Whole { data: &self.data, batch: self.config.train.batch },
            prepared: &self.prepared,
            clock: clock(self.config, &self.at, loader.batches()),
            seed: self.seed,
            extra: vec![],
        };
        self.method.before_epoch(&mut start)?;
        Ok(start.extra)
    }

    /// The work before the first epoch and one step on a batch of the caller's.
    ///
    /// # Errors
    /// Those of the method.
    pub fn step(&mut self, batch: &Batch) -> Result<()> {
        self.before_epoch()?;
        let clock = clock(self.config, &self.at, 1);
        let (net, opt, seed) = (&self.net, self.opt.as_mut(), self.seed);
        self.method.step(&mut Step { net, opt, batch, clock, seed, trace: false }).map(drop)
    }

    /// The method's fused answers.
    ///
    /// # Errors
    /// Those of the method.
    pub fn answers(&self, batch: &Batch) -> Result<Vec<Vec<f32>>> {
        Ok(self.method.infer(&self.net, batch)?.logits.to_vec2()?)
    }

    /// Trains through the whole run.
    ///
    /// # Errors
    /// Those of the method.
    pub fn finish(&mut self) -> Result<()> {
        self.train(usize::MAX)
    }

    /// Mean loss of the method's answers on the training split.
    ///
    /// # Errors
    /// Those of the method, and answers that are not finite.
    pub fn loss(&self) -> Result<f64> {
        let answers = metrics::evaluate(&self.net, self.method.as_ref(), &self.data.train, &Device::Cpu)?;
        Ok(answers.scores(&self.net.spec().modalities, self.data.classes())?.loss)
    }

    /// Weights and buffers.
    ///
    /// # Errors
    /// If a tensor cannot be read.
    pub fn weights(&self) -> Result<Vec<u8>> {
        bytes(State(self.net.params().tensors()))
    }

    /// Everything that a restart needs.
    ///
    /// # Errors
    /// If a tensor cannot be read.
    pub fn save(&self) -> Result<Vec<u8>> {
        let mut state = State::default();
        state.nest("net", State(self.net.params().tensors()));
        state.nest("method", self.method.state()?);
        state.nest("optimizer", self.opt.state()?);
        bytes(state)
    }
}

fn clock(config: &RunConfig, at: &Position, steps_per_epoch: usize) -> Clock {
    Clock { epoch: at.epoch, epochs: config.train.epochs, step: at.step, batch: at.batch, steps_per_epoch }
}

/// Trains what the method needs before its run.
fn prepare(config: &RunConfig, data: &Dataset, seed: u64) -> Result<Prepared> {
    let mut prepared = Prepared::default();
    for which in aim_balance::preparations(&config.method, &config.modalities())? {
        let config = config.preparation(&which);
        let mut course = Course::new(&config, data, seed)?;
        course.finish()?;
        let weights = course.net.params().snapshot()?.into_iter().map(|(k, t)| (k.into(), t)).collect();
        store(&mut prepared, &which, weights)?;
    }
    Ok(prepared)
}

fn bytes(state: State) -> Result<Vec<u8>> {
    Checkpoint { log: Vec::new(), best: None, state }.to_bytes()
}

/// Whole splits for the work between epochs.
struct Whole<'a> {
    data: &'a Dataset,
    batch: usize,
}

impl Whole<'_> {
    fn loader(&self, split: Split) -> Loader<'_> {
        let subset = match split {
            Split::Train => &self.data.train,
            Split::Validation => &self.data.validation,
        };
        Loader::new(subset, self.batch, &Device::Cpu)
    }
}

impl Samples for Whole<'_> {
    fn each(&self, split: Split, visit: &mut dyn FnMut(&Batch) -> Result<()>) -> Result<()> {
        self.loader(split).in_order().try_for_each(|batch| visit(&batch?))
    }
    fn shuffled(&self, split: Split, seed: u64, visit: &mut dyn FnMut(&Batch) -> Result<()>) -> Result<()> {
        self.loader(split).epoch(seed, 0).try_for_each(|batch| visit(&batch?))
    }
}
