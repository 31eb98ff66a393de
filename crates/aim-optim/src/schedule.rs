//! Learning-rate schedules: a factor on the base rate for each epoch or each update. Both count from 0.

use std::sync::{Arc, LazyLock};

use aim_config::{AnySettings, Card, Registry, Settings, Spec, Value, above_to, at_least, below, between, settings};
use aim_core::{Clock, Error, Optim, Result, State, Stateful, Stateless};

/// Description of a schedule.
#[derive(Clone, Copy, Debug)]
pub struct ScheduleInfo {
    /// Name in a configuration.
    pub name: &'static str,
    /// Its course.
    pub about: &'static str,
}

/// A schedule in use.
pub trait Schedule: Stateful {
    /// Factor on the base rate at an update; `at` counts updates, not batches.
    fn factor(&self, at: Clock) -> f64;

    /// Takes note of the validation accuracy after an epoch.
    fn after_epoch(&mut self, validation_accuracy: f64);
}

/// A schedule that depends on the epoch alone.
pub struct ByEpoch<F>(pub F);

impl<F> Stateless for ByEpoch<F> {}

impl<F: Fn(usize) -> f64> Schedule for ByEpoch<F> {
    fn factor(&self, at: Clock) -> f64 {
        (self.0)(at.epoch)
    }

    fn after_epoch(&mut self, _: f64) {}
}

/// A schedule that depends on the update alone.
pub struct ByUpdate<F>(pub F);

impl<F> Stateless for ByUpdate<F> {}

impl<F: Fn(Clock) -> f64> Schedule for ByUpdate<F> {
    fn factor(&self, at: Clock) -> f64 {
        (self.0)(at)
    }

    fn after_epoch(&mut self, _: f64) {}
}

/// Settings of a schedule, and how it is made.
pub trait ScheduleSettings: AnySettings {
    /// The schedule's description.
    fn info(&self) -> &'static ScheduleInfo;

    /// Makes the schedule for a run of so many epochs.
    fn build(&self, epochs: usize) -> Box<dyn Schedule>;
}

/// The card of a schedule.
pub type ScheduleCard = Card<dyn ScheduleSettings>;

/// Schedules by name.
pub type Schedules = Registry<ScheduleCard>;

/// A schedule with its settings, as a configuration names it.
pub type ScheduleSpec = Spec<dyn ScheduleSettings>;

/// The card of the schedule that `S` configures, for a registry.
pub fn schedule_card<S: Settings + ScheduleSettings>() -> ScheduleCard {
    let read: fn(&Value, &str) -> Result<Arc<dyn ScheduleSettings>> =
        |section, place| Ok(Arc::new(ScheduleCard::read_as::<S>(section, place)?));
    let defaults = S::default();
    ScheduleCard::new(defaults.info().name, Arc::new(defaults), read)
}

/// A schedule with settings that were made in Rust.
pub fn schedule<S: Settings + ScheduleSettings>(settings: S) -> ScheduleSpec {
    Spec::of(settings.info().name, Arc::new(settings))
}

/// The schedules of this crate.
pub fn builtin_schedules() -> &'static Schedules {
    static SCHEDULES: LazyLock<Schedules> = LazyLock::new(|| {
        let mut all = Schedules::new("schedule", "schedules");
        // Names differ, as a test makes sure.
        for card in [
            schedule_card::<Constant>(),
            schedule_card::<Step>(),
            schedule_card::<MultiStep>(),
            schedule_card::<Cosine>(),
            schedule_card::<LinearWarmup>(),
            schedule_card::<WarmupCosine>(),
            schedule_card::<OneCycle>(),
            schedule_card::<Plateau>(),
        ] {
            drop(all.add(card));
        }
        all
    });
    &SCHEDULES
}

settings! {
    /// The base rate throughout.
    pub struct Constant {}
}

impl ScheduleSettings for Constant {
    fn info(&self) -> &'static ScheduleInfo {
        &ScheduleInfo { name: "constant", about: "the base rate throughout" }
    }

    fn build(&self, _: usize) -> Box<dyn Schedule> {
        Box::new(ByEpoch(|_| 1.))
    }
}

