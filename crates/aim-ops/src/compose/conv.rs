//! Convolutions and the linear map.
//!
//! candle's own convolution has wrong gradients where stride and size do not divide, so the convolution is a sum over
//! the kernel's taps: each picks its pixels from the padded input and mixes their channels by a matrix product.

use candle_core::{D, Result, Tensor};

use super::pool::pad;
use crate::{Conv1d, Conv2d};

/// Adds `bias [C]` along dimension 1.
fn add_bias(y: Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let Some(bias) = bias else { return Ok(y) };
    let mut shape = vec![1; y.rank()];
    shape[1] = bias.dim(0)?;
    y.broadcast_add(&bias.reshape(shape)?)
}

/// Every `stride`-th entry of dimension `dim`, `count` of them from `first` on.
fn every(x: &Tensor, dim: usize, first: usize, stride: usize, count: usize) -> Result<Tensor> {
    let index = Tensor::from_iter((0..count).map(|i| (first + i * stride) as u32), x.device())?;
    x.contiguous()?.index_select(&index, dim)
}

/// One group's convolution of an input that is padded already.
fn group(x: &Tensor, w: &Tensor, p: Conv2d) -> Result<Tensor> {
    let (b, c, h, width) = x.dims4()?;
    let (o, _, kh, kw) = w.dims4()?;
    let out = |n: usize, k: usize| (n - (k - 1) * p.dilation - 1) / p.stride + 1;
    let (oh, ow) = (out(h, kh), out(width, kw));
    let mut sum: Option<Tensor> = None;
    for (u, v) in (0..kh).flat_map(|u| (0..kw).map(move |v| (u, v))) {
        let picked = every(&every(x, 2, u * p.dilation, p.stride, oh)?, 3, v * p.dilation, p.stride, ow)?;
        let tap = w.narrow(2, u, 1)?.narrow(3, v, 1)?.reshape((1, o, c))?.broadcast_as((b, o, c))?;
        let part = tap.contiguous()?.matmul(&picked.reshape((b, c, oh * ow))?)?;
        sum = Some(match sum {
            Some(sum) => (sum + part)?,
            None => part,
        });
    }
    match sum {
        Some(sum) => sum.reshape((b, o, oh, ow)),
        None => candle_core::bail!("conv2d: the kernel has no taps"),
    }
}

pub(crate) fn conv2d(x: &Tensor, w: &Tensor, bias: Option<&Tensor>, p: Conv2d) -> Result<Tensor> {
    let x = pad(&pad(x, 2, p.padding, 0.)?, 3, p.padding, 0.)?;
    let groups = x.chunk(p.groups, 1)?.into_iter().zip(w.chunk(p.groups, 0)?).map(|(x, w)| group(&x, &w, p));
    add_bias(Tensor::cat(&groups.collect::<Result<Vec<_>>>()?, 1)?, bias)
}

/// A convolution of height 1, whose padding along that height is undone by hand.
pub(crate) fn conv1d(x: &Tensor, w: &Tensor, bias: Option<&Tensor>, p: Conv1d) -> Result<Tensor> {
    let x = pad(x, 2, p.padding, 0.)?.unsqueeze(2)?;
    let p = Conv2d { stride: p.stride, padding: 0, groups: p.groups, dilation: p.dilation };
    conv2d(&x, &w.unsqueeze(2)?, bias, p)?.squeeze(2)
}

pub(crate) fn linear(x: &Tensor, w: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let mut shape = x.dims().to_vec();
    let inner = x.dim(D::Minus1)?;
    let rows = x.elem_count() / inner;
    if let Some(last) = shape.last_mut() {
        *last = w.dim(0)?;
    }
    let y = x.reshape((rows, inner))?.matmul(&w.t()?)?.reshape(shape)?;
    match bias {
        Some(bias) => y.broadcast_add(bias),
        None => Ok(y),
    }
}
