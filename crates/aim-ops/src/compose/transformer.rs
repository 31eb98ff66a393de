//! What transformers add: softmax, attention, dropout, embedding.

use candle_core::{D, DType, Result, Tensor};

use crate::activation::Kept;

pub(crate) fn softmax(x: &Tensor) -> Result<Tensor> {
    let e = x.broadcast_sub(&x.detach().max_keepdim(D::Minus1)?)?.exp()?;
    e.broadcast_div(&e.sum_keepdim(D::Minus1)?)
}

pub(crate) fn log_softmax(x: &Tensor) -> Result<Tensor> {
    let x = x.broadcast_sub(&x.detach().max_keepdim(D::Minus1)?)?;
    x.broadcast_sub(&x.exp()?.sum_keepdim(D::Minus1)?.log()?)
}

/// The mask as a tensor to add to the scores: a boolean one becomes 0 and minus infinity.
pub(crate) fn additive_mask(mask: &Tensor) -> Result<Tensor> {
    if mask.dtype() != DType::U8 {
        return Ok(mask.clone());
    }
    let zeros = mask.to_dtype(DType::F32)?.zeros_like()?;
    let never = Tensor::full(f32::NEG_INFINITY, mask.shape(), mask.device())?;
    mask.where_cond(&zeros, &never)
}

pub(crate) fn attention(q: &Tensor, k: &Tensor, v: &Tensor, mask: Option<&Tensor>, scale: f64) -> Result<Tensor> {
    let scores = (q.contiguous()?.matmul(&k.transpose(2, 3)?.contiguous()?)? * scale)?;
    let scores = match mask {
        Some(mask) => scores.broadcast_add(&additive_mask(mask)?)?,
        None => scores,
    };
    softmax(&scores)?.matmul(&v.contiguous()?)
}

pub(crate) fn dropout(x: &Tensor, kept: Kept) -> Result<Tensor> {
    let factor = |i| if kept.contains(i) { kept.scale } else { 0. };
    x * Tensor::from_vec((0..x.elem_count()).map(factor).collect::<Vec<_>>(), x.shape(), x.device())?
}

pub(crate) fn gelu(x: &Tensor) -> Result<Tensor> {
    x.gelu_erf()
}

pub(crate) fn embedding(ids: &Tensor, table: &Tensor) -> Result<Tensor> {
    let mut shape = ids.dims().to_vec();
    shape.push(table.dim(1)?);
    table.index_select(&ids.flatten_all()?.contiguous()?, 0)?.reshape(shape)
}
