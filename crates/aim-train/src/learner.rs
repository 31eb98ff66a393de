//! The training loop: epochs of steps, and everything that a restart needs. It knows no folder and no configuration.

mod group;
mod pace;

use std::ops::ControlFlow;

use aim_core::{
    Batch, Clock, EpochStart, Extra, Method, Net, Optim, Plan, Prepared, Report, Result, Role, Samples, State,
    Stateful, Step, Turn,
};
use aim_data::Splits;
use aim_optim::{Constant, ScheduleSpec, Scheduler, schedule};
use candle_core::Tensor;

use group::Group;
use pace::Paces;

/// A network in training by a method. It can be stopped behind any step and goes on from its [`state`](Self::state)
/// with the same bits.
///
/// ```no_run
/// # use std::ops::ControlFlow::Continue;
/// # fn main() -> aim_core::Result<()> {
/// # let data: aim_data::Dataset = todo!();
/// # let (net, method, opt): (Box<dyn aim_core::Net>, Box<dyn aim_core::Method>, Box<dyn aim_core::Optim>) = todo!();
/// let splits = aim_data::Splits::new(&data, 64, &candle_core::Device::Cpu);
/// let mut learner = aim_train::Learner::new(net, method, opt, 0, 10);
/// while !learner.is_done() {
///     learner.epoch(&splits, |clock, report| {
///         println!("step {}: {:?}", clock.step, report.values("loss")?);
///         Ok(Continue(()))
///     })?;
/// }
/// # Ok(())
/// # }
/// ```
pub struct Learner {
    net: Box<dyn Net>,
    method: Box<dyn Method>,
    opt: Box<dyn Optim>,
    schedule: Scheduler,
    paces: Paces,
    prepared: Prepared,
    seed: u64,
    epochs: usize,
    trace: bool,
    /// Batches in a group, and what those of the current one have left.
    accumulate: usize,
    group: Group,
    at: Position,
}

/// Where training stands.
#[derive(Clone, Debug, Default)]
struct Position {
    epoch: usize,
    /// Steps done; epochs differ in length where a method shows samples more than once.
    step: usize,
    /// Updates done: one a step, or one a group of them.
    update: usize,
    /// Batches done of the current epoch; 0 before its work.
    batch: usize,
    /// What the current epoch shows.
    plan: Plan,
}

impl Learner {
    /// Training of `net` over `epochs` epochs at the optimizer's learning rate. Every draw is keyed by `seed`.
    pub fn new(net: Box<dyn Net>, method: Box<dyn Method>, opt: Box<dyn Optim>, seed: u64, epochs: usize) -> Self {
        let schedule = Scheduler::new(&schedule(Constant {}), opt.lr(), epochs);
        let (paces, prepared, group, at) = Default::default();
        Self { net, method, opt, schedule, paces, prepared, seed, epochs, trace: false, accumulate: 1, group, at }
    }

    /// One update for every `batches` batches, and for what is left of them at the end of an epoch. The method still
    /// steps on each batch, and what it would have descended is averaged, by the batches' masses
    /// ([`Criterion::mass`](aim_core::Criterion::mass): their number of samples, as a rule). Methods that make several
    /// updates a step end with an error.
    #[must_use]
    pub fn accumulate(self, batches: usize) -> Self {
        Self { accumulate: batches.max(1), ..self }
    }

    /// Another schedule of the learning rate, around the one that the optimizer begins with.
    #[must_use]
    pub fn schedule(mut self, schedule: &ScheduleSpec) -> Self {
        self.schedule = Scheduler::new(schedule, self.opt.lr(), self.epochs);
        self
    }

    /// Schedules in place of the run's, by the number of a group of parameters; `group` gives a parameter's.
    #[must_use]
    pub fn group_schedules(
        mut self,
        schedules: &[Option<ScheduleSpec>],
        group: impl Fn(Role) -> Option<usize> + 'static,
    ) -> Self {
        self.paces = Paces::new(schedules, group, self.schedule.base(), self.epochs);
        self
    }

    /// Networks that were trained before, for methods that need them.
    #[must_use]
    pub fn prepared(self, prepared: Prepared) -> Self {
        Self { prepared, ..self }
    }

    /// Reports hold tensors that cost memory, too.
    #[must_use]
    pub fn tracing(self) -> Self {
        Self { trace: true, ..self }
    }

    /// The network.
    pub fn net(&self) -> &dyn Net {
        self.net.as_ref()
    }

    /// The method.
    pub fn method(&self) -> &dyn Method {
        self.method.as_ref()
    }

    /// The share of its base that the learning rate ends at, if the schedule's warm-up is longer than the run. An epoch
    /// has `batches` batches.
    pub fn unreached(&self, batches: usize) -> Option<f64> {
        self.schedule.unreached(self.epochs, batches.div_ceil(self.accumulate))
    }

