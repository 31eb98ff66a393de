//! Batch normalisation fused with the residual and the rectifier behind it.
//!
//! A channel is one piece of work: its values are read once from memory, then from the cache.

use candle_core::{Result, Tensor};

use super::{
    par,
    reduce::{sum, sum_of, sum_pairs},
    shared::{Shared, filled},
    simd::wide,
};
use crate::{Act, BatchStats, custom::op3, host};

/// `x` as `[batch, channels, plane]`.
#[derive(Clone, Copy)]
struct Layout {
    batch: usize,
    channels: usize,
    plane: usize,
}

impl Layout {
    fn of(x: &Tensor) -> Self {
        let (batch, channels) = (x.dims()[0], x.dims()[1]);
        Self { batch, channels, plane: x.elem_count() / (batch * channels) }
    }

    fn count(self) -> usize {
        self.batch * self.plane
    }

    fn len(self) -> usize {
        self.count() * self.channels
    }

    /// Where the planes of channel `c` begin.
    #[inline(always)]
    fn planes(self, c: usize) -> impl Iterator<Item = usize> {
        (0..self.batch).map(move |b| (b * self.channels + c) * self.plane)
    }

    /// Calls `f` with every channel, on several threads.
    fn each_channel(self, f: impl Fn(usize) + Sync + Send) {
        par::runs(self.channels, self.count(), |run| run.for_each(|c| wide(|| f(c))));
    }
}

/// Mean and biased variance of each channel.
fn moments(l: Layout, x: &[f32]) -> (Vec<f32>, Vec<f32>) {
    let fill = |out: Shared<'_>| {
        l.each_channel(|c| {
            let total: f64 = l.planes(c).map(|at| f64::from(sum(&x[at..at + l.plane]))).sum();
            let mean = (total / l.count() as f64) as f32;
            let square = |at| f64::from(sum_of(&x[at..at + l.plane], |v| (v - mean) * (v - mean)));
            let var = l.planes(c).map(square).sum::<f64>() / l.count() as f64;
            // SAFETY: each channel has its own two elements.
            unsafe {
                out.part(c, 1)[0] = mean;
                out.part(l.channels + c, 1)[0] = var as f32;
            }
        });
    };
    // SAFETY: every channel writes its elements of both halves.
    let mut mean = unsafe { filled(2 * l.channels, fill) };
    let var = mean.split_off(l.channels);
    (mean, var)
}

/// What is subtracted from and multiplied to each channel.
struct Scaling {
    mean: Vec<f32>,
    /// One over the standard deviation.
    inverse: Vec<f32>,
    /// Whether they come from the batch itself, so that gradients flow through them.
    of_batch: bool,
}

impl Scaling {
    fn new(mean: Vec<f32>, var: &[f32], eps: f64, of_batch: bool) -> Self {
        let inverse = var.iter().map(|v| (1. / (f64::from(*v) + eps).sqrt()) as f32).collect();
        Self { mean, inverse, of_batch }
    }
}

fn forward(
    l: Layout,
    s: &Scaling,
    act: Act,
    x: &[f32],
    gamma: &[f32],
    beta: &[f32],
    residual: Option<&[f32]>,
) -> Vec<f32> {
    let floor = if act == Act::Relu { 0. } else { f32::NEG_INFINITY };
    // A comparison that lets NaN through, unlike `max`.
    let clip = |v: f32| if v < floor { floor } else { v };
    let fill = |out: Shared<'_>| {
        l.each_channel(|c| {
            let (mean, scale, shift) = (s.mean[c], gamma[c] * s.inverse[c], beta[c]);
            for at in l.planes(c) {
                let x = &x[at..at + l.plane];
                // SAFETY: planes do not overlap.
                let y = unsafe { out.part(at, l.plane) };
                match residual {
                    None => y.iter_mut().zip(x).for_each(|(y, x)| *y = clip((x - mean) * scale + shift)),
                    Some(r) => {
                        let r = &r[at..at + l.plane];
                        y.iter_mut().zip(x).zip(r).for_each(|((y, x), r)| *y = clip((x - mean) * scale + shift + r));
                    }
                }
            }
        });
    };
    // SAFETY: every plane of every channel is written.
    unsafe { filled(l.len(), fill) }
}

/// The gradients of `x`, `gamma`, `beta` and of the residual if there is one.
struct Gradients {
    x: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    residual: Option<Vec<f32>>,
}

/// What the backward pass reads.
struct Read<'a> {
    x: &'a [f32],
    gamma: &'a [f32],
    y: &'a [f32],
    dy: &'a [f32],
}

fn backward(l: Layout, s: &Scaling, act: Act, read: &Read<'_>, residual: bool) -> Gradients {
    let mut sums = vec![0f32; 2 * l.channels];
    let vectors = Shared::new(&mut sums);
    // The rectified gradient is also the residual's.
    let mut passed = Vec::new();
    let fill = |out: Shared<'_>| {
        let each = |passed: Option<Shared<'_>>| {
            l.each_channel(|c| channel_backward(l, s, act, read, c, out, passed, vectors));
        };
        if residual {
            // SAFETY: `channel_backward` writes every plane of its channel.
            passed = unsafe { filled(l.len(), |passed| each(Some(passed))) };
        } else {
            each(None);
        }
    };
    // SAFETY: as above.
    let x = unsafe { filled(l.len(), fill) };
    let beta = sums.split_off(l.channels);
    Gradients { x, gamma: sums, beta, residual: residual.then_some(passed) }
}

