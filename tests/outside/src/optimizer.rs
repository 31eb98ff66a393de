//! An optimizer that follows the sign of the gradient's running mean.

use aim_config::{above, below, settings};
use aim_core::{Optim, Result};
use aim_optim::{Optimizer, OptimizerInfo, OptimizerSettings, Rule, Slot};
use candle_core::{Tensor, Var};

settings! {
    /// Settings of the optimizer `sign-descent`.
    pub struct SignDescent {
        /// Learning rate: how far every number moves in a step.
        pub lr: f64 = 0.001 => above(0.), "ours";
        /// Share of the running mean that a step keeps.
        pub momentum: f64 = 0.9 => below(0., 1.), "ours";
    }
}

impl OptimizerSettings for SignDescent {
    fn info(&self) -> &'static OptimizerInfo {
        &OptimizerInfo { name: "sign-descent", about: "descent by the sign of the gradient's running mean" }
    }
    fn lr(&self) -> f64 {
        self.lr
    }
    fn build(&self) -> Box<dyn Optim> {
        Box::new(Optimizer::new(self.clone(), self.lr))
    }
}

impl Rule for SignDescent {
    const BUFFERS: &'static [&'static str] = &["mean"];

    fn update(&self, lr: f64, _: f64, param: &Var, grad: &Tensor, slot: &mut Slot) -> Result<()> {
        let held = slot.buffer("mean", grad, 0.)?;
        let mean = ((held.as_tensor() * self.momentum)? + (grad * (1. - self.momentum))?)?;
        held.set(&mean)?;
        Ok(param.set(&(param.as_tensor() - (mean.sign()? * lr)?)?)?)
    }
}
