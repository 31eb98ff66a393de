//! Optimizer steps that read and write each parameter once, with the semantics of `torch.optim`.
//!
//! State lives in the caller's variables, so it can be saved and restored; nothing is hidden here.

use candle_core::{Result, Tensor, Var, bail};

use crate::{check, cpu::update::apply, dispatch::unless_on_cpu, host};

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

/// Hyperparameters of [`adagrad`], as in `torch.optim.Adagrad`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AdaGrad {
    /// Learning rate.
    pub lr: f64,
    /// The rate of step `t` is `lr / (1 + (t - 1) * lr_decay)`.
    pub lr_decay: f64,
    /// Added to the root of the sum of squares.
    pub eps: f64,
    /// L2 penalty: `weight_decay * param` is added to the gradient.
    pub weight_decay: f64,
}

/// Hyperparameters of [`rmsprop`], as in `torch.optim.RMSprop`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsProp {
    /// Learning rate.
    pub lr: f64,
    /// Decay of the mean square.
    pub alpha: f64,
    /// Added to the root of the mean square.
    pub eps: f64,
    /// L2 penalty: `weight_decay * param` is added to the gradient.
    pub weight_decay: f64,
    /// Factor of the momentum buffer.
    pub momentum: f64,
}

/// What [`rmsprop`] keeps for one parameter; all start at zero.
#[derive(Clone, Copy, Debug)]
pub struct Averages<'a> {
    /// Mean of the squared gradients.
    pub square: &'a Var,
    /// Mean of the gradients: given, the step divides by the standard deviation (centered).
    pub mean: Option<&'a Var>,
    /// Momentum buffer: given, the step has momentum.
    pub momentum: Option<&'a Var>,
}

/// Runs `f`. On a CUDA device the updates in it, of a parameter each, may wait for its end and share launches
/// ([`Kernels::Untried`](crate::Kernels)); if `f` fails, none of those is made.
///
/// # Errors
/// Those of `f`, and those of the updates that waited.
pub fn together<E: From<candle_core::Error>>(
    f: impl FnOnce() -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    #[cfg(feature = "cuda")]
    return crate::cuda::update::together(f);
    #[cfg(not(feature = "cuda"))]
    f()
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
    unless_on_cpu!(param, update::sgd(param, &grad.detach(), buf, first, h));
    let [lr, decay, momentum, share] = [h.lr, h.weight_decay, h.momentum, 1. - h.dampening].map(|v| v as f32);
    let Some(buf) = buf else {
        return apply("sgd", param, grad, [], |p, g, []| (p - (g + p * decay) * lr, []));
    };
    apply("sgd", param, grad, [buf], |p, g, [b]| {
        let g = g + p * decay;
        let b = if first { g } else { b * momentum + g * share };
        let step = if h.nesterov { g + b * momentum } else { b };
        (p - step * lr, [b])
    })
}

/// One step of Adam or AdamW; `step` counts from 1.
///
/// # Errors
/// Dtypes other than f32, shapes or devices that differ, `step` 0, operands that share memory.
pub fn adam(param: &Var, grad: &Tensor, moments: Moments<'_>, step: u64, h: Adam) -> Result<()> {
    if step == 0 {
        bail!("adam: step counts from 1");
    }
    let Moments { m, v, v_max } = moments;
    let mut state = vec![m, v];
    state.extend(v_max);
    check_update("adam", param, grad, &state)?;
    unless_on_cpu!(param, update::adam(param, &grad.detach(), moments, step, h));
    let a = AdamStep::new(step, h);
    match v_max {
        None => apply("adam", param, grad, [m, v], move |p, g, [m, v]| {
            let (m, v) = a.moments(p, g, m, v);
            (a.moved(p, m, v), [m, v])
        }),
        Some(v_max) => apply("adam", param, grad, [m, v, v_max], move |p, g, [m, v, largest]| {
            let (m, v) = a.moments(p, g, m, v);
            let largest = largest.max(v);
            (a.moved(p, m, largest), [m, v, largest])
        }),
    }
}

/// The constants of one step of Adam.
#[derive(Clone, Copy)]
pub(crate) struct AdamStep {
    /// Factor of the parameter, and of the parameter's share in the gradient.
    pub(crate) shrink: f32,
    pub(crate) decay: f32,
    /// What is kept of each moment, and what is new.
    pub(crate) keep: [f32; 2],
    pub(crate) new: [f32; 2],
    /// Root of the second moment's correction.
    pub(crate) root: f32,
    pub(crate) eps: f32,
    pub(crate) rate: f32,
}

