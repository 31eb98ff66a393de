//! The update rules, with PyTorch's semantics.

use aim_core::Result;
use candle_core::{Tensor, Var};
use serde::{Deserialize, Serialize};

use crate::{Rule, Slot};

/// Gradient plus L2 decay.
fn decayed(grad: &Tensor, param: &Var, decay: f64) -> Result<Tensor> {
    if decay == 0. {
        return Ok(grad.clone());
    }
    Ok((grad + (param.as_detached_tensor() * decay)?)?)
}

/// `var = keep * var + add * x`, and the new value.
fn blend(var: &Var, keep: f64, x: &Tensor, add: f64) -> Result<Tensor> {
    let new = ((var.as_detached_tensor() * keep)? + (x * add)?)?;
    var.set(&new)?;
    Ok(new)
}

fn descend(param: &Var, step: &Tensor) -> Result<()> {
    Ok(param.set(&(param.as_detached_tensor() - step)?)?)
}

/// Stochastic gradient descent with momentum. The buffer starts as the first gradient, undampened.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sgd {
    /// Learning rate.
    pub lr: f64,
    /// Share of the buffer that is kept.
    pub momentum: f64,
    /// Share of each later gradient that does not enter the buffer.
    pub dampening: f64,
    /// L2 decay added to the gradient.
    pub weight_decay: f64,
    /// Look ahead along the buffer (Nesterov).
    pub nesterov: bool,
}

impl Default for Sgd {
    fn default() -> Self {
        Self { lr: 0.001, momentum: 0., dampening: 0., weight_decay: 0., nesterov: false }
    }
}

impl Rule for Sgd {
    const BUFFERS: &'static [&'static str] = &["momentum"];

    fn update(&self, lr: f64, param: &Var, grad: &Tensor, slot: &mut Slot) -> Result<()> {
        let mut g = decayed(grad, param, self.weight_decay)?;
        if self.momentum != 0. {
            let buffer = slot.buffer("momentum", &g, 0.)?;
            let share = if slot.steps == 1 { 1. } else { 1. - self.dampening };
            let buf = blend(&buffer, self.momentum, &g, share)?;
            g = if self.nesterov { (g + (buf * self.momentum)?)? } else { buf };
        }
        descend(param, &(g * lr)?)
    }
}

/// Adam (Kingma & Ba 2015) with L2 decay added to the gradient.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adam {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the first and second moment.
    pub betas: (f64, f64),
    /// Added to the denominator.
    pub eps: f64,
    /// L2 decay added to the gradient.
    pub weight_decay: f64,
    /// Use the largest second moment so far (Reddi et al. 2018).
    pub amsgrad: bool,
}

impl Default for Adam {
    fn default() -> Self {
        Self { lr: 0.001, betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0., amsgrad: false }
    }
}

impl Adam {
    /// The update for a gradient that holds its decay already.
    fn moments(&self, lr: f64, param: &Var, g: &Tensor, slot: &mut Slot) -> Result<()> {
        let (b1, b2) = self.betas;
        let m = blend(&slot.buffer("exp_avg", g, 0.)?, b1, g, 1. - b1)?;
        let mut v = blend(&slot.buffer("exp_avg_sq", g, 0.)?, b2, &g.sqr()?, 1. - b2)?;
        if self.amsgrad {
            let max = slot.buffer("max_exp_avg_sq", g, 0.)?;
            v = max.as_detached_tensor().maximum(&v)?;
            max.set(&v)?;
        }
        let (c1, c2) = (1. - b1.powi(slot.steps as i32), 1. - b2.powi(slot.steps as i32));
        let denominator = ((v.sqrt()? / c2.sqrt())? + self.eps)?;
        descend(param, &((m / denominator)? * (lr / c1))?)
    }
}

impl Rule for Adam {
    const BUFFERS: &'static [&'static str] = &["exp_avg", "exp_avg_sq", "max_exp_avg_sq"];

    fn update(&self, lr: f64, param: &Var, grad: &Tensor, slot: &mut Slot) -> Result<()> {
        self.moments(lr, param, &decayed(grad, param, self.weight_decay)?, slot)
    }
}

