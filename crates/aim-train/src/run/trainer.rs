//! The training loop.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use aim_core::{
    Batch, Clock, Context, EpochStart, Error, Method, Net, Optim, Prepared, Result, Samples, Split, State, Stateful,
    Step,
};
use aim_data::{Dataset, Loader};
use aim_fusion::LateFusion;
use aim_optim::Scheduler;
use candle_core::{DType, Device};

use super::{
    Best, Checkpoint, EpochLog, Folder, Outcome, checkpoint::copied, history::Means, judge, outcome::predictions,
};
use crate::{
    config::{RunConfig, Select},
    metrics::{self, Scores},
};

/// Shortest time between two checkpoints on the disk. A killed run repeats what lies between, bit for bit.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(5);

/// Sees how a run proceeds.
pub trait Watch: Sync {
    /// An epoch is done.
    fn epoch(&self, log: &EpochLog, epochs: usize, seconds: f64);
}

/// Asks all runs to stop after the current step.
#[derive(Debug, Default)]
pub struct Stop(AtomicBool);

impl Stop {
    /// Asks.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether someone has asked.
    pub fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Goes on unless someone has asked.
    ///
    /// # Errors
    /// If someone has.
    pub fn check(&self) -> Result<()> {
        if !self.asked() {
            return Ok(());
        }
        Err(Error::invalid("run", "was stopped", "start it again to go on after the last whole epoch"))
    }
}

/// Trains a run to its end, or goes on where its folder stops, and scores it. A run that is done is only read.
/// `prepared` holds what `aim_balance::preparations` lists for its method.
///
/// # Errors
/// If the configuration does not fit the data, a loss is not finite, the folder cannot be written, or `stop` was asked;
/// the checkpoint of the last whole epoch is then in the folder.
pub fn train(
    config: &RunConfig,
    seed: u64,
    data: &Dataset,
    folder: &Folder,
    device: &Device,
    prepared: &Prepared,
    (watch, stop): (&dyn Watch, &Stop),
) -> Result<Outcome> {
    if let Some(outcome) = folder.result()? {
        return Ok(outcome);
    }
    let mut trainer = Trainer::new(config, seed, data, folder, device, prepared)?;
    trainer.resume()?;
    let done = trainer.epochs(watch, stop);
    trainer.flush()?;
    done?;
    trainer.finish()
}

struct Trainer<'a> {
    config: &'a RunConfig,
    seed: u64,
    data: &'a Dataset,
    folder: &'a Folder,
    device: &'a Device,
    prepared: &'a Prepared,
    net: LateFusion,
    method: Box<dyn Method>,
    opt: Box<dyn Optim>,
    schedule: Scheduler,
    log: Vec<EpochLog>,
    seconds: Vec<f64>,
    best: Option<Checkpoint>,
    last: Option<Checkpoint>,
    written: Instant,
    /// Whether `best` and `last` are newer than the files.
    best_is_new: bool,
    last_is_new: bool,
}

impl<'a> Trainer<'a> {
    fn new(
        config: &'a RunConfig,
        seed: u64,
        data: &'a Dataset,
        folder: &'a Folder,
        device: &'a Device,
        prepared: &'a Prepared,
    ) -> Result<Self> {
        let net = network(config, data, seed, device)?;
        Ok(Self {
            method: aim_balance::build(&config.method, net.spec())?,
            opt: config.optimizer.build(),
            schedule: Scheduler::new(&config.schedule, config.optimizer.lr(), config.train.epochs),
            log: Vec::new(),
            seconds: Vec::new(),
            best: None,
            last: None,
            written: Instant::now(),
            best_is_new: false,
            last_is_new: false,
            net,
            config,
            seed,
            data,
            folder,
            device,
            prepared,
        })
    }

    fn resume(&mut self) -> Result<()> {
        let Some(last) = self.folder.checkpoint()? else { return Ok(()) };
        self.net.params().load(&last.state.part("net").0)?;
        self.opt.load(&last.state.part("optimizer"))?;
        self.schedule.load(&last.state.part("schedule"))?;
        self.method.load(&last.state.part("method"))?;
        self.log = self.folder.log(last.epochs)?;
        self.seconds = self.folder.seconds(last.epochs)?;
        self.best = self.folder.best()?;
        self.last = Some(last);
        Ok(())
    }

    fn epochs(&mut self, watch: &dyn Watch, stop: &Stop) -> Result<()> {
        for epoch in self.last.as_ref().map_or(0, |c| c.epochs)..self.config.train.epochs {
            let start = Instant::now();
            let train = self.steps(epoch, stop)?;
            let validation = self.validate()?;
            let seconds = start.elapsed().as_secs_f64();
            self.log.push(EpochLog { epoch, lr: self.opt.lr(), train, validation });
            self.seconds.push(seconds);
            self.snapshot(epoch)?;
            watch.epoch(&self.log[epoch], self.config.train.epochs, seconds);
            if self.written.elapsed() >= CHECKPOINT_EVERY {
                self.flush()?;
            }
        }
        Ok(())
    }