settings! {
    /// Drops at equal distances.
    pub struct Step {
        /// Epochs between drops.
        pub every: usize = 0 => at_least(1).required(), "ours";
        /// Factor of a drop.
        pub gamma: f64 = 0.1 => above_to(0., 1.), "PyTorch";
    }
}

impl ScheduleSettings for Step {
    fn info(&self) -> &'static ScheduleInfo {
        &ScheduleInfo { name: "step", about: "times gamma every `every` epochs" }
    }

    fn build(&self, _: usize) -> Box<dyn Schedule> {
        let Self { every, gamma } = *self;
        Box::new(ByEpoch(move |epoch| gamma.powi((epoch / every.max(1)) as i32)))
    }
}

settings! {
    /// Drops at given epochs.
    pub struct MultiStep {
        /// Epochs at which the rate drops.
        pub milestones: Vec<usize> = Vec::new() => at_least(0).required(), "ours";
        /// Factor of a drop.
        pub gamma: f64 = 0.1 => above_to(0., 1.), "PyTorch";
    }
}

impl ScheduleSettings for MultiStep {
    fn info(&self) -> &'static ScheduleInfo {
        &ScheduleInfo { name: "multi-step", about: "times gamma at each of `milestones`" }
    }

    fn build(&self, _: usize) -> Box<dyn Schedule> {
        let Self { milestones, gamma } = self.clone();
        Box::new(ByEpoch(move |epoch| gamma.powi(milestones.iter().filter(|m| **m <= epoch).count() as i32)))
    }
}

settings! {
    /// Half a cosine from the base rate down (Loshchilov & Hutter 2017), after linear growth.
    pub struct Cosine {
        /// Final factor.
        pub min: f64 = 0. => between(0., 1.), "paper";
        /// Epochs of linear growth before the cosine begins.
        pub warmup: usize = 0 => at_least(0).unit("epochs"), "ours";
    }
}

impl ScheduleSettings for Cosine {
    fn info(&self) -> &'static ScheduleInfo {
        static INFO: ScheduleInfo = ScheduleInfo {
            name: "cosine",
            about: "half a cosine down to min times the base rate, after `warmup` epochs of linear growth",
        };
        &INFO
    }

    fn build(&self, epochs: usize) -> Box<dyn Schedule> {
        let Self { min, warmup } = *self;
        let span = epochs.saturating_sub(warmup).max(1) as f64;
        Box::new(ByEpoch(move |epoch| {
            if epoch < warmup {
                return grown(epoch, warmup);
            }
            let t = ((epoch - warmup) as f64 / span).min(1.);
            min + (1. - min) * 0.5 * (1. + (std::f64::consts::PI * t).cos())
        }))
    }
}

/// Factor of an epoch of linear growth.
fn grown(epoch: usize, warmup: usize) -> f64 {
    (epoch + 1) as f64 / warmup as f64
}

settings! {
    /// Linear growth, then the base rate.
    pub struct LinearWarmup {
        /// Epochs until the base rate is reached.
        pub warmup: usize = 0 => at_least(1).required().unit("epochs"), "ours";
    }
}

impl ScheduleSettings for LinearWarmup {
    fn info(&self) -> &'static ScheduleInfo {
        &ScheduleInfo { name: "linear-warmup", about: "linear growth over `warmup` epochs, then the base rate" }
    }

    fn build(&self, _: usize) -> Box<dyn Schedule> {
        let warmup = self.warmup;
        Box::new(ByEpoch(move |epoch| if epoch < warmup { grown(epoch, warmup) } else { 1. }))
    }
}

settings! {
    /// Linear growth over a number of updates, then half a cosine over those that are left.
    pub struct WarmupCosine {
        /// Updates of linear growth.
        pub warmup_steps: usize = 0 => at_least(0).required().unit("updates"), "ours";
        /// Factor of the first update.
        pub start: f64 = 0. => between(0., 1.), "Transformers";
        /// Factor that the cosine ends at.
        pub min: f64 = 0. => between(0., 1.), "Transformers";
    }
}

