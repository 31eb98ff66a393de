//! Softmax, losses and attention.

use candle_core::{D, DType, Result, Tensor};

use super::{
    elementwise::computed,
    launch::{
        Arg::{Float, In, Int, Maybe, Out},
        Buffer, Grid, launch,
    },
    node::{op1, op3},
};
use crate::compose::additive_mask;

/// A tensor like the operands that `kernel` computes from their rows.
fn by_rows<const N: usize>(kernel: &'static str, operands: [&Tensor; N]) -> Result<Buffer> {
    let width = operands[0].dim(D::Minus1)?;
    computed(kernel, operands, Grid::Blocks(operands[0].elem_count() / width), width)
}

pub(crate) fn softmax(x: &Tensor) -> Result<Tensor> {
    let x = &x.contiguous()?;
    op1("softmax", x, by_rows("softmax", [x])?, |_, y, dy| Ok([Some(by_rows("softmax_back", [y, dy])?.tensor()?)]))
}

pub(crate) fn log_softmax(x: &Tensor) -> Result<Tensor> {
    let x = &x.contiguous()?;
    op1("log_softmax", x, by_rows("log_softmax", [x])?, |_, y, dy| {
        Ok([Some(by_rows("log_softmax_back", [y, dy])?.tensor()?)])
    })
}

/// The loss of each row, from `labels` or from `targets`.
fn losses(
    op: &'static str,
    x: &Tensor,
    labels: Option<Tensor>,
    targets: Option<Tensor>,
    smoothing: f64,
) -> Result<Tensor> {
    let x = &x.contiguous()?;
    let (rows, width) = x.dims2()?;
    let mut loss = Buffer::new(x, rows, DType::F32)?;
    let (label, target) = (Maybe(labels.as_ref()), Maybe(targets.as_ref()));
    let args = [In(x), label, target, Out(&mut loss), Float(smoothing), Int(width)];
    launch(x.device(), "cross_entropy", Grid::Blocks(rows), args)?;
    op1(op, x, loss, move |[x], _, dloss| {
        let (mut of_x, label, target) = (Buffer::like(x)?, Maybe(labels.as_ref()), Maybe(targets.as_ref()));
        let args = [In(x), label, target, In(dloss), Out(&mut of_x), Float(smoothing), Int(width)];
        launch(x.device(), "cross_entropy_back", Grid::Blocks(rows), args)?;
        Ok([Some(of_x.tensor()?)])
    })
}

pub(crate) fn cross_entropy(logits: &Tensor, labels: &Tensor, smoothing: f64) -> Result<Tensor> {
    let labels = labels.to_dtype(DType::U32)?.contiguous()?;
    losses("cross_entropy", logits, Some(labels), None, smoothing)
}

pub(crate) fn soft_cross_entropy(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    losses("soft_cross_entropy", logits, None, Some(targets.detach().contiguous()?), 0.)
}

/// Scores held at a time: 64 MiB.
const SCORES: usize = 1 << 24;

/// `softmax(scale * q k^T + mask)` for some of the queries.
fn weights(q: &Tensor, k: &Tensor, mask: Option<&Tensor>, scale: f64) -> Result<Tensor> {
    let scores = (q.contiguous()?.matmul(&k.t()?)? * scale)?;
    let scores = match mask {
        Some(mask) => scores.broadcast_add(mask)?,
        None => scores,
    };
    by_rows("softmax", [&scores])?.tensor()
}

/// The mask of the queries from `from` on.
fn rows_of(mask: Option<&Tensor>, from: usize, count: usize) -> Result<Option<Tensor>> {
    let Some(mask) = mask else { return Ok(None) };
    // A mask of one row, or none at all, is for every query.
    match mask.rank().checked_sub(2).map(|dim| (dim, mask.dims()[dim])) {
        Some((dim, rows)) if rows > 1 => mask.narrow(dim, from, count).map(Some),
        _ => Ok(Some(mask.clone())),
    }
}

pub(crate) fn attention(q: &Tensor, k: &Tensor, v: &Tensor, mask: Option<&Tensor>, scale: f64) -> Result<Tensor> {
    attention_by([q, k, v], mask, scale, SCORES)
}

/// So many queries at a time that there are at most `scores` scores at once, and never the matrix of all; the gradients
/// compute theirs anew.
pub(super) fn attention_by(
    [q, k, v]: [&Tensor; 3],
    mask: Option<&Tensor>,
    scale: f64,
    scores: usize,
) -> Result<Tensor> {
    let mask = mask.map(additive_mask).transpose()?;
    let [q, k, v] = [q.contiguous()?, k.contiguous()?, v.contiguous()?];
    let (b, h, t, _) = q.dims4()?;
    let some = (scores / (b * h * k.dim(2)?)).clamp(1, t);
    let runs: Vec<(usize, usize)> = (0..t).step_by(some).map(|from| (from, some.min(t - from))).collect();
    let values = {
        let [q, k, v] = [&q, &k, &v].map(Tensor::detach);
        let part = |&(from, count): &(usize, usize)| {
            weights(&q.narrow(2, from, count)?, &k, rows_of(mask.as_ref(), from, count)?.as_ref(), scale)?.matmul(&v)
        };
        Tensor::cat(&runs.iter().map(part).collect::<Result<Vec<_>>>()?, 2)?
    };
    op3("attention", [&q, &k, &v], Buffer::copy(&values)?, move |[q, k, v], _, dy| {
        let [q, k, v] = [q, k, v].map(Tensor::detach);
        let (mut of_q, mut of_k, mut of_v) = (vec![], k.zeros_like()?, v.zeros_like()?);
        for &(from, count) in &runs {
            let (q, dy) = (q.narrow(2, from, count)?.contiguous()?, dy.narrow(2, from, count)?.contiguous()?);
            let p = weights(&q, &k, rows_of(mask.as_ref(), from, count)?.as_ref(), scale)?;
            let dp = dy.matmul(&v.t()?)?;
            let ds = (by_rows("softmax_back", [&p, &dp])?.tensor()? * scale)?;
            of_v = (of_v + p.t()?.matmul(&dy)?)?;
            of_q.push(ds.matmul(&k)?);
            of_k = (of_k + ds.t()?.matmul(&q)?)?;
        }
        Ok([Some(Tensor::cat(&of_q, 2)?), Some(of_k), Some(of_v)])
    })
}
