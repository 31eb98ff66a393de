//! An optimizer whose settings differ by role.

use aim_core::{Factors, Grads, Optim, Params, Result, Role, State, Stateful};

/// An optimizer that multiplies the learning rate and the decay of parameters by factors of their role.
pub struct Adjusted<F> {
    inner: Box<dyn Optim>,
    factors: F,
}

impl<F: Fn(Role) -> Option<Factors>> Adjusted<F> {
    /// `inner` with the factors that `factors` gives; those that a method gives for a step are multiplied with them.
    pub fn new(inner: Box<dyn Optim>, factors: F) -> Self {
        Self { inner, factors }
    }
}

impl<F: Fn(Role) -> Option<Factors>> Optim for Adjusted<F> {
    fn apply(&mut self, params: &Params, grads: &Grads) -> Result<()> {
        let mut grads = grads.clone();
        grads.adjust(params, &self.factors);
        self.inner.apply(params, &grads)
    }
    fn lr(&self) -> f64 {
        self.inner.lr()
    }
    fn set_lr(&mut self, lr: f64) {
        self.inner.set_lr(lr);
    }
}

impl<F> Stateful for Adjusted<F> {
    fn state(&self) -> Result<State> {
        self.inner.state()
    }
    fn load(&mut self, state: &State) -> Result<()> {
        self.inner.load(state)
    }
}

#[cfg(test)]
mod tests {
    use aim_core::{Kind, Part};
    use candle_core::{Device, Tensor};

    use super::*;
    use crate::{OptimizerSettings, Sgd};

    #[test]
    fn factors_reach_the_parameters_of_their_role() {
        let mut params = Params::default();
        let mut add = |name: &str, kind| {
            let role = Role { part: Part::Fusion, kind };
            params.add(name, role, &Tensor::new(&[1f32], &Device::Cpu).unwrap()).unwrap().var
        };
        let (w, b) = (add("w", Kind::Linear), add("b", Kind::Bias));
        let loss = (w.as_tensor() + b.as_tensor()).unwrap().sum_all().unwrap();
        let grads = Grads::of(&loss, &params).unwrap();
        let sgd = Sgd { lr: 0.1, weight_decay: 1., ..Sgd::default() };
        let none = |role: Role| (role.kind == Kind::Bias).then_some(Factors { lr: 0.5, decay: 0. });
        let mut opt = Adjusted::new(sgd.build(), none);
        opt.apply(&params, &grads).unwrap();
        // 1 - .1 (1 + 1), and at half the rate without decay 1 - .05.
        let value = |var: &candle_core::Var| var.to_vec1::<f32>().unwrap()[0];
        assert!((value(&w) - 0.8).abs() < 1e-6 && (value(&b) - 0.95).abs() < 1e-6);
        assert!(opt.lr() == 0.1 && grads.factors("b") == Factors::default(), "the gradients are the method's own");
    }
}
