//! Gradient accumulation: one update for a group of batches.

use aim_core::{Error, Grads, Optim, Params, Result, State, Stateful};

/// What the batches of a group that are done have left.
#[derive(Default)]
pub(super) struct Group {
    /// The sum of their gradients, each times the batch's mass. Factors are those of the first that has any.
    sum: Grads,
    /// The sum of their masses.
    mass: f64,
}

impl Group {
    /// What stands in for the optimizer while a method steps on a batch of this mass.
    pub fn gather<'a>(&'a mut self, opt: &'a mut dyn Optim, mass: f64) -> Gather<'a> {
        Gather { group: self, opt, mass, done: false }
    }

    /// Brings what was loaded to where the parameters are.
    pub fn bring(&mut self, params: &Params) -> Result<()> {
        let to = |name: &str| params.get(name).map(|param| param.var.device().clone());
        self.sum.map(params, |name, _, grad| Ok(to(name).map(|device| grad.to_device(&device)).transpose()?))
    }

    /// Descends the mean gradient, if there is one, and begins a new group.
    pub fn descend(&mut self, params: &Params, opt: &mut dyn Optim) -> Result<()> {
        let Self { sum, mass } = std::mem::take(self);
        if sum.is_empty() { Ok(()) } else { opt.apply(params, &sum.scaled(1. / mass)?) }
    }
}

impl Stateful for Group {
    /// Nothing between groups.
    fn state(&self) -> Result<State> {
        let mut state = State::default();
        if self.mass > 0. {
            state.put("mass", &[self.mass])?;
            state.nest("sum", self.sum.state()?);
        }
        Ok(state)
    }

    fn load(&mut self, state: &State) -> Result<()> {
        *self = Self::default();
        if state.0.contains_key("mass") {
            self.mass = state.number("mass")?;
            self.sum.load(&state.part("sum"))?;
        }
        Ok(())
    }
}

/// An optimizer that adds a batch's gradient to its group and moves nothing.
pub(super) struct Gather<'a> {
    group: &'a mut Group,
    opt: &'a mut dyn Optim,
    mass: f64,
    done: bool,
}

impl Optim for Gather<'_> {
    fn apply(&mut self, _: &Params, grads: &Grads) -> Result<()> {
        if std::mem::replace(&mut self.done, true) {
            let problem = "needs methods with one update a step, this one makes several";
            return Err(Error::invalid("train.accumulate", problem, "leave it out"));
        }
        self.group.sum.add_scaled(grads, self.mass)?;
        self.group.mass += self.mass;
        Ok(())
    }
    fn lr(&self) -> f64 {
        self.opt.lr()
    }
    fn set_lr(&mut self, lr: f64) {
        self.opt.set_lr(lr);
    }
}

impl Stateful for Gather<'_> {
    fn state(&self) -> Result<State> {
        self.opt.state()
    }
    fn load(&mut self, state: &State) -> Result<()> {
        self.opt.load(state)
    }
}