#[inline(always)]
#[allow(clippy::too_many_arguments)] // three outputs
fn channel_backward(
    l: Layout,
    s: &Scaling,
    act: Act,
    read: &Read<'_>,
    c: usize,
    out: Shared<'_>,
    passed: Option<Shared<'_>>,
    vectors: Shared<'_>,
) {
    let (mean, inverse) = (s.mean[c], s.inverse[c]);
    let relu = act == Act::Relu;
    let through = |y: f32, dy: f32| if relu && y <= 0. { 0. } else { dy };
    let (mut of_beta, mut of_gamma) = (0f64, 0f64);
    for at in l.planes(c) {
        let (x, y, dy) = (&read.x[at..at + l.plane], &read.y[at..at + l.plane], &read.dy[at..at + l.plane]);
        // SAFETY: planes do not overlap. `out` keeps the rectified gradient until the second pass.
        let g = unsafe { passed.unwrap_or(out).part(at, l.plane) };
        g.iter_mut().zip(y).zip(dy).for_each(|((g, y), dy)| *g = through(*y, *dy));
        of_beta += f64::from(sum(g));
        of_gamma += f64::from(sum_pairs(x, g, |x, g| (x - mean) * g)) * f64::from(inverse);
    }
    // SAFETY: each channel has its own two elements.
    unsafe {
        vectors.part(c, 1)[0] = of_gamma as f32;
        vectors.part(l.channels + c, 1)[0] = of_beta as f32;
    }
    let scale = read.gamma[c] * inverse;
    let n = if s.of_batch { l.count() as f64 } else { f64::INFINITY };
    let shift = (of_beta / n) as f32;
    let slope = (of_gamma * f64::from(inverse) / n) as f32;
    for at in l.planes(c) {
        let x = &read.x[at..at + l.plane];
        // SAFETY: planes do not overlap; the parts of the first pass are gone.
        let dx = unsafe { out.part(at, l.plane) };
        match passed {
            None => dx.iter_mut().zip(x).for_each(|(dx, x)| *dx = scale * (*dx - shift - (x - mean) * slope)),
            Some(passed) => {
                // SAFETY: as above.
                let g = unsafe { passed.part(at, l.plane) };
                dx.iter_mut().zip(x).zip(g).for_each(|((dx, x), g)| *dx = scale * (*g - shift - (x - mean) * slope));
            }
        }
    }
}

/// The normalised `x` as a node of the graph.
fn node(
    op: &'static str,
    s: Scaling,
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    act: Act,
    residual: Option<&Tensor>,
) -> Result<Tensor> {
    let l = Layout::of(x);
    let Some(residual) = residual else {
        let y = host::read(op, [x, gamma, beta], |[x, gamma, beta]| Ok(forward(l, &s, act, x, gamma, beta, None)))?;
        return op3(op, [x, gamma, beta], y, x.shape(), move |[x, gamma, beta], y, dy| {
            let g = host::read(op, [x, gamma, y, dy], |[x, gamma, y, dy]| {
                Ok(backward(l, &s, act, &Read { x, gamma, y, dy }, false))
            })?;
            let like = |values, t: &Tensor| Tensor::from_vec(values, t.shape(), t.device()).map(Some);
            Ok([like(g.x, x)?, like(g.gamma, gamma)?, like(g.beta, beta)?])
        });
    };
    // A custom operation has at most three operands: gamma and beta are joined.
    let (pair, residual) = (&Tensor::cat(&[gamma, beta], 0)?, &residual.contiguous()?);
    let y = host::read(op, [x, pair, residual], |[x, pair, residual]| {
        let (gamma, beta) = pair.split_at(l.channels);
        Ok(forward(l, &s, act, x, gamma, beta, Some(residual)))
    })?;
    op3(op, [x, pair, residual], y, x.shape(), move |[x, pair, residual], y, dy| {
        let mut g = host::read(op, [x, pair, y, dy], |[x, pair, y, dy]| {
            Ok(backward(l, &s, act, &Read { x, gamma: &pair[..l.channels], y, dy }, true))
        })?;
        g.gamma.append(&mut g.beta);
        let like = |values, t: &Tensor| Tensor::from_vec(values, t.shape(), t.device());
        let of_residual = g.residual.map(|r| like(r, residual)).transpose()?;
        Ok([Some(like(g.x, x)?), Some(like(g.gamma, pair)?), of_residual])
    })
}

pub(crate) fn batch_norm_train(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    eps: f64,
    act: Act,
    residual: Option<&Tensor>,
) -> Result<(Tensor, BatchStats)> {
    const OP: &str = "batch_norm_train";
    let (x, gamma, beta) = (&x.contiguous()?, &gamma.contiguous()?, &beta.contiguous()?);
    let l = Layout::of(x);
    let (mean, var) = host::read(OP, [x], |[x]| Ok(moments(l, x)))?;
    let vector = |v: &[f32]| Tensor::from_slice(v, l.channels, x.device());
    let stats = BatchStats { mean: vector(&mean)?, var: vector(&var)?, count: l.count() };
    let y = node(OP, Scaling::new(mean, &var, eps, true), x, gamma, beta, act, residual)?;
    Ok((y, stats))
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
    let (x, gamma, beta) = (&x.contiguous()?, &gamma.contiguous()?, &beta.contiguous()?);
    let scaling = Scaling::new(mean.to_vec1()?, &var.to_vec1::<f32>()?, eps, false);
    node("batch_norm_eval", scaling, x, gamma, beta, act, residual)
}
