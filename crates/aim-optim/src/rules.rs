//! The update rules, with PyTorch's semantics.

use aim_core::Result;
use aim_ops::update;
use candle_core::{Tensor, Var};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Rule, Slot};

/// Stochastic gradient descent with momentum. The buffer starts as the first gradient, undampened.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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

    fn update(&self, lr: f64, decay: f64, param: &Var, grad: &Tensor, slot: &mut Slot) -> Result<()> {
        let Self { momentum, dampening, weight_decay, nesterov, .. } = *self;
        let buffer = if momentum == 0. { None } else { Some(slot.buffer("momentum", grad, 0.)?) };
        let h = update::Sgd { lr, momentum, dampening, weight_decay: weight_decay * decay, nesterov };
        Ok(update::sgd(param, grad, buffer.as_ref(), slot.steps == 1, h)?)
    }
}

/// Adam (Kingma & Ba 2015) with L2 decay added to the gradient.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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

/// A step of Adam or AdamW with the moments that `slot` keeps; the settings are betas, eps, decay and whether it is decoupled.
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

/// AdamW (Loshchilov & Hutter 2019): Adam whose decay shrinks the parameter directly. Its settings are Adam's; the decay
/// defaults to 0.01.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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

    fn update(&self, lr: f64, decay: f64, param: &Var, grad: &Tensor, slot: &mut Slot) -> Result<()> {
        let Self { betas, eps, weight_decay, amsgrad, .. } = *self;
        adam(lr, param, grad, slot, amsgrad, (betas, eps, weight_decay * decay, true))
    }
}

/// AdaGrad (Duchi et al. 2011).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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

    fn update(&self, lr: f64, decay: f64, param: &Var, grad: &Tensor, slot: &mut Slot) -> Result<()> {
        let Self { lr_decay, weight_decay, eps, .. } = *self;
        let sum = slot.buffer("sum", grad, self.initial_accumulator_value)?;
        let h = update::AdaGrad { lr, lr_decay, eps, weight_decay: weight_decay * decay };
        Ok(update::adagrad(param, grad, &sum, slot.steps as u64, h)?)
    }
}

/// RMSprop (Hinton's lecture 6e; centered form of Graves 2013).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