impl ScheduleSettings for WarmupCosine {
    fn info(&self) -> &'static ScheduleInfo {
        static INFO: ScheduleInfo = ScheduleInfo {
            name: "warmup-cosine",
            about: "linear growth over `warmup_steps` updates, then half a cosine down to min times the base rate",
        };
        &INFO
    }

    fn build(&self, _: usize) -> Box<dyn Schedule> {
        let Self { warmup_steps, start, min } = *self;
        Box::new(ByUpdate(move |at: Clock| {
            if at.step < warmup_steps {
                return start + (1. - start) * at.step as f64 / warmup_steps as f64;
            }
            let rest = updates(at).saturating_sub(warmup_steps).max(1) as f64;
            let t = ((at.step - warmup_steps) as f64 / rest).min(1.);
            min + (1. - min) * 0.5 * (1. + (std::f64::consts::PI * t).cos())
        }))
    }
}

settings! {
    /// One cycle up to the base rate and far below (Smith & Topin 2019), as in PyTorch's `OneCycleLR`.
    pub struct OneCycle {
        /// Share of the updates that the rate grows over.
        pub share: f64 = 0.3 => above_to(0., 1.), "PyTorch";
        /// What the base rate is divided by at the first update.
        pub start: f64 = 25. => between(1., f64::MAX), "PyTorch";
        /// What the first update's rate is divided by at the last one.
        pub end: f64 = 1e4 => between(1., f64::MAX), "PyTorch";
    }
}

impl ScheduleSettings for OneCycle {
    fn info(&self) -> &'static ScheduleInfo {
        &ScheduleInfo { name: "one-cycle", about: "half a cosine up to the base rate, and one far below, by updates" }
    }

    fn build(&self, _: usize) -> Box<dyn Schedule> {
        let Self { share, start, end } = *self;
        let between = |from: f64, to: f64, t: f64| to + (from - to) * 0.5 * (1. + (std::f64::consts::PI * t).cos());
        Box::new(ByUpdate(move |at: Clock| {
            let (step, all) = (at.step as f64, updates(at) as f64);
            let (top, last) = (share * all - 1., all - 1.);
            if step <= top {
                let t = if top > 0. { step / top } else { 1. };
                return between(1. / start, 1., t);
            }
            let t = ((step - top) / (last - top)).min(1.);
            between(1., 1. / (start * end), t)
        }))
    }
}

/// Updates of the whole run, if the epochs to come are as long as this one.
fn updates(at: Clock) -> usize {
    let rest = at.epochs.saturating_sub(at.epoch).saturating_mul(at.steps_per_epoch);
    at.step.saturating_sub(at.batch).saturating_add(rest)
}

settings! {
    /// Drops when validation accuracy has stopped growing.
    pub struct Plateau {
        /// Factor of a drop.
        pub factor: f64 = 0.1 => above_to(0., 1.), "PyTorch";
        /// Epochs without growth that are tolerated.
        pub patience: usize = 5 => at_least(0).unit("epochs"), "ours";
        /// Growth below this does not count.
        pub threshold: f64 = 1e-4 => below(0., 1.), "PyTorch";
    }
}

impl ScheduleSettings for Plateau {
    fn info(&self) -> &'static ScheduleInfo {
        static INFO: ScheduleInfo = ScheduleInfo {
            name: "plateau",
            about: "times factor after `patience` epochs without growth of validation accuracy",
        };
        &INFO
    }

    fn build(&self, _: usize) -> Box<dyn Schedule> {
        Box::new(Waiting { settings: self.clone(), scale: 1., best: f64::NEG_INFINITY, since: 0 })
    }
}

/// The plateau schedule: factor so far, best validation accuracy, epochs since.
struct Waiting {
    settings: Plateau,
    scale: f64,
    best: f64,
    since: usize,
}

impl Schedule for Waiting {
    fn factor(&self, _: Clock) -> f64 {
        self.scale
    }

    fn after_epoch(&mut self, validation_accuracy: f64) {
        if validation_accuracy > self.best + self.settings.threshold {
            (self.best, self.since) = (validation_accuracy, 0);
            return;
        }
        self.since += 1;
        if self.since > self.settings.patience {
            (self.scale, self.since) = (self.scale * self.settings.factor, 0);
        }
    }
}

