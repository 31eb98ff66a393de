//! A run: training with checkpoints in a folder, and scores at the end.

use std::{
    collections::BTreeMap,
    ops::ControlFlow::{Break, Continue},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use aim_core::{Context, Error, Net, Prepared, Result, State, Stateful};
use aim_data::{Dataset, Splits};
use aim_fusion::LateFusion;
use aim_optim::{Adjusted, Clipped};
use candle_core::{DType, Device};

use super::{
    Best, Checkpoint, EpochLog, Folder, Lacking, Outcome, Preprocessing, Program, PublicWeights, Quantity, Stopped,
    Timing, batch_norm::check_batch_norm, history::Means, judge, outcome::predictions,
};
use crate::{
    Learner,
    config::{RunConfig, Select, factors, group_of},
    metrics::{self, Metrics, Scores},
};

/// How many times as long as writing a checkpoint training goes on at least before the next one, so that they cost less
/// than 2 % of the time.
const CHECKPOINT_SHARE: u32 = 50;

/// Where a [`Learner`]'s state holds the epoch; a checkpoint's log tells it.
const EPOCH: &str = "clock.epoch";

/// Where a checkpoint holds what answers as the best epoch did.
const BEST: &str = "best";

/// Where a checkpoint holds what an epoch that has begun has left for the log.
const BEGUN: &str = "begun";

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
    /// Shortest time between two checkpoints on the disk; zero for one after every step. A killed run repeats what
    /// lies between, bit for bit.
    pub checkpoint_every: Duration,
    /// What a result says that it was made by.
    pub program: &'a Program,
}

/// Asks all runs to stop after the current step.
#[derive(Debug, Default)]
pub struct Stop {
    asked: AtomicBool,
    training: AtomicUsize,
}

/// Training that goes on as long as this value lives.
struct Training<'a>(&'a Stop);

impl Drop for Training<'_> {
    fn drop(&mut self) {
        self.0.training.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Stop {
    /// Asks.
    pub fn ask(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// Whether someone has asked.
    pub fn asked(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }

    /// Whether a run is being trained, which looks at this after each step and then brings its state to the disk. What
    /// is done otherwise, reading data, scoring, reports, loses nothing when the process ends, and is done again.
    pub fn is_training(&self) -> bool {
        self.training.load(Ordering::Relaxed) > 0
    }

    fn training(&self) -> Training<'_> {
        self.training.fetch_add(1, Ordering::Relaxed);
        Training(self)
    }

    /// Goes on unless someone has asked.
    ///
    /// # Errors
    /// If someone has.
    pub fn check(&self) -> Result<()> {
        if self.asked() { Err(Error::Stopped) } else { Ok(()) }
    }
}

/// A run: what is trained, and on what.
#[derive(Clone, Copy)]
pub struct Run<'a> {
    /// Everything that decides it but its seed and data.
    pub config: &'a RunConfig,
    /// Its seed.
    pub seed: u64,
    /// Its data.
    pub data: &'a Dataset,
    /// The test split at further rates of missing modalities.
    pub lacking: &'a [Lacking],
    /// Where its network is trained.
    pub device: &'a Device,
    /// The networks that [`MethodSpec::preparations`](aim_balance::MethodSpec::preparations) lists for its method.
    pub prepared: &'a Prepared,
    /// Public weights that its encoders start from.
    pub weights: &'a PublicWeights,
    /// Metrics that it is scored by.
    pub metrics: &'a Metrics,
}

impl Run<'_> {
    /// What is said where an epoch takes every validation sample for one class.
    fn says_one_class(&self, epoch: usize, class: usize) -> String {
        let labels = self.data.validation.labels();
        let own = labels.iter().filter(|label| **label as usize == class).count();
        format!(
            "ONE CLASS ONLY: after epoch {epoch} every validation sample is taken for `{}`, the class of {:.0} % of them \
             (`train.class_weights: balanced` and `train.select: macro_f1` help where classes are rare)",
            self.data.class_names[class],
            100. * own as f64 / labels.len() as f64
        )
    }
}

/// What is said where the warm-up is longer than the run.
fn says_unreached(share: f64) -> String {
    format!(
        "WARM-UP TO THE END: the learning rate grows to {:.2} % of `optimizer.lr` and no further, for the schedule's warm-up \
         is longer than the run; shorten it, or train longer",
        100. * share
    )
}

