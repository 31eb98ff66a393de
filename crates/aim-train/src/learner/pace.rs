//! Groups of parameters with schedules of their own.

use aim_core::{Clock, Factors, Grads, Optim, Params, Result, Role, State, Stateful};
use aim_optim::{ScheduleSpec, Scheduler};

/// The schedules of groups of parameters that do not follow the run's.
pub(super) struct Paces {
    /// By the number of the group.
    of: Vec<Option<Scheduler>>,
    /// The number of a parameter's group.
    group: Box<dyn Fn(Role) -> Option<usize>>,
}

impl Default for Paces {
    fn default() -> Self {
        Self { of: vec![], group: Box::new(|_| None) }
    }
}

impl Paces {
    pub fn new(
        schedules: &[Option<ScheduleSpec>],
        group: impl Fn(Role) -> Option<usize> + 'static,
        base: f64,
        epochs: usize,
    ) -> Self {
        let scheduler = |spec: &Option<ScheduleSpec>| spec.as_ref().map(|spec| Scheduler::new(spec, base, epochs));
        Self { of: schedules.iter().map(scheduler).collect(), group: Box::new(group) }
    }

    /// The optimizer with the rates of an update; `main` is the run's schedule.
    pub fn at<'a>(&'a self, at: Clock, main: &Scheduler, opt: &'a mut dyn Optim) -> Paced<'a> {
        let factor = |schedule: &Option<Scheduler>| schedule.as_ref().map(|schedule| schedule.factor(at));
        let own = self.of.iter().map(factor).collect();
        Paced { own, main: main.factor(at), base: main.base(), group: &self.group, opt }
    }

    /// Tells the schedules how an epoch went.
    pub fn after_epoch(&mut self, validation_accuracy: f64) {
        self.of.iter_mut().flatten().for_each(|schedule| schedule.after_epoch(validation_accuracy));
    }
}

impl Stateful for Paces {
    fn state(&self) -> Result<State> {
        let mut state = State::default();
        for (number, schedule) in self.of.iter().enumerate() {
            if let Some(schedule) = schedule {
                state.nest(&number.to_string(), schedule.state()?);
            }
        }
        Ok(state)
    }

    fn load(&mut self, state: &State) -> Result<()> {
        for (number, schedule) in self.of.iter_mut().enumerate() {
            if let Some(schedule) = schedule {
                schedule.load(&state.part(&number.to_string()))?;
            }
        }
        Ok(())
    }
}

/// An optimizer whose rate follows the schedule of each parameter's group.
pub(super) struct Paced<'a> {
    /// Factors on the base rate by group, and that of all others.
    own: Vec<Option<f64>>,
    main: f64,
    base: f64,
    group: &'a dyn Fn(Role) -> Option<usize>,
    opt: &'a mut dyn Optim,
}

impl Optim for Paced<'_> {
    fn apply(&mut self, params: &Params, grads: &Grads) -> Result<()> {
        if self.own.iter().all(Option::is_none) {
            return self.opt.apply(params, grads);
        }
        let own = |role| self.own.get((self.group)(role)?).copied().flatten();
        let mut grads = grads.clone();
        grads.adjust(params, |role| Some(Factors { lr: own(role).unwrap_or(self.main), ..Factors::default() }));
        // The run's rate may be 0, of which no factor makes another.
        let rate = self.opt.lr();
        self.opt.set_lr(self.base);
        let done = self.opt.apply(params, &grads);
        self.opt.set_lr(rate);
        done
    }
    fn lr(&self) -> f64 {
        self.opt.lr()
    }
    fn set_lr(&mut self, lr: f64) {
        self.opt.set_lr(lr);
    }
}

impl Stateful for Paced<'_> {
    fn state(&self) -> Result<State> {
        self.opt.state()
    }
    fn load(&mut self, state: &State) -> Result<()> {
        self.opt.load(state)
    }
}

#[cfg(test)]
mod tests {
    use aim_core::{Kind, Part};
    use aim_optim::{Constant, MultiStep, OptimizerSettings, Plateau, Sgd, Step, schedule};
    use candle_core::{Device, Tensor};

    use super::*;

    const EPOCHS: usize = 4;

    #[test]
    fn rates_by_hand() {
        let mut params = Params::default();
        let mut grads = Grads::default();
        for (name, kind) in [("weight", Kind::Linear), ("bias", Kind::Bias), ("norm", Kind::Norm)] {
            let role = Role { part: Part::Fusion, kind };
            params.add(name, role, &Tensor::new(&[0f32], &Device::Cpu).unwrap()).unwrap();
            grads.insert(name.into(), Tensor::new(&[-1f32], &Device::Cpu).unwrap());
        }
        let mut sgd = Sgd { lr: 0.5, momentum: 0., ..Sgd::default() }.build();
        // The run: 1, 0.1, 0.01. Biases: 1 throughout. Norms follow the run.
        let main = Scheduler::new(&schedule(Step { every: 1, gamma: 0.1 }), 0.5, EPOCHS);
        let group = |role: Role| match role.kind {
            Kind::Bias => Some(1),
            Kind::Norm => Some(0),
            _ => None,
        };
        let paces = Paces::new(&[None, Some(schedule(Constant {}))], group, 0.5, EPOCHS);
        for epoch in 0..3 {
            let at = Clock { epoch, epochs: EPOCHS, ..Clock::default() };
            main.before_update(at, sgd.as_mut());
            let rate = sgd.lr();
            let mut paced = paces.at(at, &main, sgd.as_mut());
            paced.apply(&params, &grads).unwrap();
            assert_eq!(paced.lr(), rate, "what is told is the run's rate");
        }
        let value = |name: &str| params.get(name).unwrap().var.to_vec1::<f32>().unwrap()[0];
        assert!((value("weight") - 0.555).abs() < 1e-6 && (value("norm") - 0.555).abs() < 1e-6);
        assert!((value("bias") - 1.5).abs() < 1e-6);
    }

    #[test]
    fn what_a_schedule_has_seen_is_kept() {
        let specs = [
            Some(schedule(Plateau { factor: 0.5, patience: 0, threshold: 0. })),
            None,
            Some(schedule(MultiStep { milestones: vec![1], ..MultiStep::default() })),
        ];
        let new = || Paces::new(&specs, |_| Some(0), 1., EPOCHS);
        let factor = |paces: &Paces| paces.of[0].as_ref().unwrap().factor(Clock::default());
        let (mut paces, mut again) = (new(), new());
        [0.9, 0.8, 0.7].into_iter().for_each(|accuracy| paces.after_epoch(accuracy));
        again.load(&paces.state().unwrap()).unwrap();
        assert_eq!((factor(&paces), factor(&again), factor(&new())), (0.25, 0.25, 1.));
    }
}