impl Stateful for Waiting {
    fn state(&self) -> Result<State> {
        let mut state = State::default();
        state.put("plateau", &[self.scale, self.best, self.since as f64])?;
        Ok(state)
    }

    fn load(&mut self, state: &State) -> Result<()> {
        let [scale, best, since] = state.numbers("plateau")?[..] else {
            return Err(Error::shape("state `plateau`", &[], "[3]"));
        };
        (self.scale, self.best, self.since) = (scale, best, since as usize);
        Ok(())
    }
}

/// A schedule around a base rate: sets the optimizer's rate before each update.
pub struct Scheduler {
    schedule: Box<dyn Schedule>,
    base: f64,
}

impl Scheduler {
    /// A schedule over `epochs` epochs around the rate `base`.
    pub fn new(schedule: &ScheduleSpec, base: f64, epochs: usize) -> Self {
        Self { schedule: schedule.build(epochs), base }
    }

    /// The rate that it is around.
    pub fn base(&self) -> f64 {
        self.base
    }

    /// Factor at an update; `at` counts updates, not batches.
    pub fn factor(&self, at: Clock) -> f64 {
        self.schedule.factor(at)
    }

    /// The factor of the last update of a run, if it is the largest of all and below 1: then the rate grows to the end
    /// and never reaches the base. Epochs have `updates` updates each.
    pub fn unreached(&self, epochs: usize, updates: usize) -> Option<f64> {
        let at = |step| {
            let (epoch, batch) = (step / updates, step % updates);
            self.factor(Clock { epoch, epochs, step, batch, steps_per_epoch: updates })
        };
        let last = at((epochs * updates).checked_sub(1)?);
        (last < 1. && (0..epochs * updates).all(|step| at(step) <= last)).then_some(last)
    }

    /// Sets the rate for an update.
    pub fn before_update(&self, at: Clock, opt: &mut dyn Optim) {
        opt.set_lr(self.base * self.factor(at));
    }

    /// Takes note of the validation accuracy after an epoch.
    pub fn after_epoch(&mut self, validation_accuracy: f64) {
        self.schedule.after_epoch(validation_accuracy);
    }
}

impl Stateful for Scheduler {
    fn state(&self) -> Result<State> {
        self.schedule.state()
    }

