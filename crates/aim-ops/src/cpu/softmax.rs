//! Softmax, its logarithm, and the losses made of it.

use candle_core::{D, Result, Tensor};

use super::{
    math::exp,
    par,
    reduce::{max, sum, sum_of, sum_pairs},
    shared::{Shared, filled},
    simd::wide,
};
use crate::{
    custom::{needed, op1},
    host,
};

/// The logarithm of the sum of a row's exponentials.
#[inline(always)]
fn log_sum_exp(row: &[f32]) -> f32 {
    let largest = max(row);
    // A row of minus infinities has no softmax; where NaN stands, it stays.
    if largest.is_infinite() {
        return if largest > 0. || sum(row).is_nan() { f32::NAN } else { largest };
    }
    largest + sum_of(row, |v| exp(v - largest)).ln()
}

/// `f(row's index, row of the result)` for every row of `n` elements, `rows` in all.
fn rows(rows: usize, n: usize, f: impl Fn(usize, &mut [f32]) + Sync + Send) -> Vec<f32> {
    let fill = |out: Shared<'_>| {
        par::runs(rows, 4 * n, |run| {
            wide(|| {
                for r in run.clone() {
                    // SAFETY: rows do not overlap.
                    f(r, unsafe { out.part(r * n, n) });
                }
            });
        });
    };
    // SAFETY: callers of this private function write whole rows.
    unsafe { filled(rows * n, fill) }
}

pub(crate) fn softmax(x: &Tensor) -> Result<Tensor> {
    const OP: &str = "softmax";
    let x = &x.contiguous()?;
    let n = x.dim(D::Minus1)?;
    let forward = |x: &[f32]| {
        rows(x.len() / n, n, |r, y| {
            let x = &x[r * n..][..n];
            let largest = max(x);
            y.iter_mut().zip(x).for_each(|(y, x)| *y = exp(x - largest));
            let scale = 1. / sum(y);
            y.iter_mut().for_each(|y| *y *= scale);
        })
    };
    let backward = move |y: &[f32], dy: &[f32]| {
        rows(y.len() / n, n, |r, dx| {
            let (y, dy) = (&y[r * n..][..n], &dy[r * n..][..n]);
            let mean = sum_pairs(y, dy, |y, dy| y * dy);
            dx.iter_mut().zip(y.iter().zip(dy)).for_each(|(dx, (y, dy))| *dx = y * (dy - mean));
        })
    };
    let y = host::read(OP, [x], |[x]| Ok(forward(x)))?;
    op1(OP, x, y, x.shape(), move |[x], y, dy| {
        Ok([needed(x, || host::read(OP, [y, dy], |[y, dy]| Ok(backward(y, dy))))?])
    })
}

pub(crate) fn log_softmax(x: &Tensor) -> Result<Tensor> {
    const OP: &str = "log_softmax";
    let x = &x.contiguous()?;
    let n = x.dim(D::Minus1)?;
    let forward = |x: &[f32]| {
        rows(x.len() / n, n, |r, y| {
            let x = &x[r * n..][..n];
            let log = log_sum_exp(x);
            y.iter_mut().zip(x).for_each(|(y, x)| *y = x - log);
        })
    };
    let backward = move |y: &[f32], dy: &[f32]| {
        rows(y.len() / n, n, |r, dx| {
            let (y, dy) = (&y[r * n..][..n], &dy[r * n..][..n]);
            let total = sum(dy);
            dx.iter_mut().zip(y.iter().zip(dy)).for_each(|(dx, (y, dy))| *dx = dy - exp(*y) * total);
        })
    };
    let y = host::read(OP, [x], |[x]| Ok(forward(x)))?;
    op1(OP, x, y, x.shape(), move |[x], y, dy| {
        Ok([needed(x, || host::read(OP, [y, dy], |[y, dy]| Ok(backward(y, dy))))?])
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
                out.iter_mut().zip(row).for_each(|(g, x)| *g = scale * (exp(x - log) - shared));
                out[classes[r] as usize] -= scale * (1. - s);
            }
            Self::Distributions(all) => {
                let targets = &all[r * row.len()..][..row.len()];
                let total = sum(targets);
                out.iter_mut()
                    .zip(row.iter().zip(targets))
                    .for_each(|(g, (x, t))| *g = scale * (exp(x - log) * total - t));
            }
        }
    }
}

/// The cross-entropy of each row of `logits [B, C]`: `[B]`, or their mean, a scalar.
pub(crate) fn cross_entropy(op: &'static str, logits: &Tensor, targets: Targets, mean: bool) -> Result<Tensor> {
    let logits = &logits.contiguous()?;
    let (b, n) = logits.dims2()?;
    let mut losses: Vec<f32> = host::read(op, [logits], |[x]| {
        Ok(x.chunks_exact(n).enumerate().map(|(r, row)| targets.loss(r, row)).collect())
    })?;
    let shape = if mean { vec![] } else { vec![b] };
    if mean {
        losses = vec![sum(&losses) / b as f32];
    }
    op1(op, logits, losses, shape, move |[logits], _, dy| {
        let backward = |x: &[f32], dy: &[f32]| {
            let scale = |r: usize| if mean { dy[0] / b as f32 } else { dy[r] };
            rows(b, n, |r, out| targets.gradient(r, &x[r * n..][..n], scale(r), out))
        };
        Ok([needed(logits, || host::read(op, [logits, dy], |[x, dy]| Ok(backward(x, dy))))?])
    })
}
