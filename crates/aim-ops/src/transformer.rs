//! Softmax, attention and embeddings.

use candle_core::{DType, Result, Tensor, bail};

use crate::{check, compose, cpu, dispatch::on_device};

/// Softmax over the last dimension.
///
/// # Errors
/// A dtype other than f32, an empty or zero-dimensional `x`.
pub fn softmax(x: &Tensor) -> Result<Tensor> {
    check::at_least("softmax", "x", x, 1)?;
    on_device!(x, softmax(x))
}

/// Logarithm of the softmax over the last dimension.
///
/// # Errors
/// As [`softmax`].
pub fn log_softmax(x: &Tensor) -> Result<Tensor> {
    check::at_least("log_softmax", "x", x, 1)?;
    on_device!(x, log_softmax(x))
}

/// `softmax(scale * q k^T + mask) v` for `q [B, H, T, D]`, `k [B, H, S, D]` and `v [B, H, S, E]`: `[B, H, T, E]`.
///
/// `mask` broadcasts to `[B, H, T, S]`: f32 is added to the scores, u8 says which keys may be seen (0: not). It has no
/// gradient. A query that may see no key at all gives NaN, as in PyTorch.
///
/// # Errors
/// Dtypes other than those, shapes that do not fit.
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, mask: Option<&Tensor>, scale: f64) -> Result<Tensor> {
    for (name, t) in [("q", q), ("k", k), ("v", v)] {
        check::rank("attention", name, t, 4)?;
        check::not_empty("attention", name, t)?;
    }
    let (b, h, t, d) = q.dims4()?;
    let s = k.dim(2)?;
    check::shape("attention", "k", k, &[b, h, s, d])?;
    check::shape("attention", "v", v, &[b, h, s, v.dim(3)?])?;
    check::one_device("attention", q, &[Some(k), Some(v), mask])?;
    let mask = checked_mask("attention", mask, [b, h, t, s])?;
    on_device!(q, attention(q, k, v, mask.as_ref(), scale))
}

/// The mask without its graph, if it fits the scores.
fn checked_mask(op: &str, mask: Option<&Tensor>, scores: [usize; 4]) -> Result<Option<Tensor>> {
    let Some(mask) = mask else { return Ok(None) };
    if mask.dtype() != DType::U8 {
        check::f32(op, "mask", mask)?;
    }
    if mask.broadcast_as(&scores).is_err() {
        bail!("{op}: mask {:?} does not broadcast to {scores:?}", mask.shape());
    }
    Ok(Some(mask.detach()))
}

/// [`attention`] of `heads` heads that lie side by side in each token, as linear layers give them: `q [B, T, H * D]`,
/// `k [B, S, H * D]` and `v [B, S, H * E]` give `[B, T, H * E]`. On the CPU nothing is moved to split and join them.
///
/// `mask` broadcasts to `[B, H, T, S]` here, too: one for each sample is `[B, 1, T, S]`.
///
/// # Errors
/// As [`attention`]; if the widths are no multiples of `heads`.
pub fn multi_head_attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    heads: usize,
    mask: Option<&Tensor>,
    scale: f64,
) -> Result<Tensor> {
    const OP: &str = "multi_head_attention";
    for (name, t) in [("q", q), ("k", k), ("v", v)] {
        check::rank(OP, name, t, 3)?;
        check::not_empty(OP, name, t)?;
    }
    let (b, t, width) = q.dims3()?;
    let (s, out) = (k.dim(1)?, v.dim(2)?);
    check::shape(OP, "k", k, &[b, s, width])?;
    check::shape(OP, "v", v, &[b, s, out])?;
    check::one_device(OP, q, &[Some(k), Some(v), mask])?;
    if heads == 0 || width % heads != 0 || out % heads != 0 {
        bail!("{OP}: {heads} heads do not divide widths of {width} and {out}");
    }
    let mask = checked_mask(OP, mask, [b, heads, t, s])?;
    if q.device().is_cpu() {
        return cpu::multi_head_attention([q, k, v], heads, mask.as_ref(), scale);
    }
    let split = |x: &Tensor| {
        let (_, rows, width) = x.dims3()?;
        x.reshape((b, rows, heads, width / heads))?.transpose(1, 2)
    };
    let (q, k, v) = (&split(q)?, &split(k)?, &split(v)?);
    let seen: Tensor = on_device!(q, attention(q, k, v, mask.as_ref(), scale))?;
    seen.transpose(1, 2)?.contiguous()?.reshape((b, t, out))
}

/// Rows of `table [V, D]` for `ids` (u32, any shape): the ids' shape followed by `D`. The gradient flows to the table.
///
/// # Errors
/// Other dtypes, empty operands, an id of `V` or more.
pub fn embedding(ids: &Tensor, table: &Tensor) -> Result<Tensor> {
    check::rank("embedding", "table", table, 2)?;
    check::not_empty("embedding", "table", table)?;
    check::not_empty("embedding", "ids", ids)?;
    check::one_device("embedding", table, &[Some(ids)])?;
    if ids.dtype() != DType::U32 {
        bail!("embedding: ids must be u32, not {:?}", ids.dtype());
    }
    #[cfg(feature = "cuda")]
    if table.device().is_cuda() {
        return crate::cuda::embedding(ids, table);
    }
    let rows = table.dim(0)?;
    let ids_host = ids.flatten_all()?.to_vec1::<u32>()?;
    if let Some(at) = ids_host.iter().position(|&id| id as usize >= rows) {
        bail!("embedding: id {} at position {at} is out of range, the table has {rows} rows", ids_host[at]);
    }
    if table.device().is_cpu() {
        let shape = [ids.dims(), &table.dims()[1..]].concat();
        return cpu::embedding(ids_host, shape, table);
    }
    compose::embedding(ids, table)
}
