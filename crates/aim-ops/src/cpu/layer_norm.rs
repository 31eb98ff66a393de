//! Layer normalisation.

use candle_core::{D, Result, Tensor};

use super::{
    par,
    reduce::{sum, sum_of, sum_pairs},
    shared::{Shared, filled},
    simd::kernel,
};
use crate::{custom::op3, host};

/// Rows whose share of the vectors' gradients is summed before it joins the others: constant, so that sums do not
/// depend on the number of threads.
const ROWS: usize = 64;

/// Mean of a row and one over its standard deviation.
#[inline(always)]
fn moments(row: &[f32], eps: f64) -> (f32, f32) {
    let n = row.len() as f32;
    let mean = sum(row) / n;
    let var = sum_of(row, |v| (v - mean) * (v - mean)) / n;
    (mean, (1. / (f64::from(var) + eps).sqrt()) as f32)
}

kernel! {
    fn normalise(y: &mut [f32], x: &[f32], gamma: &[f32], beta: &[f32], eps: f64) {
        let d = gamma.len();
        for (y, row) in y.chunks_exact_mut(d).zip(x.chunks_exact(d)) {
            let (mean, inverse) = moments(row, eps);
            for ((y, x), (g, b)) in y.iter_mut().zip(row).zip(gamma.iter().zip(beta)) {
                *y = (x - mean) * inverse * g + b;
            }
        }
    }
}

fn forward(x: &[f32], gamma: &[f32], beta: &[f32], eps: f64) -> Vec<f32> {
    let d = gamma.len();
    let fill = |out: Shared<'_>| {
        par::runs(x.len() / d, d, |run| {
            // SAFETY: rows do not overlap.
            let y = unsafe { out.part(run.start * d, run.len() * d) };
            normalise(y, &x[run.start * d..run.end * d], gamma, beta, eps);
        });
    };
    // SAFETY: every row is written.
    unsafe { filled(x.len(), fill) }
}

/// The gradients of `x`, and of `gamma` and `beta` in one vector.
fn backward(x: &[f32], gamma: &[f32], dy: &[f32], eps: f64) -> (Vec<f32>, Vec<f32>) {
    let d = gamma.len();
    let rows = x.len() / d;
    let blocks = rows.div_ceil(ROWS);
    let mut partial = vec![0f32; blocks * 2 * d];
    let vectors = Shared::new(&mut partial);
    let fill = |out: Shared<'_>| {
        par::runs(blocks, ROWS.min(rows) * d, |run| {
            for block in run {
                let of = block * ROWS * d..((block + 1) * ROWS).min(rows) * d;
                // SAFETY: blocks do not overlap.
                let (dx, sums) = unsafe { (out.part(of.start, of.len()), vectors.part(block * 2 * d, 2 * d)) };
                block_backward(dx, sums, &x[of.clone()], gamma, &dy[of], eps);
            }
        });
    };
    // SAFETY: every row is written.
    let dx = unsafe { filled(x.len(), fill) };
    (dx, super::linear::sum_rows(&partial, 2 * d))
}

kernel! {
    /// The gradients of some rows, and their share in those of `gamma` and `beta`.
    fn block_backward(dx: &mut [f32], sums: &mut [f32], x: &[f32], gamma: &[f32], dy: &[f32], eps: f64) {
        let d = gamma.len();
        let (of_gamma, of_beta) = sums.split_at_mut(d);
        for (dx, (x, dy)) in dx.chunks_exact_mut(d).zip(x.chunks_exact(d).zip(dy.chunks_exact(d))) {
            row_backward(x, gamma, dy, eps, [dx, &mut *of_gamma, &mut *of_beta]);
        }
    }
}

#[inline(always)]
fn row_backward(x: &[f32], gamma: &[f32], dy: &[f32], eps: f64, [dx, of_gamma, of_beta]: [&mut [f32]; 3]) {
    let (mean, inverse) = moments(x, eps);
    dx.iter_mut().zip(gamma).zip(dy).for_each(|((dx, g), dy)| *dx = g * dy);
    let n = x.len() as f32;
    let shift = sum(dx) / n;
    let slope = sum_pairs(x, dx, |x, g| (x - mean) * g) * inverse * inverse / n;
    dx.iter_mut().zip(x).for_each(|(dx, x)| *dx = inverse * (*dx - shift - (x - mean) * slope));
    let sums = of_gamma.iter_mut().zip(of_beta);
    sums.zip(x.iter().zip(dy)).for_each(|((of_gamma, of_beta), (x, dy))| {
        *of_gamma += (x - mean) * inverse * dy;
        *of_beta += dy;
    });
}

pub(crate) fn layer_norm(x: &Tensor, gamma: &Tensor, beta: &Tensor, eps: f64) -> Result<Tensor> {
    const OP: &str = "layer_norm";
    let (x, gamma, beta) = (&x.contiguous()?, &gamma.contiguous()?, &beta.contiguous()?);
    let d = x.dim(D::Minus1)?;
    let y = host::read(OP, [x, gamma, beta], |[x, gamma, beta]| Ok(forward(x, gamma, beta, eps)))?;
    op3(OP, [x, gamma, beta], y, x.shape(), move |[x, gamma, beta], _, dy| {
        let (dx, vectors) = host::read(OP, [x, gamma, dy], |[x, gamma, dy]| Ok(backward(x, gamma, dy, eps)))?;
        let vector = |v: &[f32], t: &Tensor| Tensor::from_slice(v, t.shape(), t.device()).map(Some);
        let dx = Tensor::from_vec(dx, x.shape(), x.device())?;
        Ok([Some(dx), vector(&vectors[..d], gamma)?, vector(&vectors[d..], beta)?])
    })
}
