//! Softmax, its logarithm, and the losses made of it.

use std::ops::Range;

use candle_core::{D, Result, Tensor};

use super::{
    math::exp,
    par,
    reduce::{max, sum, sum_pairs},
    shared::{Shared, filled},
    simd::kernel,
};
use crate::{
    custom::{needed, op1},
    host,
};

/// The sum of `e^(v - largest)` over a row: sixteen partial sums side by side, then these in order.
#[inline(always)]
fn sum_exp(row: &[f32], largest: f32) -> f32 {
    let (mut sums, mut left) = ([0f32; 16], 0.);
    let (chunks, rest) = row.as_chunks::<16>();
    for chunk in chunks {
        for i in 0..16 {
            sums[i] += exp(chunk[i] - largest);
        }
    }
    for v in rest {
        left += exp(v - largest);
    }
    sum(&sums) + left
}

/// The logarithm of the sum of a row's exponentials.
#[inline(always)]
fn log_sum_exp(row: &[f32]) -> f32 {
    let largest = max(row);
    // A row of minus infinities has no softmax; where NaN stands, it stays.
    if largest.is_infinite() {
        return if largest > 0. || sum(row).is_nan() { f32::NAN } else { largest };
    }
    largest + sum_exp(row, largest).ln()
}

/// `f(range of rows, these rows of the result)` for all `rows` of `n` elements.
fn rows(rows: usize, n: usize, f: impl Fn(Range<usize>, &mut [f32]) + Sync + Send) -> Vec<f32> {
    let fill = |out: Shared<'_>| {
        par::runs(rows, 4 * n, |run| {
            // SAFETY: rows do not overlap.
            let part = unsafe { out.part(run.start * n, run.len() * n) };
            f(run, part);
        });
    };
    // SAFETY: callers of this private function write whole rows.
    unsafe { filled(rows * n, fill) }
}

/// What `kernel` makes of the rows of `x`.
fn map(x: &[f32], n: usize, kernel: fn(&mut [f32], &[f32], usize)) -> Vec<f32> {
    rows(x.len() / n, n, |run, y| kernel(y, &x[run.start * n..run.end * n], n))
}

/// What `kernel` makes of the rows of `a` and `b`.
fn zip(a: &[f32], b: &[f32], n: usize, kernel: fn(&mut [f32], &[f32], &[f32], usize)) -> Vec<f32> {
    rows(a.len() / n, n, |run, y| {
        let of = run.start * n..run.end * n;
        kernel(y, &a[of.clone()], &b[of], n);
    })
}

kernel! {
    fn softmax_rows(y: &mut [f32], x: &[f32], n: usize) {
        for (y, x) in y.chunks_exact_mut(n).zip(x.chunks_exact(n)) {
            let largest = max(x);
            for (y, x) in y.iter_mut().zip(x) {
                *y = exp(x - largest);
            }
            let scale = 1. / sum(y);
            for y in y {
                *y *= scale;
            }
        }
    }
}

kernel! {
    fn softmax_gradients(dx: &mut [f32], y: &[f32], dy: &[f32], n: usize) {
        for (dx, (y, dy)) in dx.chunks_exact_mut(n).zip(y.chunks_exact(n).zip(dy.chunks_exact(n))) {
            let mean = sum_pairs(y, dy, |y, dy| y * dy);
            for (dx, (y, dy)) in dx.iter_mut().zip(y.iter().zip(dy)) {
                *dx = y * (dy - mean);
            }
        }
    }
}

kernel! {
    fn log_softmax_rows(y: &mut [f32], x: &[f32], n: usize) {
        for (y, x) in y.chunks_exact_mut(n).zip(x.chunks_exact(n)) {
            let log = log_sum_exp(x);
            for (y, x) in y.iter_mut().zip(x) {
                *y = x - log;
            }
        }
    }
}

kernel! {
    fn log_softmax_gradients(dx: &mut [f32], y: &[f32], dy: &[f32], n: usize) {
        for (dx, (y, dy)) in dx.chunks_exact_mut(n).zip(y.chunks_exact(n).zip(dy.chunks_exact(n))) {
            let total = sum(dy);
            for (dx, (y, dy)) in dx.iter_mut().zip(y.iter().zip(dy)) {
                *dx = dy - exp(*y) * total;
            }
        }
    }
}