    /// Learning rate of the last step.
    pub fn lr(&self) -> f64 {
        self.opt.lr()
    }

    /// Number of steps done, one a batch.
    pub fn steps(&self) -> usize {
        self.at.step
    }

    /// Number of epochs done.
    pub fn epochs_done(&self) -> usize {
        self.at.epoch
    }

    /// Whether all epochs are done.
    pub fn is_done(&self) -> bool {
        self.at.epoch >= self.epochs
    }

    /// Goes on to the end of the last epoch, or until `observe` breaks off. See [`epoch`](Self::epoch).
    ///
    /// # Errors
    /// Those of [`epoch`](Self::epoch).
    pub fn run(
        &mut self,
        data: &Splits<'_>,
        mut observe: impl FnMut(Clock, &Report) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let mut stopped = false;
        while !stopped && !self.is_done() {
            self.epoch(data, |clock, report| {
                let flow = observe(clock, report)?;
                stopped = flow.is_break();
                Ok(flow)
            })?;
        }
        Ok(())
    }

    /// One epoch, or what is left of it. `observe` is told of every step that is done, and breaks off or fails to stop
    /// behind it.
    ///
    /// # Errors
    /// Those of the data, the method and `observe`.
    pub fn epoch(
        &mut self,
        data: &Splits<'_>,
        mut observe: impl FnMut(Clock, &Report) -> Result<ControlFlow<()>>,
    ) -> Result<()> {
        let loader = data.training();
        if self.at.batch == 0 {
            let clock = self.clock(loader.batches());
            self.schedule.before_update(self.updates(clock), self.opt.as_mut());
            self.at.plan = self.begin(data, clock)?;
        }
        let Position { epoch, batch, plan, .. } = self.at.clone();
        let batches = loader.epoch_from(batch, self.seed, epoch, plan);
        let total = batch + batches.len();
        batches.visit(|batch| {
            let clock = self.clock(total);
            self.schedule.before_update(self.updates(clock), self.opt.as_mut());
            let report = self.step(&batch, clock)?;
            self.at.update += usize::from(self.ends_group(clock));
            (self.at.step, self.at.batch) = (self.at.step + 1, self.at.batch + 1);
            observe(clock, &report)
        })?;
        if self.at.batch >= total {
            let Position { step, update, .. } = self.at;
            self.at = Position { epoch: epoch + 1, step, update, ..Position::default() };
        }
        Ok(())
    }

    /// Tells the schedules how the epoch went that is done.
    pub fn after_epoch(&mut self, validation_accuracy: f64) {
        self.schedule.after_epoch(validation_accuracy);
        self.paces.after_epoch(validation_accuracy);
    }

    fn clock(&self, steps_per_epoch: usize) -> Clock {
        let Position { epoch, step, batch, .. } = self.at;
        Clock { epoch, epochs: self.epochs, step, batch, steps_per_epoch }
    }

    /// A clock of steps as one of updates.
    fn updates(&self, clock: Clock) -> Clock {
        let Clock { batch, steps_per_epoch, .. } = clock;
        let (batch, steps_per_epoch) = (batch / self.accumulate, steps_per_epoch.div_ceil(self.accumulate));
        Clock { step: self.at.update, batch, steps_per_epoch, ..clock }
    }

    /// Whether the step at `clock` is its group's last.
    fn ends_group(&self, clock: Clock) -> bool {
        let done = clock.batch + 1;
        done.is_multiple_of(self.accumulate) || done >= clock.steps_per_epoch
    }

    /// The method's work before the epoch of `clock`, and what the epoch is to show. [`epoch`](Self::epoch) does this
    /// by itself.
    ///
    /// # Errors
    /// Those of the method and the samples.
    pub fn begin(&mut self, samples: &dyn Samples, clock: Clock) -> Result<Plan> {
        let at = self.updates(clock);
        let mut opt = self.paces.at(at, &self.schedule, self.opt.as_mut());
        let (net, prepared, seed) = (self.net.as_ref(), &self.prepared, self.seed);
        let mut start = EpochStart { net, opt: &mut opt, samples, prepared, clock, seed, plan: Plan::default() };
        self.method.before_epoch(&mut start)?;
        Ok(start.plan)
    }