impl AdamStep {
    pub(crate) fn new(step: u64, h: Adam) -> Self {
        let (shrink, decay) = if h.decoupled { (1. - h.lr * h.weight_decay, 0.) } else { (1., h.weight_decay) };
        let [of_m, of_v] = [h.beta1, h.beta2].map(|b| 1. - b.powf(step as f64));
        Self {
            shrink: shrink as f32,
            decay: decay as f32,
            keep: [h.beta1 as f32, h.beta2 as f32],
            new: [(1. - h.beta1) as f32, (1. - h.beta2) as f32],
            root: (1. / of_v.sqrt()) as f32,
            eps: h.eps as f32,
            rate: (h.lr / of_m) as f32,
        }
    }

    #[inline(always)]
    fn moments(self, p: f32, g: f32, m: f32, v: f32) -> (f32, f32) {
        let g = g + p * self.decay;
        (m * self.keep[0] + g * self.new[0], v * self.keep[1] + g * g * self.new[1])
    }

    #[inline(always)]
    fn moved(self, p: f32, m: f32, v: f32) -> f32 {
        p * self.shrink - m / (v.sqrt() * self.root + self.eps) * self.rate
    }
}

/// One step of AdaGrad; `sum` holds the sum of squared gradients, `step` counts from 1.
///
/// # Errors
/// Dtypes other than f32, shapes or devices that differ, `step` 0, operands that share memory.
pub fn adagrad(param: &Var, grad: &Tensor, sum: &Var, step: u64, h: AdaGrad) -> Result<()> {
    if step == 0 {
        bail!("adagrad: step counts from 1");
    }
    check_update("adagrad", param, grad, &[sum])?;
    let rate = h.lr / (1. + (step - 1) as f64 * h.lr_decay);
    unless_on_cpu!(param, update::adagrad(param, &grad.detach(), sum, rate, h));
    let [rate, decay, eps] = [rate, h.weight_decay, h.eps].map(|v| v as f32);
    apply("adagrad", param, grad, [sum], |p, g, [sum]| {
        let g = g + p * decay;
        let sum = sum + g * g;
        (p - g / (sum.sqrt() + eps) * rate, [sum])
    })
}

/// One step of RMSprop.
///
/// # Errors
/// Dtypes other than f32, shapes or devices that differ, operands that share memory.
pub fn rmsprop(param: &Var, grad: &Tensor, averages: Averages<'_>, h: RmsProp) -> Result<()> {
    const OP: &str = "rmsprop";
    let Averages { square, mean, momentum } = averages;
    let state: Vec<&Var> = [Some(square), mean, momentum].into_iter().flatten().collect();
    check_update(OP, param, grad, &state)?;
    unless_on_cpu!(param, update::rmsprop(param, &grad.detach(), averages, h));
    let [lr, alpha, new, eps, decay, factor] =
        [h.lr, h.alpha, 1. - h.alpha, h.eps, h.weight_decay, h.momentum].map(|v| v as f32);
    let blend = move |old: f32, x: f32| old * alpha + x * new;
    let plain = move |p: f32, g: f32, square: f32| {
        let g = g + p * decay;
        (g, blend(square, g * g))
    };
    match (mean, momentum) {
        (None, None) => apply(OP, param, grad, [square], |p, g, [square]| {
            let (g, square) = plain(p, g, square);
            (p - g / (square.sqrt() + eps) * lr, [square])
        }),
        (None, Some(buf)) => apply(OP, param, grad, [square, buf], |p, g, [square, buf]| {
            let (g, square) = plain(p, g, square);
            let buf = buf * factor + g / (square.sqrt() + eps);
            (p - buf * lr, [square, buf])
        }),
        (Some(mean), None) => apply(OP, param, grad, [square, mean], |p, g, [square, mean]| {
            let (g, square) = plain(p, g, square);
            let mean = blend(mean, g);
            (p - g / ((square - mean * mean).sqrt() + eps) * lr, [square, mean])
        }),
        (Some(mean), Some(buf)) => apply(OP, param, grad, [square, mean, buf], |p, g, [square, mean, buf]| {
            let (g, square) = plain(p, g, square);
            let mean = blend(mean, g);
            let buf = buf * factor + g / ((square - mean * mean).sqrt() + eps);
            (p - buf * lr, [square, mean, buf])
        }),
    }
}
