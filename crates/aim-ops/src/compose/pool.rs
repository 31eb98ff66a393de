//! Pooling: the window's positions stacked along a new last dimension, then reduced.

use candle_core::{D, Result, Tensor};

use crate::Pool2d;

/// `x` with `padding` entries of `value` on both sides of dimension `dim`.
pub(super) fn pad(x: &Tensor, dim: usize, padding: usize, value: f32) -> Result<Tensor> {
    if padding == 0 {
        return Ok(x.clone());
    }
    let mut shape = x.dims().to_vec();
    shape[dim] = padding;
    let edge = Tensor::full(value, shape, x.device())?;
    Tensor::cat(&[&edge, x, &edge], dim)
}

/// The windows `[B, C, oh, ow, kernel * kernel]`, padded with `value`.
fn windows(x: &Tensor, p: Pool2d, value: f32) -> Result<Tensor> {
    let out = |n: usize| (n + 2 * p.padding - p.kernel) / p.stride + 1;
    let (oh, ow) = (out(x.dim(2)?), out(x.dim(3)?));
    let x = pad(&pad(x, 2, p.padding, value)?, 3, p.padding, value)?;
    let index = |first: usize, n: usize| Tensor::from_iter((0..n).map(|o| (first + o * p.stride) as u32), x.device());
    let mut parts = Vec::with_capacity(p.kernel * p.kernel);
    for i in 0..p.kernel {
        let rows = x.contiguous()?.index_select(&index(i, oh)?, 2)?;
        for j in 0..p.kernel {
            parts.push(rows.index_select(&index(j, ow)?, 3)?);
        }
    }
    Tensor::stack(&parts, 4)
}

/// The gradient goes to the first maximum of a window, so an argmax and a gather: candle's `max` would give it to every
/// tie.
pub(crate) fn max_pool2d(x: &Tensor, p: Pool2d) -> Result<Tensor> {
    let windows = windows(x, p, f32::NEG_INFINITY)?.contiguous()?;
    let first = windows.detach().argmax_keepdim(D::Minus1)?;
    windows.gather(&first, D::Minus1)?.squeeze(D::Minus1)
}

pub(crate) fn avg_pool2d(x: &Tensor, p: Pool2d) -> Result<Tensor> {
    windows(x, p, 0.)?.mean(D::Minus1)
}

pub(crate) fn global_avg_pool(x: &Tensor) -> Result<Tensor> {
    x.flatten_from(2)?.mean(D::Minus1)
}