/// AdamW (Loshchilov & Hutter 2019): Adam whose decay shrinks the parameter directly. Its settings are Adam's; the decay
/// defaults to 0.01.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdamW {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the first and second moment.
    pub betas: (f64, f64),
    /// Added to the denominator.
    pub eps: f64,
    /// Share of the parameter, times the rate, that each step takes away.
    pub weight_decay: f64,
    /// Use the largest second moment so far (Reddi et al. 2018).
    pub amsgrad: bool,
}

impl Default for AdamW {
    fn default() -> Self {
        let Adam { lr, betas, eps, amsgrad, .. } = Adam::default();
        Self { lr, betas, eps, weight_decay: 0.01, amsgrad }
    }
}

impl Rule for AdamW {
    const BUFFERS: &'static [&'static str] = Adam::BUFFERS;

    fn update(&self, lr: f64, param: &Var, grad: &Tensor, slot: &mut Slot) -> Result<()> {
        if self.weight_decay != 0. {
            param.set(&(param.as_detached_tensor() * (1. - lr * self.weight_decay))?)?;
        }
        let Self { betas, eps, amsgrad, .. } = *self;
        Adam { lr, betas, eps, weight_decay: 0., amsgrad }.moments(lr, param, grad, slot)
    }
}

/// AdaGrad (Duchi et al. 2011).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdaGrad {
    /// Learning rate.
    pub lr: f64,
    /// The rate falls as 1 / (1 + (t - 1) lr_decay).
    pub lr_decay: f64,
    /// L2 decay added to the gradient.
    pub weight_decay: f64,
    /// What the sum of squares starts from.
    pub initial_accumulator_value: f64,
    /// Added to the denominator.
    pub eps: f64,
}

impl Default for AdaGrad {
    fn default() -> Self {
        Self { lr: 0.01, lr_decay: 0., weight_decay: 0., initial_accumulator_value: 0., eps: 1e-10 }
    }
}

impl Rule for AdaGrad {
    const BUFFERS: &'static [&'static str] = &["sum"];

    fn update(&self, lr: f64, param: &Var, grad: &Tensor, slot: &mut Slot) -> Result<()> {
        let g = decayed(grad, param, self.weight_decay)?;
        let sum = blend(&slot.buffer("sum", &g, self.initial_accumulator_value)?, 1., &g.sqr()?, 1.)?;
        let rate = lr / (1. + (slot.steps - 1) as f64 * self.lr_decay);
        descend(param, &((g / (sum.sqrt()? + self.eps)?)? * rate)?)
    }
}

/// RMSprop (Hinton's lecture 6e; centered form of Graves 2013).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RmsProp {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the mean square.
    pub alpha: f64,
    /// Added to the denominator.
    pub eps: f64,
    /// L2 decay added to the gradient.
    pub weight_decay: f64,
    /// Momentum on the scaled gradient.
    pub momentum: f64,
    /// Divide by the standard deviation instead of the root mean square.
    pub centered: bool,
}

impl Default for RmsProp {
    fn default() -> Self {
        Self { lr: 0.01, alpha: 0.99, eps: 1e-8, weight_decay: 0., momentum: 0., centered: false }
    }
}

impl Rule for RmsProp {
    const BUFFERS: &'static [&'static str] = &["square_avg", "grad_avg", "momentum"];

    fn update(&self, lr: f64, param: &Var, grad: &Tensor, slot: &mut Slot) -> Result<()> {
        let g = decayed(grad, param, self.weight_decay)?;
        let mut square = blend(&slot.buffer("square_avg", &g, 0.)?, self.alpha, &g.sqr()?, 1. - self.alpha)?;
        if self.centered {
            let mean = blend(&slot.buffer("grad_avg", &g, 0.)?, self.alpha, &g, 1. - self.alpha)?;
            square = (square - mean.sqr()?)?;
        }
        let mut step = (g / (square.sqrt()? + self.eps)?)?;
        if self.momentum != 0. {
            step = blend(&slot.buffer("momentum", &step, 0.)?, self.momentum, &step, 1.)?;
        }
        descend(param, &(step * lr)?)
    }
}
