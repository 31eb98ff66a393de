//! The update rules, with PyTorch's semantics.

use aim_config::{above, below, between, by_type, settings};
use aim_core::{Error, Optim, Result};
use aim_ops::update;
use candle_core::{Tensor, Var};

use crate::{Optimizer, OptimizerInfo, OptimizerSettings, Rule, Slot};

settings! {
    /// Stochastic gradient descent with momentum. The buffer starts as the first gradient, undampened.
    pub struct Sgd {
        /// Learning rate.
        pub lr: f64 = 0.001 => between(0., f64::MAX), "PyTorch";
        /// Share of the buffer that is kept.
        pub momentum: f64 = 0. => below(0., 1.), "PyTorch";
        /// Share of each later gradient that does not enter the buffer.
        pub dampening: f64 = 0. => between(0., 1.), "PyTorch";
        /// L2 decay added to the gradient.
        pub weight_decay: f64 = 0. => between(0., f64::MAX), "PyTorch";
        /// Look ahead along the buffer (Nesterov).
        pub nesterov: bool = false => by_type(), "PyTorch";
    }
}

impl Copy for Sgd {}

impl OptimizerSettings for Sgd {
    fn info(&self) -> &'static OptimizerInfo {
        &OptimizerInfo { name: "sgd", about: "stochastic gradient descent" }
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    fn build(&self) -> Box<dyn Optim> {
        Box::new(Optimizer::new(*self, self.lr))
    }

    fn check(&self, place: &str) -> Result<()> {
        if !self.nesterov || (self.momentum != 0. && self.dampening == 0.) {
            return Ok(());
        }
        let problem = "needs a momentum and no dampening";
        Err(Error::invalid(format!("{place}.nesterov"), problem, "set momentum above 0 and dampening to 0"))
    }
}

impl Rule for Sgd {
    const BUFFERS: &'static [&'static str] = &["momentum"];

    fn update(&self, lr: f64, decay: f64, param: &Var, grad: &Tensor, slot: &mut Slot) -> Result<()> {
        let Self { momentum, dampening, weight_decay, nesterov, .. } = *self;
        let buffer = if momentum == 0. { None } else { Some(slot.buffer("momentum", grad, 0.)?) };
        let h = update::Sgd { lr, momentum, dampening, weight_decay: weight_decay * decay, nesterov };
        Ok(update::sgd(param, grad, buffer.as_ref(), slot.steps == 1, h)?)
    }
}

settings! {
    /// Adam (Kingma & Ba 2015) with L2 decay added to the gradient.
    pub struct Adam {
        /// Learning rate.
        pub lr: f64 = 0.001 => between(0., f64::MAX), "PyTorch";
        /// Decay of the first and second moment.
        pub betas: (f64, f64) = (0.9, 0.999) => below(0., 1.), "PyTorch";
        /// Added to the denominator.
        pub eps: f64 = 1e-8 => above(0.), "PyTorch";
        /// L2 decay added to the gradient.
        pub weight_decay: f64 = 0. => between(0., f64::MAX), "PyTorch";
        /// Use the largest second moment so far (Reddi et al. 2018).
        pub amsgrad: bool = false => by_type(), "PyTorch";
    }
}

impl Copy for Adam {}

impl OptimizerSettings for Adam {
    fn info(&self) -> &'static OptimizerInfo {
        &OptimizerInfo { name: "adam", about: "Adam with L2 decay" }
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    fn build(&self) -> Box<dyn Optim> {
        Box::new(Optimizer::new(*self, self.lr))
    }
}

/// A step of Adam or AdamW with the moments that `slot` keeps; the settings are betas, eps, decay and whether it is
/// decoupled.
fn adam(
    lr: f64,
    param: &Var,
    grad: &Tensor,
    slot: &mut Slot,
    amsgrad: bool,
    ((beta1, beta2), eps, weight_decay, decoupled): ((f64, f64), f64, f64, bool),
) -> Result<()> {
    let (m, v) = (slot.buffer("exp_avg", grad, 0.)?, slot.buffer("exp_avg_sq", grad, 0.)?);
    let v_max = if amsgrad { Some(slot.buffer("max_exp_avg_sq", grad, 0.)?) } else { None };
    let h = update::Adam { lr, beta1, beta2, eps, weight_decay, decoupled };
    let moments = update::Moments { m: &m, v: &v, v_max: v_max.as_ref() };
    Ok(update::adam(param, grad, moments, slot.steps as u64, h)?)
}

