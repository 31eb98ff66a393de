//! Convolutions and the linear map.

use candle_core::{D, Result, Tensor};

use crate::{Conv1d, Conv2d};

/// Adds `bias [C]` along dimension 1.
fn add_bias(y: Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let Some(bias) = bias else { return Ok(y) };
    let mut shape = vec![1; y.rank()];
    shape[1] = bias.dim(0)?;
    y.broadcast_add(&bias.reshape(shape)?)
}

pub(crate) fn conv2d(x: &Tensor, w: &Tensor, bias: Option<&Tensor>, p: Conv2d) -> Result<Tensor> {
    add_bias(x.contiguous()?.conv2d(&w.contiguous()?, p.padding, p.stride, p.dilation, p.groups)?, bias)
}

pub(crate) fn conv1d(x: &Tensor, w: &Tensor, bias: Option<&Tensor>, p: Conv1d) -> Result<Tensor> {
    add_bias(x.contiguous()?.conv1d(&w.contiguous()?, p.padding, p.stride, p.dilation, p.groups)?, bias)
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
