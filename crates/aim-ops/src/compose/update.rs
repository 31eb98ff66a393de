//! Optimizer steps.

use candle_core::{Result, Tensor, Var};

use crate::update::{AdaGrad, Adam, Averages, Moments, RmsProp, Sgd};

/// `var = keep * var + add`, and the new value.
fn blend(var: &Var, keep: f64, add: Tensor) -> Result<Tensor> {
    let new = ((var.as_detached_tensor() * keep)? + add)?;
    var.set(&new)?;
    Ok(new)
}

/// Gradient plus L2 penalty.
fn decayed(param: &Var, grad: &Tensor, decay: f64) -> Result<Tensor> {
    grad + (param.as_detached_tensor() * decay)?
}

/// `param = shrink * param - step`.
fn descend(param: &Var, shrink: f64, step: Tensor) -> Result<()> {
    param.set(&((param.as_detached_tensor() * shrink)? - step)?)
}

pub(crate) fn sgd(param: &Var, grad: &Tensor, buf: Option<&Var>, first: bool, h: Sgd) -> Result<()> {
    let g = decayed(param, grad, h.weight_decay)?;
    let step = match buf {
        None => g,
        Some(buf) => {
            let (keep, share) = if first { (0., 1.) } else { (h.momentum, 1. - h.dampening) };
            let new = blend(buf, keep, (&g * share)?)?;
            if h.nesterov { (g + (new * h.momentum)?)? } else { new }
        }
    };
    descend(param, 1., (step * h.lr)?)
}

pub(crate) fn adam(param: &Var, grad: &Tensor, moments: Moments<'_>, step: u64, h: Adam) -> Result<()> {
    let (shrink, decay) = if h.decoupled { (1. - h.lr * h.weight_decay, 0.) } else { (1., h.weight_decay) };
    let g = decayed(param, grad, decay)?;
    let m = blend(moments.m, h.beta1, (&g * (1. - h.beta1))?)?;
    let mut v = blend(moments.v, h.beta2, (g.sqr()? * (1. - h.beta2))?)?;
    if let Some(largest) = moments.v_max {
        v = largest.as_detached_tensor().maximum(&v)?;
        largest.set(&v)?;
    }
    let [of_m, of_v] = [h.beta1, h.beta2].map(|b| 1. - b.powf(step as f64));
    let denominator = ((v.sqrt()? / of_v.sqrt())? + h.eps)?;
    descend(param, shrink, ((m / denominator)? * (h.lr / of_m))?)
}

pub(crate) fn adagrad(param: &Var, grad: &Tensor, sum: &Var, rate: f64, h: AdaGrad) -> Result<()> {
    let g = decayed(param, grad, h.weight_decay)?;
    let sum = blend(sum, 1., g.sqr()?)?;
    descend(param, 1., ((g / (sum.sqrt()? + h.eps)?)? * rate)?)
}

pub(crate) fn rmsprop(param: &Var, grad: &Tensor, averages: Averages<'_>, h: RmsProp) -> Result<()> {
    let g = decayed(param, grad, h.weight_decay)?;
    let mut square = blend(averages.square, h.alpha, (g.sqr()? * (1. - h.alpha))?)?;
    if let Some(mean) = averages.mean {
        square = (square - blend(mean, h.alpha, (&g * (1. - h.alpha))?)?.sqr()?)?;
    }
    let mut step = (g / (square.sqrt()? + h.eps)?)?;
    if let Some(buf) = averages.momentum {
        step = blend(buf, h.momentum, step)?;
    }
    descend(param, 1., (step * h.lr)?)
}