impl Rule for Adam {
    const BUFFERS: &'static [&'static str] = &["exp_avg", "exp_avg_sq", "max_exp_avg_sq"];

    fn update(&self, lr: f64, decay: f64, param: &Var, grad: &Tensor, slot: &mut Slot) -> Result<()> {
        let Self { betas, eps, weight_decay, amsgrad, .. } = *self;
        adam(lr, param, grad, slot, amsgrad, (betas, eps, weight_decay * decay, false))
    }
}

settings! {
    /// AdamW (Loshchilov & Hutter 2019): Adam whose decay shrinks the parameter directly.
    pub struct AdamW {
        /// Learning rate.
        pub lr: f64 = 0.001 => between(0., f64::MAX), "PyTorch";
        /// Decay of the first and second moment.
        pub betas: (f64, f64) = (0.9, 0.999) => below(0., 1.), "PyTorch";
        /// Added to the denominator.
        pub eps: f64 = 1e-8 => above(0.), "PyTorch";
        /// Share of the parameter, times the rate, that each step takes away.
        pub weight_decay: f64 = 0.01 => between(0., f64::MAX), "PyTorch";
        /// Use the largest second moment so far (Reddi et al. 2018).
        pub amsgrad: bool = false => by_type(), "PyTorch";
    }
}

impl Copy for AdamW {}

impl OptimizerSettings for AdamW {
    fn info(&self) -> &'static OptimizerInfo {
        &OptimizerInfo { name: "adamw", about: "Adam with decoupled decay" }
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    fn build(&self) -> Box<dyn Optim> {
        Box::new(Optimizer::new(*self, self.lr))
    }
}

impl Rule for AdamW {
    const BUFFERS: &'static [&'static str] = Adam::BUFFERS;

    fn update(&self, lr: f64, decay: f64, param: &Var, grad: &Tensor, slot: &mut Slot) -> Result<()> {
        let Self { betas, eps, weight_decay, amsgrad, .. } = *self;
        adam(lr, param, grad, slot, amsgrad, (betas, eps, weight_decay * decay, true))
    }
}

settings! {
    /// Lion (Chen et al. 2023): the sign of an interpolated momentum, with decoupled decay.
    pub struct Lion {
        /// Learning rate.
        pub lr: f64 = 0.0001 => between(0., f64::MAX), "released (timm)";
        /// Share of the momentum in the direction, and in the momentum of the next step.
        pub betas: (f64, f64) = (0.9, 0.99) => below(0., 1.), "paper";
        /// Share of the parameter, times the rate, that each step takes away.
        pub weight_decay: f64 = 0. => between(0., f64::MAX), "released (timm)";
    }
}

impl Copy for Lion {}

impl OptimizerSettings for Lion {
    fn info(&self) -> &'static OptimizerInfo {
        &OptimizerInfo { name: "lion", about: "Lion: steps of one length, with decoupled decay" }
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    fn build(&self) -> Box<dyn Optim> {
        Box::new(Optimizer::new(*self, self.lr))
    }
}

impl Rule for Lion {
    const BUFFERS: &'static [&'static str] = &["exp_avg"];

    fn update(&self, lr: f64, decay: f64, param: &Var, grad: &Tensor, slot: &mut Slot) -> Result<()> {
        let (average, grad) = (slot.buffer("exp_avg", grad, 0.)?, grad.detach());
        let mixed = |beta: f64| (average.as_detached_tensor() * beta)? + (&grad * (1. - beta))?;
        let (direction, next) = (mixed(self.betas.0)?.sign()?, mixed(self.betas.1)?);
        let shrunk = (param.as_detached_tensor() * (1. - lr * self.weight_decay * decay))?;
        param.set(&(shrunk - (direction * lr)?)?)?;
        Ok(average.set(&next)?)
    }
}

