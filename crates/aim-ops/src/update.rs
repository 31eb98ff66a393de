//! Optimizer steps that read and write each parameter once, with the semantics of `torch.optim`.
//!
//! State lives in the caller's variables, so it can be saved and restored; nothing is hidden here.

use candle_core::{Result, Tensor, Var, bail};

use crate::{check, host};

/// Hyperparameters of [`sgd`], as in `torch.optim.SGD`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sgd {
    /// Learning rate.
    pub lr: f64,
    /// Factor of the momentum buffer; 0 needs none.
    pub momentum: f64,
    /// The gradient enters the buffer times `1 - dampening`.
    pub dampening: f64,
    /// L2 penalty: `weight_decay * param` is added to the gradient.
    pub weight_decay: f64,
    /// Step along `gradient + momentum * buffer` instead of the buffer.
    pub nesterov: bool,
}

/// Hyperparameters of [`adam`], as in `torch.optim.Adam` and `torch.optim.AdamW`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Adam {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Weight decay.
    pub weight_decay: f64,
    /// Whether weight decay shrinks the parameter (AdamW) or is added to the gradient (Adam).
    pub decoupled: bool,
}

/// The moments that [`adam`] keeps for one parameter; all start at zero.
#[derive(Clone, Copy, Debug)]
pub struct Moments<'a> {
    /// First moment.
    pub m: &'a Var,
    /// Second moment.
    pub v: &'a Var,
    /// The largest second moment so far: given, the step is AMSGrad's.
    pub v_max: Option<&'a Var>,
}

/// Checks that all operands look like the parameter and that no two variables share memory.
fn check_update(op: &str, param: &Var, grad: &Tensor, state: &[&Var]) -> Result<()> {
    check::f32(op, "param", param)?;
    check::shape(op, "grad", grad, param.dims())?;
    check::one_device(op, param, &[Some(grad)])?;
    let mut seen = vec![host::storage_address(param), host::storage_address(grad)];
    for var in state {
        check::shape(op, "state", var, param.dims())?;
        check::one_device(op, param, &[Some(var)])?;
        seen.push(host::storage_address(var));
    }
    seen.sort_unstable();
    if seen.windows(2).any(|w| w[0] == w[1]) {
        bail!("{op}: param, grad and state must not share memory");
    }
    Ok(())
}

/// One step of stochastic gradient descent: `param -= lr * direction`.
///
/// `first` says that `buf` holds nothing yet: it is then set to the gradient itself, without dampening.
///
/// # Errors
/// Dtypes other than f32, shapes or devices that differ, momentum without `buf`, operands that share memory.
pub fn sgd(param: &Var, grad: &Tensor, buf: Option<&Var>, first: bool, h: Sgd) -> Result<()> {
    let buf = if h.momentum == 0. { None } else { buf };
    if h.momentum != 0. && buf.is_none() {
        bail!("sgd: momentum {} needs a buffer", h.momentum);
    }
    check_update("sgd", param, grad, buf.as_slice())?;
    sgd_composed(param, &grad.detach(), buf, first, h)
}

fn sgd_composed(param: &Var, grad: &Tensor, buf: Option<&Var>, first: bool, h: Sgd) -> Result<()> {
    let p = param.as_detached_tensor();
    let g = (grad + (&p * h.weight_decay)?)?;
    let step = match buf {
        None => g,
        Some(buf) => {
            let new = if first {
                g.clone()
            } else {
                ((buf.as_detached_tensor() * h.momentum)? + (&g * (1. - h.dampening))?)?
            };
            buf.set(&new)?;
            if h.nesterov { (g + (new * h.momentum)?)? } else { new }
        }
    };
    param.set(&(p - (step * h.lr)?)?)
}

/// One step of Adam or AdamW; `step` counts from 1.
///
/// # Errors
/// Dtypes other than f32, shapes or devices that differ, `step` 0, operands that share memory.
pub fn adam(param: &Var, grad: &Tensor, moments: Moments<'_>, step: u64, h: Adam) -> Result<()> {
    if step == 0 {
        bail!("adam: step counts from 1");
    }
    let mut state = vec![moments.m, moments.v];
    state.extend(moments.v_max);
    check_update("adam", param, grad, &state)?;
    adam_composed(param, &grad.detach(), moments, step, h)
}

fn adam_composed(param: &Var, grad: &Tensor, moments: Moments<'_>, step: u64, h: Adam) -> Result<()> {
    let p = param.as_detached_tensor();
    let decay = if h.decoupled { 1. - h.lr * h.weight_decay } else { 1. };
    let g = if h.decoupled { grad.clone() } else { (grad + (&p * h.weight_decay)?)? };
    let m = ((moments.m.as_detached_tensor() * h.beta1)? + (&g * (1. - h.beta1))?)?;
    let v = ((moments.v.as_detached_tensor() * h.beta2)? + (g.sqr()? * (1. - h.beta2))?)?;
    moments.m.set(&m)?;
    moments.v.set(&v)?;
    let v = match moments.v_max {
        None => v,
        Some(largest) => {
            let new = largest.as_detached_tensor().maximum(&v)?;
            largest.set(&new)?;
            new
        }
    };
    let t = step as f64;
    let denominator = ((v.sqrt()? / (1. - h.beta2.powf(t)).sqrt())? + h.eps)?;
    let change = ((m / denominator)? * (h.lr / (1. - h.beta1.powf(t))))?;
    param.set(&((p * decay)? - change)?)
}