pub(crate) fn softmax(x: &Tensor) -> Result<Tensor> {
    const OP: &str = "softmax";
    let x = &x.contiguous()?;
    let n = x.dim(D::Minus1)?;
    let y = host::read(OP, [x], |[x]| Ok(map(x, n, softmax_rows)))?;
    op1(OP, x, y, x.shape(), move |[x], y, dy| {
        Ok([needed(x, || host::read(OP, [y, dy], |[y, dy]| Ok(zip(y, dy, n, softmax_gradients))))?])
    })
}

pub(crate) fn log_softmax(x: &Tensor) -> Result<Tensor> {
    const OP: &str = "log_softmax";
    let x = &x.contiguous()?;
    let n = x.dim(D::Minus1)?;
    let y = host::read(OP, [x], |[x]| Ok(map(x, n, log_softmax_rows)))?;
    op1(OP, x, y, x.shape(), move |[x], y, dy| {
        Ok([needed(x, || host::read(OP, [y, dy], |[y, dy]| Ok(zip(y, dy, n, log_softmax_gradients))))?])
    })
}

/// What a row of logits is compared with.
pub(crate) enum Targets {
    /// Classes, each below the number of classes, and the share of label smoothing.
    Classes(Vec<u32>, f32),
    /// A distribution for each row.
    Distributions(Vec<f32>),
}

impl Targets {
    /// The cross-entropy of row `r`.
    #[inline(always)]
    fn loss(&self, r: usize, row: &[f32]) -> f32 {
        let log = log_sum_exp(row);
        match self {
            Self::Classes(classes, 0.) => log - row[classes[r] as usize],
            Self::Classes(classes, s) => {
                (1. - s) * (log - row[classes[r] as usize]) + s * (log - sum(row) / row.len() as f32)
            }
            Self::Distributions(all) => sum_pairs(row, &all[r * row.len()..][..row.len()], |x, t| (log - x) * t),
        }
    }

    /// The gradient of row `r`'s logits if that of its loss is `scale`.
    #[inline(always)]
    fn gradient(&self, r: usize, row: &[f32], scale: f32, out: &mut [f32]) {
        let log = log_sum_exp(row);
        match self {
            Self::Classes(classes, s) => {
                let shared = s / row.len() as f32;
                for (g, x) in out.iter_mut().zip(row) {
                    *g = scale * (exp(x - log) - shared);
                }
                out[classes[r] as usize] -= scale * (1. - s);
            }
            Self::Distributions(all) => {
                let targets = &all[r * row.len()..][..row.len()];
                let total = sum(targets);
                for (g, (x, t)) in out.iter_mut().zip(row.iter().zip(targets)) {
                    *g = scale * (exp(x - log) * total - t);
                }
            }
        }
    }
}

kernel! {
    /// The cross-entropy of each row.
    fn losses(losses: &mut [f32], targets: &Targets, x: &[f32], n: usize) {
        for (r, (loss, row)) in losses.iter_mut().zip(x.chunks_exact(n)).enumerate() {
            *loss = targets.loss(r, row);
        }
    }
}

kernel! {
    /// The gradients of the rows from `first` on, if those of all losses are `scales`.
    fn loss_gradients(dx: &mut [f32], targets: &Targets, first: usize, x: &[f32], scales: &[f32]) {
        let n = x.len() / scales.len();
        for (i, out) in dx.chunks_exact_mut(n).enumerate() {
            let r = first + i;
            targets.gradient(r, &x[r * n..][..n], scales[r], out);
        }
    }
}

/// The cross-entropy of each row of `logits [B, C]`: `[B]`, or their mean, a scalar.
pub(crate) fn cross_entropy(op: &'static str, logits: &Tensor, targets: Targets, mean: bool) -> Result<Tensor> {
    let logits = &logits.contiguous()?;
    let (b, n) = logits.dims2()?;
    let mut values = vec![0f32; b];
    host::read(op, [logits], |[x]| {
        losses(&mut values, &targets, x, n);
        Ok(())
    })?;
    let shape = if mean { vec![] } else { vec![b] };
    if mean {
        values = vec![sum(&values) / b as f32];
    }
    op1(op, logits, values, shape, move |[logits], _, dy| {
        let backward = |x: &[f32], dy: &[f32]| {
            let scales = if mean { vec![dy[0] / b as f32; b] } else { dy.to_vec() };
            rows(b, n, |run, dx| loss_gradients(dx, &targets, run.start, x, &scales))
        };
        Ok([needed(logits, || host::read(op, [logits, dy], |[x, dy]| Ok(backward(x, dy))))?])
    })
}