    fn steps(&mut self, epoch: usize, stop: &Stop) -> Result<std::collections::BTreeMap<String, super::Quantity>> {
        let loader = Loader::new(&self.data.train, self.config.train.batch, self.device);
        let steps = loader.batches();
        let mut clock = Clock { epoch, epochs: self.config.train.epochs, step: epoch * steps, steps_per_epoch: steps };
        self.schedule.before_epoch(epoch, self.opt.as_mut());
        let samples = Whole { data: self.data, batch: self.config.train.batch, device: self.device };
        self.method.before_epoch(&mut EpochStart {
            net: &self.net,
            opt: self.opt.as_mut(),
            samples: &samples,
            prepared: self.prepared,
            clock,
            seed: self.seed,
        })?;
        let mut means = Means::default();
        for batch in loader.epoch(self.seed, epoch) {
            let batch = batch?;
            let mut step =
                Step { net: &self.net, opt: self.opt.as_mut(), batch: &batch, clock, seed: self.seed, trace: false };
            let report = self.method.step(&mut step)?;
            means.add(&report, &format!("epoch {epoch}, step {}", clock.step))?;
            clock.step += 1;
            stop.check()?;
        }
        Ok(means.finish())
    }

    fn validate(&self) -> Result<Scores> {
        self.check_weights()?;
        let evaluation = metrics::evaluate(&self.net, self.method.as_ref(), &self.data.validation, self.device)?;
        let scores = evaluation.scores(&self.net.spec().modalities, self.data.classes());
        scores.at(|| format!("validation after epoch {}", self.log.len()))
    }

    /// The last step's update shows only in the weights.
    fn check_weights(&self) -> Result<()> {
        for (name, tensor) in self.net.params().tensors() {
            let sum = tensor.to_dtype(DType::F32)?.abs()?.sum_all()?.to_scalar::<f32>()?;
            if !sum.is_finite() {
                let hint = "lower the learning rate; the last good checkpoint is kept";
                let name = format!("{name} at the end of epoch {}", self.log.len());
                return Err(Error::NonFinite { name, value: f64::from(sum), hint: hint.into() });
            }
        }
        Ok(())
    }

    /// Keeps the state between this epoch and the next.
    fn snapshot(&mut self, epoch: usize) -> Result<()> {
        let accuracy = self.log[epoch].validation.accuracy;
        let held = self.last.as_ref().and_then(|c| c.best);
        let better = held.is_none_or(|b| accuracy > b.accuracy);
        let best = if better { Some(Best { epoch, accuracy }) } else { held };
        let mut state = State::default();
        state.nest("net", State(self.net.params().tensors()));
        state.nest("method", self.method.state()?);
        if better {
            self.best = Some(Checkpoint { epochs: epoch + 1, best, state: copied(state.clone())? });
            self.best_is_new = true;
        }
        self.schedule.after_epoch(accuracy);
        state.nest("schedule", self.schedule.state()?);
        state.nest("optimizer", self.opt.state()?);
        self.last = Some(Checkpoint { epochs: epoch + 1, best, state: copied(state)? });
        self.last_is_new = true;
        Ok(())
    }

    /// Brings what is new to the disk. After a failure in mid-epoch this is the state before that epoch.
    fn flush(&mut self) -> Result<()> {
        let Some(last) = self.last.as_ref().filter(|_| self.last_is_new) else { return Ok(()) };
        let best = self.best.as_ref().filter(|_| self.best_is_new);
        self.folder.put(&self.log[..last.epochs], &self.seconds[..last.epochs], best, last)?;
        (self.best_is_new, self.last_is_new, self.written) = (false, false, Instant::now());
        Ok(())
    }

    fn finish(mut self) -> Result<Outcome> {
        let epoch = match (self.config.train.select, self.best.as_ref()) {
            (Select::Best, Some(best)) => best.put(self.net.params(), self.method.as_mut())?,
            _ => self.config.train.epochs - 1,
        };
        let judged = judge(&self.net, self.method.as_ref(), self.data, self.device)?;
        let spec = self.net.spec();
        self.folder.put_predictions(&predictions(&judged.evaluation, &self.data.test, &spec.modalities))?;
        let outcome = Outcome {
            name: self.config.name.clone(),
            method: self.config.method_name(),
            seed: self.seed,
            data: self.data.name.clone(),
            modalities: spec.modalities.clone(),
            parameters: self.net.params().count(),
            epoch,
            validation: self.log[epoch].validation.clone(),
            test: judged.test,
            probes: judged.probes,
            contributions: judged.contributions,
        };
        self.folder.put_result(&outcome)?;
        Ok(outcome)
    }
}

/// The network of a configuration for a data set.
///
/// # Errors
/// If they do not fit.
pub fn network(config: &RunConfig, data: &Dataset, seed: u64, device: &Device) -> Result<LateFusion> {
    let modalities: Vec<_> = data.modalities.iter().cloned().zip(data.shapes()).collect();
    LateFusion::new(&config.model, &modalities, data.classes(), seed, device)
}

/// Whole splits for the work between epochs.
struct Whole<'a> {
    data: &'a Dataset,
    batch: usize,
    device: &'a Device,
}

impl Samples for Whole<'_> {
    fn each(&self, split: Split, visit: &mut dyn FnMut(&Batch) -> Result<()>) -> Result<()> {
        let subset = match split {
            Split::Train => &self.data.train,
            Split::Validation => &self.data.validation,
        };
        Loader::new(subset, self.batch, self.device).in_order().try_for_each(|batch| visit(&batch?))
    }
}