    fn load(&mut self, state: &State) -> Result<()> {
        self.schedule.load(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factors(settings: impl Settings + ScheduleSettings, epochs: usize) -> Vec<f64> {
        let s = Scheduler::new(&schedule(settings), 1., epochs);
        (0..epochs).map(|epoch| s.factor(Clock { epoch, epochs, ..Clock::default() })).collect()
    }

    /// Factors of every update of a run whose epochs have these lengths.
    fn by_update(settings: impl Settings + ScheduleSettings, lengths: &[usize]) -> Vec<f64> {
        let (epochs, mut step) = (lengths.len(), 0);
        let s = Scheduler::new(&schedule(settings), 1., epochs);
        let mut factors = vec![];
        for (epoch, &steps_per_epoch) in lengths.iter().enumerate() {
            for batch in 0..steps_per_epoch {
                factors.push(s.factor(Clock { epoch, epochs, step, batch, steps_per_epoch }));
                step += 1;
            }
        }
        factors
    }

    fn assert_near(found: &[f64], wanted: &[f64]) {
        let near = found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(found.len() == wanted.len() && near, "{found:?}");
    }

    #[test]
    fn a_warm_up_that_never_ends_is_known() {
        let unreached = |settings: ScheduleSpec, epochs| Scheduler::new(&settings, 1., epochs).unreached(epochs, 3);
        assert_eq!(unreached(schedule(Cosine { warmup: 5, ..Cosine::default() }), 2), Some(0.4));
        assert_eq!(unreached(schedule(LinearWarmup { warmup: 4 }), 3), Some(0.75));
        let updates = || schedule(WarmupCosine { warmup_steps: 10, ..WarmupCosine::default() });
        assert_eq!(unreached(updates(), 3), Some(0.8));
        for reached in [schedule(Cosine { warmup: 2, ..Cosine::default() }), schedule(LinearWarmup { warmup: 3 })] {
            assert_eq!(unreached(reached, 3), None);
        }
        assert_eq!(unreached(updates(), 6), None);
        assert_eq!(unreached(schedule(Constant {}), 4), None);
        assert_eq!(unreached(schedule(OneCycle::default()), 4), None);
    }

    #[test]
    fn warm_up_and_cosine_by_hand() {
        // Two updates of growth, then cos at 0, 1/4, 1/2 and 3/4 of pi, whatever the epochs are.
        let wanted = [0., 0.5, 1., 0.853_553, 0.5, 0.146_447];
        let settings = || WarmupCosine { warmup_steps: 2, ..WarmupCosine::default() };
        assert_near(&by_update(settings(), &[3, 3]), &wanted);
        assert_near(&by_update(settings(), &[2, 2, 2]), &wanted);
        assert_near(&by_update(settings(), &[6]), &wanted);
        // A start of 0.2 and a floor of 0.1.
        let settings = WarmupCosine { warmup_steps: 2, start: 0.2, min: 0.1 };
        assert_near(&by_update(settings, &[3, 3]), &[0.2, 0.6, 1., 0.868_198, 0.55, 0.231_802]);
        // A clock that stands behind the run, or in the middle of an epoch whose beginning it does not count.
        let past = Scheduler::new(&schedule(WarmupCosine::default()), 1., 1);
        assert_near(&[past.factor(Clock { epoch: 2, epochs: 1, step: 1, batch: 3, steps_per_epoch: 4 })], &[0.]);
        // A run that ends within the growth.
        assert_near(&by_update(WarmupCosine { warmup_steps: 8, ..WarmupCosine::default() }, &[2]), &[0., 0.125]);
    }

    #[test]
    fn one_cycle_is_that_of_pytorch() {
        let wanted = [0.04, 0.52, 1., 0.950_484_6, 0.811_745_7, 0.611_262, 0.388_742, 0.188_258_3, 0.049_519_4, 4e-6];
        assert_near(&by_update(OneCycle::default(), &[5, 5]), &wanted);
        let all_up = by_update(OneCycle { share: 1., ..OneCycle::default() }, &[3]);
        assert_near(&all_up, &[0.04, 0.52, 1.]);
        let late = by_update(OneCycle { share: 0.9, ..OneCycle::default() }, &[3]);
        assert_near(&late, &[0.04, 0.651_358_2, 4e-6]);
        assert_near(&by_update(OneCycle::default(), &[1]), &[4e-6]);
    }

    #[test]
    fn a_cosine_over_epochs_of_several_lengths_ends_with_the_run() {
        let factors = by_update(WarmupCosine { warmup_steps: 1, ..WarmupCosine::default() }, &[2, 4, 3]);
        assert!(factors[1..].windows(2).all(|pair| pair[1] < pair[0]), "{factors:?}");
        // The last epoch knows how long it is: its last update is one before the end of 8.
        assert_near(&factors[8..], &[0.5 * (1. + (std::f64::consts::PI * 7. / 8.).cos())]);
    }

    #[test]
    fn factors_by_hand() {
        assert_eq!(factors(Step { every: 2, gamma: 0.5 }, 5), [1., 1., 0.5, 0.5, 0.25]);
        assert_eq!(factors(MultiStep { milestones: vec![1, 3], gamma: 0.5 }, 4), [1., 0.5, 0.5, 0.25]);
        assert_eq!(factors(LinearWarmup { warmup: 4 }, 5), [0.25, 0.5, 0.75, 1., 1.]);
        let cosine = factors(Cosine { min: 0., warmup: 0 }, 4);
        for (got, want) in cosine.iter().zip([1., 0.853_553, 0.5, 0.146_447]) {
            assert!((got - want).abs() < 1e-6, "{cosine:?}");
        }
    }

    #[test]
    fn plateau_drops_after_patience() {
        let mut s = Scheduler::new(&schedule(Plateau { factor: 0.5, patience: 1, threshold: 0. }), 1., 9);
        let seen: Vec<f64> = [0.5, 0.6, 0.6, 0.6, 0.7]
            .into_iter()
            .map(|v| {
                s.after_epoch(v);
                s.factor(Clock::default())
            })
            .collect();
        assert_eq!(seen, [1., 1., 1., 0.5, 0.5]);
    }
}