/// Trains a run to its end, or goes on where its folder stops, and scores it. A run that is done is only read, and what
/// is damaged in its folder is made anew.
///
/// # Errors
/// If the configuration does not fit the data, a loss is not finite, the folder cannot be written, or the run was
/// stopped; a checkpoint of where it was is then in the folder.
pub fn train(run: Run<'_>, folder: &Folder, control: Control<'_>) -> Result<Outcome> {
    Preprocessing::of(run.data).keep(folder.path())?;
    if let Some(outcome) = folder.done(&|line| control.watch.say(line))? {
        return Ok(outcome);
    }
    let mut trainer = Trainer::new(run, folder)?;
    trainer.resume(control.watch)?;
    let training = control.stop.training();
    let done = trainer.epochs(control);
    trainer.flush()?;
    drop(training);
    done?;
    trainer.finish(control.program)
}

struct Trainer<'a> {
    run: Run<'a>,
    folder: &'a Folder,
    learner: Learner,
    log: Vec<EpochLog>,
    /// What the epoch that has begun has left for the log so far.
    means: Means,
    timing: Timing,
    last: Option<Held>,
    pace: Pace,
    /// Whether the best epoch and `last` are newer than the files.
    best_is_new: bool,
    last_is_new: bool,
    /// The class that the epoch before took every validation sample for.
    single_class: Option<usize>,
}

/// A checkpoint but for its log, which is the beginning of the trainer's: copied with every epoch, it would make each
/// slower than the one before.
struct Held {
    /// Epochs done.
    epochs: usize,
    best: Option<Best>,
    state: State,
}

impl Held {
    fn checkpoint(&self, log: &[EpochLog]) -> Checkpoint {
        Checkpoint { log: log[..self.epochs].to_vec(), best: self.best, state: self.state.clone() }
    }
}

/// When the last checkpoint was written, and how long that took.
#[derive(Clone, Copy)]
struct Pace {
    when: Instant,
    took: Duration,
}

impl Pace {
    /// Whether it is time for the next one.
    fn due(self, every: Duration) -> bool {
        every.is_zero() || self.when.elapsed() >= every.max(self.took * CHECKPOINT_SHARE)
    }
}

impl<'a> Trainer<'a> {
    fn new(run: Run<'a>, folder: &'a Folder) -> Result<Self> {
        Ok(Self {
            learner: learner(run.config, run.data, run.seed, run.device)?.prepared(run.prepared.clone()),
            log: Vec::new(),
            means: Means::default(),
            timing: Timing::default(),
            last: None,
            pace: Pace { when: Instant::now(), took: Duration::ZERO },
            best_is_new: false,
            last_is_new: false,
            single_class: None,
            run,
            folder,
        })
    }

    fn resume(&mut self, watch: &dyn Watch) -> Result<()> {
        let Some(last) = self.folder.restore(&|line| watch.say(line))? else {
            let lines = self.run.weights.adopt(self.run.config, self.learner.net())?;
            lines.iter().for_each(|line| watch.say(line));
            let batches = splits(self.run.config, self.run.data, self.run.device)?.training().batches();
            self.learner.unreached(batches).iter().for_each(|share| watch.say(&says_unreached(*share)));
            return Ok(());
        };
        let mut state = last.state.clone();
        state.put(EPOCH, &[last.epochs() as f64])?;
        self.learner.load(&state)?;
        self.means = Means::of(&last.state.part(BEGUN))?;
        self.timing = self.folder.timing(&last)?;
        watch.say(&format!("goes on after {} (of {} epochs)", last.place(), self.run.config.train.epochs));
        self.last = Some(Held { epochs: last.epochs(), best: last.best, state: last.state });
        self.log = last.log;
        Ok(())
    }

    fn epochs(&mut self, control: Control<'_>) -> Result<()> {
        while self.log.len() < self.run.config.train.epochs && self.stopped().is_none() {
            control.stop.check()?;
            let epoch = self.log.len();
            let start = Instant::now();
            let train = self.steps(epoch, control)?;
            let validation = self.validate(control.watch)?;
            let seconds = std::mem::take(&mut self.timing.begun) + start.elapsed().as_secs_f64();
            self.log.push(EpochLog { epoch, lr: self.learner.lr(), train, validation });
            self.timing.epochs.push(seconds);
            self.snapshot(epoch)?;
            control.watch.epoch(&self.log[epoch], self.run.config.train.epochs, seconds);
            if self.pace.due(control.checkpoint_every) {
                self.flush()?;
            }
        }
        self.stopped().iter().for_each(|stopped| control.watch.say(&stopped.to_string()));
        Ok(())
    }

