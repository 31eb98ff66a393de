//! Batch normalisation fused with the residual and the rectifier behind it.
//!
//! A channel is one piece of work: its values are read once from memory, then from the cache.

use candle_core::{Result, Tensor};

use super::{
    par,
    reduce::{sum, sum_of, sum_pairs},
    scratch,
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

/// Where the values of a channel are: `count` runs of `len` elements, `step` apart.
#[derive(Clone, Copy)]
struct Runs {
    first: usize,
    step: usize,
    len: usize,
    count: usize,
}

impl Runs {
    /// Where each run begins.
    #[inline(always)]
    fn starts(self) -> impl Iterator<Item = usize> {
        (0..self.count).map(move |i| self.first + i * self.step)
    }

    /// All runs of some values.
    #[inline(always)]
    fn of(self, values: &[f32]) -> impl Iterator<Item = &[f32]> {
        self.starts().map(move |at| &values[at..at + self.len])
    }

    /// All runs of what is written, in order.
    ///
    /// # Safety
    /// As [`Shared::part`].
    #[inline(always)]
    unsafe fn parts(self, out: Shared<'_>) -> impl Iterator<Item = &mut [f32]> {
        // SAFETY: runs do not overlap; the rest is the caller's promise.
        self.starts().map(move |at| unsafe { out.part(at, self.len) })
    }
}

/// Planes shorter than this are first gathered: a loop over one of them is mostly its beginning and end.
const SHORT: usize = 128;

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

    fn channel(self, c: usize) -> Runs {
        Runs { first: c * self.plane, step: self.channels * self.plane, len: self.plane, count: self.batch }
    }

    /// Calls `f` with every channel on several threads: what it reads, what it writes, and where both are.
    fn each_channel<const I: usize, const O: usize>(
        self,
        read: [&[f32]; I],
        write: [Shared<'_>; O],
        f: impl Fn(usize, Runs, [&[f32]; I], [Shared<'_>; O]) + Sync + Send,
    ) {
        let gather = self.plane < SHORT && self.batch > 1;
        par::runs(self.channels, self.count(), |run| {
            for c in run {
                if gather {
                    wide(|| self.gathered(c, read, write, &f));
                } else {
                    wide(|| f(c, self.channel(c), read, write));
                }
            }
        });
    }

    /// Calls `f` with copies of a channel's values that follow each other in memory.
    #[inline(always)]
    fn gathered<const I: usize, const O: usize>(
        self,
        c: usize,
        read: [&[f32]; I],
        write: [Shared<'_>; O],
        f: &impl Fn(usize, Runs, [&[f32]; I], [Shared<'_>; O]),
    ) {
        let (count, runs) = (self.count(), self.channel(c));
        scratch::with([I * count, O * count], |[from, to]| {
            for (copy, read) in from.chunks_exact_mut(count).zip(read) {
                copy.chunks_exact_mut(self.plane).zip(runs.of(read)).for_each(|(to, from)| to.copy_from_slice(from));
            }
            let mut copies = from.chunks_exact(count);
            let read = std::array::from_fn(|_| copies.next().unwrap_or_default());
            let mut room = to.chunks_exact_mut(count);
            let written = std::array::from_fn(|_| Shared::new(room.next().unwrap_or_default()));
            f(c, Runs { first: 0, step: 0, len: count, count: 1 }, read, written);
            for (copy, write) in to.chunks_exact(count).zip(write) {
                // SAFETY: channels do not overlap.
                let parts = unsafe { runs.parts(write) };
                copy.chunks_exact(self.plane).zip(parts).for_each(|(from, to)| to.copy_from_slice(from));
            }
        });
    }
}

/// Mean and biased variance of a channel.
#[inline(always)]
fn moments(runs: Runs, x: &[f32]) -> (f32, f32) {
    let n = (runs.len * runs.count) as f64;
    let mean = (runs.of(x).map(|x| f64::from(sum(x))).sum::<f64>() / n) as f32;
    let square = |x| f64::from(sum_of(x, |v| (v - mean) * (v - mean)));
    (mean, (runs.of(x).map(square).sum::<f64>() / n) as f32)
}

/// One over the standard deviation.
fn inverse(var: f32, eps: f64) -> f32 {
    (1. / (f64::from(var) + eps).sqrt()) as f32
}

/// Which statistics to normalise by.
#[derive(Clone, Copy)]
enum Statistics<'a> {
    /// The batch's own.
    Batch,
    /// Mean and variance from outside.
    Given(&'a [f32], &'a [f32]),
}

/// What is normalised, scaled and shifted.
struct Input<'a> {
    x: &'a [f32],
    gamma: &'a [f32],
    beta: &'a [f32],
    residual: Option<&'a [f32]>,
}

/// The result, and the statistics that it was normalised by: all means, then all variances.
fn forward(l: Layout, statistics: Statistics<'_>, eps: f64, act: Act, input: &Input<'_>) -> (Vec<f32>, Vec<f32>) {
    let floor = if act == Act::Relu { 0. } else { f32::NEG_INFINITY };
    // A comparison that lets NaN through, unlike `max`.
    let clip = move |v: f32| if v < floor { floor } else { v };
    let fill = |out: Shared<'_>, used: Shared<'_>| {
        let scaling = |c: usize, runs: Runs, x: &[f32]| {
            let (mean, var) = match statistics {
                Statistics::Batch => moments(runs, x),
                Statistics::Given(mean, var) => (mean[c], var[c]),
            };
            // SAFETY: each channel has its own two elements.
            unsafe { (used.part(c, 1)[0], used.part(l.channels + c, 1)[0]) = (mean, var) };
            (mean, input.gamma[c] * inverse(var, eps), input.beta[c])
        };
        let Some(residual) = input.residual else {
            return l.each_channel([input.x], [out], |c, runs, [x], [out]| {
                let (mean, scale, shift) = scaling(c, runs, x);
                // SAFETY: channels do not overlap.
                for (y, x) in unsafe { runs.parts(out) }.zip(runs.of(x)) {
                    y.iter_mut().zip(x).for_each(|(y, x)| *y = clip((x - mean) * scale + shift));
                }
            });
        };
        l.each_channel([input.x, residual], [out], |c, runs, [x, residual], [out]| {
            let (mean, scale, shift) = scaling(c, runs, x);
            // SAFETY: channels do not overlap.
            for ((y, x), r) in unsafe { runs.parts(out) }.zip(runs.of(x)).zip(runs.of(residual)) {
                y.iter_mut().zip(x).zip(r).for_each(|((y, x), r)| *y = clip((x - mean) * scale + shift + r));
            }
        });
    };
    let mut used = Vec::new();
    // SAFETY: every element of every channel and both statistics of each are written.
    let y = unsafe {
        filled(l.len(), |out| {
            used = filled(2 * l.channels, |used| fill(out, used));
        })
    };
    (y, used)
}

/// What is subtracted from and multiplied to each channel.
struct Scaling {
    mean: Vec<f32>,
    /// One over the standard deviation.
    inverse: Vec<f32>,
    /// Whether they come from the batch itself, so that gradients flow through them.
    of_batch: bool,
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
    let values = [read.x, read.y, read.dy];
    // The rectified gradient is also the residual's.
    let mut passed = Vec::new();
    let fill = |dx: Shared<'_>| {
        if residual {
            let both = |passed: Shared<'_>| {
                l.each_channel(values, [dx, passed], |c, runs, values, [dx, passed]| {
                    channel_backward(l, s, act, (c, runs), read.gamma[c], values, (dx, Some(passed)), vectors);
                });
            };
            // SAFETY: `channel_backward` writes every element of its channel.
            passed = unsafe { filled(l.len(), both) };
        } else {
            l.each_channel(values, [dx], |c, runs, values, [dx]| {
                channel_backward(l, s, act, (c, runs), read.gamma[c], values, (dx, None), vectors);
            });
        }
    };
    // SAFETY: as above.
    let x = unsafe { filled(l.len(), fill) };
    let beta = sums.split_off(l.channels);
    Gradients { x, gamma: sums, beta, residual: residual.then_some(passed) }
}

/// Writes a channel's gradient. A first pass leaves the rectified one in `passed`, or in `dx` if nobody wants it.
#[inline(always)]
#[allow(clippy::too_many_arguments)] // three outputs
fn channel_backward(
    l: Layout,
    s: &Scaling,
    act: Act,
    (c, runs): (usize, Runs),
    gamma: f32,
    [x, y, dy]: [&[f32]; 3],
    (dx, passed): (Shared<'_>, Option<Shared<'_>>),
    vectors: Shared<'_>,
) {
    let (mean, inverse) = (s.mean[c], s.inverse[c]);
    let relu = act == Act::Relu;
    let through = |y: f32, dy: f32| if relu && y <= 0. { 0. } else { dy };
    let (mut of_beta, mut of_gamma) = (0f64, 0f64);
    // SAFETY: channels do not overlap.
    let first = unsafe { runs.parts(passed.unwrap_or(dx)) };
    for (((g, x), y), dy) in first.zip(runs.of(x)).zip(runs.of(y)).zip(runs.of(dy)) {
        g.iter_mut().zip(y).zip(dy).for_each(|((g, y), dy)| *g = through(*y, *dy));
        of_beta += f64::from(sum(g));
        of_gamma += f64::from(sum_pairs(x, g, |x, g| (x - mean) * g)) * f64::from(inverse);
    }
    // SAFETY: each channel has its own two elements.
    unsafe { (vectors.part(c, 1)[0], vectors.part(l.channels + c, 1)[0]) = (of_gamma as f32, of_beta as f32) };
    let scale = gamma * inverse;
    let n = if s.of_batch { l.count() as f64 } else { f64::INFINITY };
    let shift = (of_beta / n) as f32;
    let slope = (of_gamma * f64::from(inverse) / n) as f32;
    let gradient = |g: f32, x: f32| scale * (g - shift - (x - mean) * slope);
    for (at, x) in runs.starts().zip(runs.of(x)) {
        // SAFETY: the parts of the first pass are gone.
        let dx = unsafe { dx.part(at, runs.len) };
        // SAFETY: as above; `passed` is other memory than `dx`.
        match passed.map(|passed| unsafe { passed.part(at, runs.len) }) {
            None => dx.iter_mut().zip(x).for_each(|(dx, x)| *dx = gradient(*dx, *x)),
            Some(g) => dx.iter_mut().zip(x).zip(g).for_each(|((dx, x), g)| *dx = gradient(*g, *x)),
        }
    }
}

/// The normalised `x` as a node of the graph, and the statistics that it was normalised by.
fn node(
    op: &'static str,
    statistics: Statistics<'_>,
    eps: f64,
    [x, gamma, beta]: [&Tensor; 3],
    act: Act,
    residual: Option<&Tensor>,
) -> Result<(Tensor, Vec<f32>)> {
    let l = Layout::of(x);
    let scaling = |used: &[f32]| {
        let (mean, var) = used.split_at(l.channels);
        let inverse = var.iter().map(|v| inverse(*v, eps)).collect();
        Scaling { mean: mean.to_vec(), inverse, of_batch: matches!(statistics, Statistics::Batch) }
    };
    let Some(residual) = residual else {
        let (y, used) = host::read(op, [x, gamma, beta], |[x, gamma, beta]| {
            Ok(forward(l, statistics, eps, act, &Input { x, gamma, beta, residual: None }))
        })?;
        let s = scaling(&used);
        let y = op3(op, [x, gamma, beta], y, x.shape(), move |[x, gamma, beta], y, dy| {
            let g = host::read(op, [x, gamma, y, dy], |[x, gamma, y, dy]| {
                Ok(backward(l, &s, act, &Read { x, gamma, y, dy }, false))
            })?;
            let like = |values, t: &Tensor| Tensor::from_vec(values, t.shape(), t.device()).map(Some);
            Ok([like(g.x, x)?, like(g.gamma, gamma)?, like(g.beta, beta)?])
        })?;
        return Ok((y, used));
    };
    // A custom operation has at most three operands: gamma and beta are joined.
    let (pair, residual) = (&Tensor::cat(&[gamma, beta], 0)?, &residual.contiguous()?);
    let (y, used) = host::read(op, [x, pair, residual], |[x, pair, residual]| {
        let (gamma, beta) = pair.split_at(l.channels);
        Ok(forward(l, statistics, eps, act, &Input { x, gamma, beta, residual: Some(residual) }))
    })?;
    let s = scaling(&used);
    let y = op3(op, [x, pair, residual], y, x.shape(), move |[x, pair, residual], y, dy| {
        let mut g = host::read(op, [x, pair, y, dy], |[x, pair, y, dy]| {
            Ok(backward(l, &s, act, &Read { x, gamma: &pair[..l.channels], y, dy }, true))
        })?;
        g.gamma.append(&mut g.beta);
        let like = |values, t: &Tensor| Tensor::from_vec(values, t.shape(), t.device());
        let of_residual = g.residual.map(|r| like(r, residual)).transpose()?;
        Ok([Some(like(g.x, x)?), Some(like(g.gamma, pair)?), of_residual])
    })?;
    Ok((y, used))
}

pub(crate) fn batch_norm_train(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    eps: f64,
    act: Act,
    residual: Option<&Tensor>,
) -> Result<(Tensor, BatchStats)> {
    let operands = [&x.contiguous()?, &gamma.contiguous()?, &beta.contiguous()?];
    let l = Layout::of(x);
    let (y, used) = node("batch_norm_train", Statistics::Batch, eps, operands, act, residual)?;
    let (mean, var) = used.split_at(l.channels);
    let vector = |v: &[f32]| Tensor::from_slice(v, l.channels, x.device());
    Ok((y, BatchStats { mean: vector(mean)?, var: vector(var)?, count: l.count() }))
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
    let operands = [&x.contiguous()?, &gamma.contiguous()?, &beta.contiguous()?];
    let (mean, var) = (mean.to_vec1::<f32>()?, var.to_vec1::<f32>()?);
    Ok(node("batch_norm_eval", Statistics::Given(&mean, &var), eps, operands, act, residual)?.0)
}