    /// One step on a batch as at `clock`; where training stands is left alone. [`epoch`](Self::epoch) does this by
    /// itself.
    ///
    /// # Errors
    /// Those of the method.
    pub fn step(&mut self, batch: &Batch, clock: Clock) -> Result<Report> {
        let (ends, alone, at) = (self.ends_group(clock), self.accumulate == 1, self.updates(clock));
        let Self { net, method, opt, schedule, paces, seed, trace, group, .. } = self;
        let (net, seed, trace) = (net.as_ref(), *seed, *trace);
        let opt: &mut dyn Optim = &mut paces.at(at, schedule, opt.as_mut());
        let mut step = |opt: &mut dyn Optim| method.step(&mut Step { net, opt, batch, clock, seed, trace });
        if alone {
            return step(opt);
        }
        let report = step(&mut group.gather(opt, batch.criterion.mass(&batch.labels)?))?;
        if ends {
            group.descend(net.params(), opt)?;
        }
        Ok(report)
    }

    /// Takes over the weights, buffers and the method's state of a [`state`](Self::state), to answer by them.
    ///
    /// # Errors
    /// If they do not fit.
    pub fn adopt(&mut self, state: &State) -> Result<()> {
        self.net.params().load(&state.part("net").0)?;
        self.method.load(&state.part("method"))
    }
}

impl Stateful for Learner {
    /// Copies of everything that a restart needs, which later steps do not change: under `net.`, `method.`,
    /// `optimizer.`, `schedule.` and `paces.` (schedules of groups of parameters), what a group of batches has left
    /// under `group.`, and where training stands under `clock.`.
    fn state(&self) -> Result<State> {
        let mut state = State::default();
        state.nest("net", State(self.net.params().tensors()));
        state.nest("method", self.method.state()?);
        state.nest("optimizer", self.opt.state()?);
        state.nest("schedule", self.schedule.state()?);
        state.nest("paces", self.paces.state()?);
        state.nest("group", self.group.state()?);
        state.nest("clock", self.at.state()?);
        let copy = |(name, tensor): (String, Tensor)| Ok((name, tensor.copy()?));
        Ok(State(state.0.into_iter().map(copy).collect::<Result<_>>()?))
    }

    fn load(&mut self, state: &State) -> Result<()> {
        self.adopt(state)?;
        self.opt.load(&state.part("optimizer"))?;
        self.schedule.load(&state.part("schedule"))?;
        self.paces.load(&state.part("paces"))?;
        self.group.load(&state.part("group"))?;
        self.group.bring(self.net.params())?;
        self.at = Position::of(&state.part("clock"), self.net.modalities())?;
        Ok(())
    }
}

impl Position {
    /// Between epochs that is the epoch and the numbers of steps and updates alone.
    fn state(&self) -> Result<State> {
        let mut state = State::default();
        state.put("epoch", &[self.epoch as f64])?;
        state.put("step", &[self.step as f64])?;
        if self.update != self.step {
            state.put("update", &[self.update as f64])?;
        }
        if self.batch > 0 {
            state.put("batch", &[self.batch as f64])?;
            let number = |flag: &bool| f64::from(u8::from(*flag));
            let row = |e: &Extra| [e.sample as f64].into_iter().chain(e.present.iter().map(number)).collect::<Vec<_>>();
            state.put("extra", &self.plan.extra.iter().flat_map(row).collect::<Vec<_>>())?;
            for (i, Turn { samples, present, rest }) in self.plan.turns.iter().enumerate() {
                let flags = [rest].into_iter().chain(present).map(number);
                let numbers: Vec<f64> = flags.chain(samples.iter().map(|sample| *sample as f64)).collect();
                state.put(format!("turn.{i}"), &numbers)?;
            }
        }
        Ok(state)
    }

    fn of(state: &State, modalities: usize) -> Result<Self> {
        let (epoch, step) = (state.number("epoch")? as usize, state.number("step")? as usize);
        let grouped = state.0.contains_key("update");
        let update = if grouped { state.number("update")? as usize } else { step };
        if !state.0.contains_key("batch") {
            return Ok(Self { epoch, step, update, ..Self::default() });
        }
        let flags = |numbers: &[f64]| numbers.iter().map(|flag| *flag > 0.).collect::<Vec<_>>();
        let extra = |row: &[f64]| Extra { sample: row[0] as usize, present: flags(&row[1..]) };
        let extra = state.numbers("extra")?.chunks(1 + modalities).map(extra).collect();
        let turn = |i: usize| -> Result<Turn> {
            let numbers = state.numbers(&format!("turn.{i}"))?;
            let (first, samples) = numbers.split_at(numbers.len().min(1 + modalities));
            let (rest, present) =
                (first.iter().take(1).any(|rest| *rest > 0.), flags(first.get(1..).unwrap_or_default()));
            Ok(Turn { samples: samples.iter().map(|sample| *sample as usize).collect(), present, rest })
        };
        let turns =
            (0..).take_while(|i| state.0.contains_key(&format!("turn.{i}"))).map(turn).collect::<Result<_>>()?;
        Ok(Self { epoch, step, update, batch: state.number("batch")? as usize, plan: Plan { extra, turns } })
    }
}