    /// Why there is no further epoch, if validation has got no better for as long as the configuration waits.
    fn stopped(&self) -> Option<Stopped> {
        let (train, epochs) = (&self.run.config.train, self.log.len());
        let (patience, best) = (train.patience?, self.last.as_ref()?.best?);
        let over = epochs < train.epochs && epochs - 1 - best.epoch >= patience;
        over.then(|| Stopped { epochs, patience, metric: train.select.metric().into() })
    }

    /// The steps of an epoch that are left, with checkpoints between them.
    fn steps(&mut self, epoch: usize, control: Control<'_>) -> Result<BTreeMap<String, Quantity>> {
        let splits = splits(self.run.config, self.run.data, self.run.device)?;
        let (begin, before) = (Instant::now(), self.timing.begun);
        loop {
            let (means, pace) = (&mut self.means, self.pace);
            self.learner.epoch(&splits, |clock, report| {
                means.add(report, &format!("epoch {epoch}, step {}", clock.step))?;
                let stays = control.stop.asked() || pace.due(control.checkpoint_every);
                Ok(if stays { Break(()) } else { Continue(()) })
            })?;
            if self.learner.epochs_done() > epoch {
                self.timing.begun = before;
                return Ok(std::mem::take(&mut self.means).finish());
            }
            self.timing.begun = before + begin.elapsed().as_secs_f64();
            self.store()?;
            control.stop.check()?;
        }
    }

    /// Brings the state within an epoch to the disk. Weights that are not finite stay away from there: the next step
    /// fails, and the last good checkpoint is kept.
    fn store(&mut self) -> Result<()> {
        let start = Instant::now();
        if self.check_weights().is_err() {
            return Ok(());
        }
        let mut state = self.state()?;
        state.nest(BEGUN, self.means.state()?);
        let held = self.last.as_ref();
        state.nest(BEST, held.map_or_else(State::default, |c| c.state.part(BEST)));
        self.last = Some(Held { epochs: self.log.len(), best: held.and_then(|c| c.best), state });
        self.last_is_new = true;
        self.flush()?;
        self.pace.took = start.elapsed();
        Ok(())
    }

    fn validate(&mut self, watch: &dyn Watch) -> Result<Scores> {
        self.check_weights()?;
        let (net, method) = (self.learner.net(), self.learner.method());
        let evaluation = metrics::evaluate(net, method, &*self.run.data.validation, self.run.device)?;
        // After a first epoch that is ordinary.
        let single = evaluation.single_class().filter(|_| !self.log.is_empty());
        if let Some(class) = single.filter(|_| self.single_class.is_none()) {
            watch.say(&self.run.says_one_class(self.log.len(), class));
        }
        self.single_class = single;
        let scores = evaluation.scores(&net.spec().modalities, self.run.data.classes(), self.run.metrics);
        scores.at(|| format!("validation after epoch {}", self.log.len()))
    }