settings! {
    /// AdaGrad (Duchi et al. 2011).
    pub struct AdaGrad {
        /// Learning rate.
        pub lr: f64 = 0.01 => between(0., f64::MAX), "PyTorch";
        /// Decay of the rate, which is divided by 1 + (t - 1) lr_decay.
        pub lr_decay: f64 = 0. => between(0., f64::MAX), "PyTorch";
        /// L2 decay added to the gradient.
        pub weight_decay: f64 = 0. => between(0., f64::MAX), "PyTorch";
        /// Start of the sum of squares.
        pub initial_accumulator_value: f64 = 0. => between(0., f64::MAX), "PyTorch";
        /// Added to the denominator.
        pub eps: f64 = 1e-10 => above(0.), "PyTorch";
    }
}

impl Copy for AdaGrad {}

impl OptimizerSettings for AdaGrad {
    fn info(&self) -> &'static OptimizerInfo {
        &OptimizerInfo { name: "adagrad", about: "AdaGrad" }
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    fn build(&self) -> Box<dyn Optim> {
        Box::new(Optimizer::new(*self, self.lr))
    }
}

impl Rule for AdaGrad {
    const BUFFERS: &'static [&'static str] = &["sum"];

    fn update(&self, lr: f64, decay: f64, param: &Var, grad: &Tensor, slot: &mut Slot) -> Result<()> {
        let Self { lr_decay, weight_decay, eps, .. } = *self;
        let sum = slot.buffer("sum", grad, self.initial_accumulator_value)?;
        let h = update::AdaGrad { lr, lr_decay, eps, weight_decay: weight_decay * decay };
        Ok(update::adagrad(param, grad, &sum, slot.steps as u64, h)?)
    }
}

settings! {
    /// RMSprop (Hinton's lecture 6e; centered form of Graves 2013).
    pub struct RmsProp {
        /// Learning rate.
        pub lr: f64 = 0.01 => between(0., f64::MAX), "PyTorch";
        /// Decay of the mean square.
        pub alpha: f64 = 0.99 => below(0., 1.), "PyTorch";
        /// Added to the denominator.
        pub eps: f64 = 1e-8 => above(0.), "PyTorch";
        /// L2 decay added to the gradient.
        pub weight_decay: f64 = 0. => between(0., f64::MAX), "PyTorch";
        /// Momentum on the scaled gradient.
        pub momentum: f64 = 0. => below(0., 1.), "PyTorch";
        /// Divide by the standard deviation instead of the root mean square.
        pub centered: bool = false => by_type(), "PyTorch";
    }
}

impl Copy for RmsProp {}

impl OptimizerSettings for RmsProp {
    fn info(&self) -> &'static OptimizerInfo {
        &OptimizerInfo { name: "rmsprop", about: "RMSprop" }
    }

    fn lr(&self) -> f64 {
        self.lr
    }

    fn build(&self) -> Box<dyn Optim> {
        Box::new(Optimizer::new(*self, self.lr))
    }
}

impl Rule for RmsProp {
    const BUFFERS: &'static [&'static str] = &["square_avg", "grad_avg", "momentum"];

    fn update(&self, lr: f64, decay: f64, param: &Var, grad: &Tensor, slot: &mut Slot) -> Result<()> {
        let Self { alpha, eps, weight_decay, momentum, centered, .. } = *self;
        let mut optional = |name, wanted: bool| wanted.then(|| slot.buffer(name, grad, 0.)).transpose();
        let (mean, buffer) = (optional("grad_avg", centered)?, optional("momentum", momentum != 0.)?);
        let square = slot.buffer("square_avg", grad, 0.)?;
        let averages = update::Averages { square: &square, mean: mean.as_ref(), momentum: buffer.as_ref() };
        let h = update::RmsProp { lr, alpha, eps, weight_decay: weight_decay * decay, momentum };
        Ok(update::rmsprop(param, grad, averages, h)?)
    }
}
