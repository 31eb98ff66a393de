//! The training loop.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use aim_core::{
    Batch, Clock, Context, EpochStart, Error, Extra, Method, Net, Optim, Prepared, Result, Samples, Split, State,
    Stateful, Step,
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

/// How many times as long as writing a checkpoint training goes on at least before the next one, so that they cost less
/// than 2 % of the time.
const CHECKPOINT_SHARE: u32 = 50;

/// Sees how a run proceeds.
pub trait Watch: Sync {
    /// An epoch is done.
    fn epoch(&self, log: &EpochLog, epochs: usize, seconds: f64);
    /// Something that the user should know.
    fn say(&self, line: &str);
}

/// How a run is watched and steered; nothing here changes a result.
#[derive(Clone, Copy)]
pub struct Control<'a> {
    /// Sees how it proceeds.
    pub watch: &'a dyn Watch,
    /// Ends it early.
    pub stop: &'a Stop,
    /// Shortest time between two checkpoints on the disk; zero for one after every epoch. A killed run repeats what lies
    /// between, bit for bit.
    pub checkpoint_every: Duration,
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
        if self.asked() { Err(Error::Stopped) } else { Ok(()) }
    }
}

/// Trains a run to its end, or goes on where its folder stops, and scores it. A run that is done is only read, and what is
/// damaged in its folder is made anew. `prepared` holds what `aim_balance::preparations` lists for its method.
///
/// # Errors
/// If the configuration does not fit the data, a loss is not finite, the folder cannot be written, or the run was stopped;
/// the checkpoint of the last whole epoch is then in the folder.
pub fn train(
    config: &RunConfig,
    seed: u64,
    data: &Dataset,
    folder: &Folder,
    device: &Device,
    prepared: &Prepared,
    control: Control<'_>,
) -> Result<Outcome> {
    if let Some(outcome) = folder.done(&|line| control.watch.say(line))? {
        return Ok(outcome);
    }
    let mut trainer = Trainer::new(config, seed, data, folder, device, prepared)?;
    trainer.resume(control.watch)?;
    let done = trainer.epochs(control);
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
    /// Steps done; epochs differ in length where a method shows samples more than once.
    step: usize,
    last: Option<Checkpoint>,
    /// When a checkpoint was written, and how long that took.
    written: (Instant, Duration),
    /// Whether the best epoch and `last` are newer than the files.
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
            step: 0,
            last: None,
            written: (Instant::now(), Duration::ZERO),
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

    fn resume(&mut self, watch: &dyn Watch) -> Result<()> {
        let Some(last) = self.folder.restore(&|line| watch.say(line))? else { return Ok(()) };
        self.net.params().load(&last.state.part("net").0)?;
        self.opt.load(&last.state.part("optimizer"))?;
        self.schedule.load(&last.state.part("schedule"))?;
        self.method.load(&last.state.part("method"))?;
        self.step = last.state.number("clock.step")? as usize;
        self.log = last.log.clone();
        self.seconds = self.folder.seconds(last.epochs())?;
        watch.say(&format!("goes on after {} of {} epochs", last.epochs(), self.config.train.epochs));
        self.last = Some(last);
        Ok(())
    }

    fn epochs(&mut self, control: Control<'_>) -> Result<()> {
        for epoch in self.log.len()..self.config.train.epochs {
            let start = Instant::now();
            let train = self.steps(epoch, control.stop)?;
            let validation = self.validate()?;
            let seconds = start.elapsed().as_secs_f64();
            self.log.push(EpochLog { epoch, lr: self.opt.lr(), train, validation });
            self.seconds.push(seconds);
            self.snapshot(epoch)?;
            control.watch.epoch(&self.log[epoch], self.config.train.epochs, seconds);
            if self.due(control.checkpoint_every) {
                self.flush()?;
            }
        }
        Ok(())
    }

    /// Whether it is time for a checkpoint.
    fn due(&self, every: Duration) -> bool {
        let (when, took) = self.written;
        every.is_zero() || when.elapsed() >= every.max(took * CHECKPOINT_SHARE)
    }

    fn steps(&mut self, epoch: usize, stop: &Stop) -> Result<std::collections::BTreeMap<String, super::Quantity>> {
        let loader = Loader::new(&self.data.train, self.config.train.batch, self.device)
            .dropping_last(self.config.protocol.drops_last());
        let steps_per_epoch = loader.batches();
        let mut clock = Clock { epoch, epochs: self.config.train.epochs, step: self.step, batch: 0, steps_per_epoch };
        self.schedule.before_epoch(epoch, self.opt.as_mut());
        let batches = loader.epoch_with(self.seed, epoch, self.before_epoch(clock)?);
        clock.steps_per_epoch = batches.len();
        let mut means = Means::default();
        for batch in batches {
            let batch = batch?;
            let mut step =
                Step { net: &self.net, opt: self.opt.as_mut(), batch: &batch, clock, seed: self.seed, trace: false };
            let report = self.method.step(&mut step)?;
            means.add(&report, &format!("epoch {epoch}, step {}", clock.step))?;
            (clock.step, clock.batch) = (clock.step + 1, clock.batch + 1);
            stop.check()?;
        }
        self.step = clock.step;
        Ok(means.finish())
    }

    /// The method's work before an epoch; what it wants shown beside every sample once.
    fn before_epoch(&mut self, clock: Clock) -> Result<Vec<Extra>> {
        let samples = Whole { data: self.data, batch: self.config.train.batch, device: self.device };
        let mut start = EpochStart {
            net: &self.net,
            opt: self.opt.as_mut(),
            samples: &samples,
            prepared: self.prepared,
            clock,
            seed: self.seed,
            extra: vec![],
        };
        self.method.before_epoch(&mut start)?;
        Ok(start.extra)
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
        let mut state = copied(state)?;
        let of_best = if better {
            state.clone()
        } else {
            self.last.as_ref().map_or_else(State::default, |c| c.state.part("best"))
        };
        self.schedule.after_epoch(accuracy);
        state.nest("schedule", copied(self.schedule.state()?)?);
        state.nest("optimizer", copied(self.opt.state()?)?);
        state.nest("best", of_best);
        state.put("clock.step", &[self.step as f64])?;
        self.last = Some(Checkpoint { log: self.log.clone(), best, state });
        (self.best_is_new, self.last_is_new) = (self.best_is_new | better, true);
        Ok(())
    }

    /// Brings what is new to the disk. After a failure in mid-epoch this is the state before that epoch.
    fn flush(&mut self) -> Result<()> {
        let Some(last) = self.last.as_ref().filter(|_| self.last_is_new) else { return Ok(()) };
        let start = Instant::now();
        self.folder.put(last, &self.seconds, self.best_is_new)?;
        (self.best_is_new, self.last_is_new, self.written) = (false, false, (Instant::now(), start.elapsed()));
        Ok(())
    }

    fn finish(mut self) -> Result<Outcome> {
        let epoch = match (self.config.train.select, self.last.as_ref().and_then(Checkpoint::of_best)) {
            (Select::Best, Some(best)) => best.put(self.net.params(), self.method.as_mut())?,
            _ => self.config.train.epochs - 1,
        };
        let judged = judge(&self.net, self.method.as_ref(), self.data, self.device)?;
        let spec = self.net.spec();
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
        let predictions = predictions(&judged.evaluation, &self.data.test, &spec.modalities);
        self.folder.put_views(&judged.projection, &self.log, &self.seconds, &outcome)?;
        self.folder.put_result(&outcome, &predictions)?;
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

impl Whole<'_> {
    fn loader(&self, split: Split) -> Loader<'_> {
        let subset = match split {
            Split::Train => &self.data.train,
            Split::Validation => &self.data.validation,
        };
        Loader::new(subset, self.batch, self.device)
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