    /// The last step's update shows only in the weights.
    fn check_weights(&self) -> Result<()> {
        for (name, tensor) in self.learner.net().params().tensors() {
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
        let value = self.selected(&self.log[epoch].validation)?;
        let held = self.last.as_ref().and_then(|c| c.best);
        let better = held.is_none_or(|b| value > b.value);
        let best = if better { Some(Best { epoch, value }) } else { held };
        self.learner.after_epoch(self.log[epoch].validation.accuracy());
        let mut state = self.state()?;
        let of_best = if better {
            answering(&state)
        } else {
            self.last.as_ref().map_or_else(State::default, |c| c.state.part(BEST))
        };
        state.nest(BEST, of_best);
        self.last = Some(Held { epochs: self.log.len(), best, state });
        (self.best_is_new, self.last_is_new) = (self.best_is_new | better, true);
        Ok(())
    }

    /// The learner's state as a checkpoint holds it.
    fn state(&self) -> Result<State> {
        let mut state = self.learner.state()?;
        state.0.remove(EPOCH);
        Ok(state)
    }

    /// What the epoch is chosen by.
    fn selected(&self, validation: &Scores) -> Result<f64> {
        let metric = self.run.config.train.select.metric();
        validation.get(metric).ok_or_else(|| {
            let problem = format!("needs the metric `{metric}`, which this program has not");
            Error::invalid("train.select", problem, "add it to the registry of metrics, or choose another")
        })
    }

    /// Brings what is new to the disk. After a failure within an epoch this is the last state that was taken.
    fn flush(&mut self) -> Result<()> {
        let Some(last) = self.last.as_ref().filter(|_| self.last_is_new) else { return Ok(()) };
        let start = Instant::now();
        self.folder.put(&last.checkpoint(&self.log), &self.timing, self.best_is_new)?;
        (self.best_is_new, self.last_is_new) = (false, false);
        self.pace = Pace { when: Instant::now(), took: start.elapsed() };
        Ok(())
    }

    /// Scores on the test split at a rate of missing modalities, by that rate.
    fn lacking(&self, Lacking { rate, test }: &Lacking) -> Result<(String, Scores)> {
        let (net, run) = (self.learner.net(), &self.run);
        let answers = metrics::evaluate(net, self.learner.method(), &**test, run.device)?;
        Ok((rate.to_string(), answers.scores(&net.spec().modalities, run.data.classes(), run.metrics)?))
    }

    fn finish(mut self, program: &Program) -> Result<Outcome> {
        let epoch = match (
            self.run.config.train.select,
            self.last.as_ref().and_then(|last| last.checkpoint(&self.log).of_best()),
        ) {
            (select, Some(best)) if select != Select::Last => {
                self.learner.adopt(&best.state)?;
                best.epochs().saturating_sub(1)
            }
            _ => self.log.len() - 1,
        };
        let (net, stopped) = (self.learner.net(), self.stopped());
        let judged = judge(net, self.learner.method(), self.run.data, self.run.device, self.run.metrics)?;
        let spec = net.spec();
        let lacking = self.run.lacking.iter().map(|lacking| self.lacking(lacking)).collect::<Result<_>>()?;
        let outcome = Outcome {
            name: self.run.config.name.clone(),
            method: self.run.config.method.name(),
            seed: self.run.seed,
            data: self.run.data.name.clone(),
            modalities: spec.modalities.clone(),
            parameters: net.params().count(),
            epoch,
            stopped,
            validation: self.log[epoch].validation.clone(),
            test: judged.test,
            majority: Some(judged.majority),
            single_class: judged.single_class,
            lacking,
            probes: judged.probes,
            contributions: judged.contributions,
            program: program.clone(),
        };
        let predictions = predictions(&judged.evaluation, &*self.run.data.test, &spec.modalities)?;
        self.folder.put_views(&judged.projection, &self.log, &self.timing, &outcome)?;
        self.folder.put_result(&outcome, &predictions)?;
        Ok(outcome)
    }
}

/// The part of a learner's state that answers: weights, buffers and the method's state.
fn answering(state: &State) -> State {
    let mut part = State::default();
    ["net", "method"].iter().for_each(|name| part.nest(name, state.part(name)));
    part
}

/// A configuration's network with its method, optimizer and schedule, before the first epoch and before
/// [`PublicWeights::adopt`].
///
/// # Errors
/// If they do not fit each other or the data.
pub fn learner(config: &RunConfig, data: &Dataset, seed: u64, device: &Device) -> Result<Learner> {
    let net = network(config, data, seed, device)?;
    if config.train.batch == 1 {
        check_batch_norm(&net, &*data.train, device)?;
    }
    let (method, mut opt) = (config.method.build(net.spec())?, config.optimizer.build());
    if !config.train.groups.is_empty() {
        let (groups, spec) = (config.train.groups.clone(), net.spec().clone());
        opt = Box::new(Adjusted::new(opt, move |role| factors(&groups, role, &spec)));
    }
    let schedules: Vec<_> = config.train.groups.iter().map(|group| group.schedule.clone()).collect();
    let (groups, spec) = (config.train.groups.clone(), net.spec().clone());
    let group = move |role| group_of(&groups, role, &spec);
    if let Some(clip) = config.train.clip() {
        opt = Box::new(Clipped::new(opt, clip));
    }
    let learner = Learner::new(Box::new(net), method, opt, seed, config.train.epochs).schedule(&config.schedule);
    Ok(learner.group_schedules(&schedules, group).accumulate(config.train.accumulate))
}

/// What a configuration's learner reads of a data set.
///
/// # Errors
/// If the data set has another number of classes than the configuration has weights, or lacks what it samples by.
pub fn splits<'a>(config: &RunConfig, data: &'a Dataset, device: &Device) -> Result<Splits<'a>> {
    let splits = Splits::new(data, config.train.batch, device).dropping_last(config.protocol.drops_last(&config.train));
    Ok(splits.criterion(config.train.criterion(data)?).strata(config.train.sampler.strata(data)?))
}

/// The network of a configuration for a data set.
///
/// # Errors
/// If they do not fit.
pub fn network(config: &RunConfig, data: &Dataset, seed: u64, device: &Device) -> Result<LateFusion> {
    LateFusion::new(&config.model, &data.named_shapes(), data.classes(), seed, device)
}
