//! Normalisations and the rectifier.

use candle_core::{D, Result, Tensor};

use crate::{Act, BatchStats};

/// `max(x, 0)` with derivative 0 at 0 (candle's own has 1 there).
pub(crate) fn relu(x: &Tensor) -> Result<Tensor> {
    x.gt(&x.zeros_like()?)?.where_cond(x, &x.zeros_like()?)
}

/// `[C]` shaped so that it broadcasts over `[B, C, ...]`.
fn per_channel(v: &Tensor, rank: usize) -> Result<Tensor> {
    let mut shape = vec![1; rank];
    shape[1] = v.dim(0)?;
    v.reshape(shape)
}

/// Mean and biased variance over every dimension but the second, with gradients.
fn moments(x: &Tensor) -> Result<(Tensor, Tensor)> {
    let (b, c) = (x.dim(0)?, x.dim(1)?);
    let rows = x.reshape((b, c, ()))?.transpose(0, 1)?.reshape((c, ()))?;
    let mean = rows.mean_keepdim(1)?;
    let var = rows.broadcast_sub(&mean)?.sqr()?.mean(1)?;
    Ok((mean.squeeze(1)?, var))
}

/// The detached statistics.
fn batch_stats(mean: &Tensor, var: &Tensor, x: &Tensor) -> BatchStats {
    BatchStats { mean: mean.detach(), var: var.detach(), count: x.elem_count() / mean.elem_count().max(1) }
}

pub(crate) fn batch_norm_train(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    eps: f64,
    act: Act,
    residual: Option<&Tensor>,
) -> Result<(Tensor, BatchStats)> {
    let (mean, var) = moments(x)?;
    let stats = batch_stats(&mean, &var, x);
    Ok((batch_norm_eval(x, &mean, &var, gamma, beta, eps, act, residual)?, stats))
}

#[allow(clippy::too_many_arguments)] // the operation has this many operands
pub(crate) fn batch_norm_eval(
    x: &Tensor,
    mean: &Tensor,
    var: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    eps: f64,
    act: Act,
    residual: Option<&Tensor>,
) -> Result<Tensor> {
    let scale = (gamma / (var + eps)?.sqrt()?)?;
    let centred = x.broadcast_sub(&per_channel(mean, x.rank())?)?;
    let y = centred.broadcast_mul(&per_channel(&scale, x.rank())?)?.broadcast_add(&per_channel(beta, x.rank())?)?;
    let y = match residual {
        Some(residual) => (y + residual)?,
        None => y,
    };
    match act {
        Act::None => Ok(y),
        Act::Relu => relu(&y),
    }
}

pub(crate) fn layer_norm(x: &Tensor, gamma: &Tensor, beta: &Tensor, eps: f64) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let std = (centred.sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?;
    centred.broadcast_div(&std)?.broadcast_mul(gamma)?.broadcast_add(beta)
}
