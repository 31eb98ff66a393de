//! Batch normalisation fused with the residual and the rectifier behind it.
//!
//! A channel is one piece of work: its values are read once from memory, then from the cache.

use candle_core::{Result, Tensor};

use super::{
    par,
    reduce::{sum, sum_of, sum_pairs},
    scratch,
    shared::{Shared, filled},
    simd::kernel,
};
use crate::{
    Act, BatchStats,
    custom::{op2, op3},
    host,
};

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
                    self.gathered(c, read, write, &f);
                } else {
                    f(c, self.channel(c), read, write);
                }
            }
        });
    }

    /// Calls `f` with copies of a channel's values that follow each other in memory.
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

kernel! {
    /// Mean and biased variance of a channel.
    fn moments(runs: Runs, x: &[f32]) -> (f32, f32) {
        let n = (runs.len * runs.count) as f64;
        let mut total = 0f64;
        for x in runs.of(x) {
            total += f64::from(sum(x));
        }
        let mean = (total / n) as f32;
        let mut squares = 0f64;
        for x in runs.of(x) {
            squares += f64::from(sum_of(x, |v| (v - mean) * (v - mean)));
        }
        (mean, (squares / n) as f32)
    }
}

/// How a channel is normalised: `(x - mean) * scale + shift`, at least `floor`.
#[derive(Clone, Copy)]
struct Scaled {
    mean: f32,
    scale: f32,
    shift: f32,
    floor: f32,
}

impl Scaled {
    #[inline(always)]
    fn at(self, x: f32, residual: f32) -> f32 {
        let y = (x - self.mean) * self.scale + self.shift + residual;
        // A comparison that lets NaN through, unlike `max`.
        if y < self.floor { self.floor } else { y }
    }
}

kernel! {
    /// Writes a channel.
    fn normalise(runs: Runs, out: Shared<'_>, s: Scaled, x: &[f32], residual: Option<&[f32]>) {
        // SAFETY: channels do not overlap.
        for (y, at) in unsafe { runs.parts(out) }.zip(runs.starts()) {
            let x = &x[at..][..runs.len];
            match residual {
                None => y.iter_mut().zip(x).for_each(|(y, x)| *y = s.at(*x, 0.)),
                Some(r) => y.iter_mut().zip(x).zip(&r[at..]).for_each(|((y, x), r)| *y = s.at(*x, *r)),
            }
        }
    }
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
    let fill = |out: Shared<'_>, used: Shared<'_>| {
        let scaled = |c: usize, runs: Runs, x: &[f32]| {
            let (mean, var) = match statistics {
                Statistics::Batch => moments(runs, x),
                Statistics::Given(mean, var) => (mean[c], var[c]),
            };
            // SAFETY: each channel has its own two elements.
            unsafe { (used.part(c, 1)[0], used.part(l.channels + c, 1)[0]) = (mean, var) };
            Scaled { mean, scale: input.gamma[c] * inverse(var, eps), shift: input.beta[c], floor }
        };
        match input.residual {
            None => l.each_channel([input.x], [out], |c, runs, [x], [out]| {
                normalise(runs, out, scaled(c, runs, x), x, None);
            }),
            Some(residual) => l.each_channel([input.x, residual], [out], |c, runs, [x, residual], [out]| {
                normalise(runs, out, scaled(c, runs, x), x, Some(residual));
            }),
        }
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
    let channel = |c: usize, runs: Runs, values: [&[f32]; 3], dx: Shared<'_>, passed: Option<Shared<'_>>| {
        let (mean, inverse) = (s.mean[c], s.inverse[c]);
        let [of_beta, weighted] = pass_channel(runs, passed.unwrap_or(dx), act == Act::Relu, mean, values);
        let of_gamma = weighted * f64::from(inverse);
        // SAFETY: each channel has its own two elements.
        unsafe { (vectors.part(c, 1)[0], vectors.part(l.channels + c, 1)[0]) = (of_gamma as f32, of_beta as f32) };
        let n = if s.of_batch { l.count() as f64 } else { f64::INFINITY };
        let (shift, slope) = ((of_beta / n) as f32, (of_gamma * f64::from(inverse) / n) as f32);
        channel_gradient(runs, dx, passed, [read.gamma[c] * inverse, shift, mean, slope], values[0]);
    };
    // The rectified gradient is also the residual's.
    let mut passed = Vec::new();
    let fill = |dx: Shared<'_>| {
        if residual {
            let both = |passed: Shared<'_>| {
                l.each_channel(values, [dx, passed], |c, runs, values, [dx, passed]| {
                    channel(c, runs, values, dx, Some(passed));
                });
            };
            // SAFETY: every element of every channel is written.
            passed = unsafe { filled(l.len(), both) };
        } else {
            l.each_channel(values, [dx], |c, runs, values, [dx]| channel(c, runs, values, dx, None));
        }
    };
    // SAFETY: as above.
    let x = unsafe { filled(l.len(), fill) };
    let beta = sums.split_off(l.channels);
    Gradients { x, gamma: sums, beta, residual: residual.then_some(passed) }
}

kernel! {
    /// Writes what of a channel's gradient passes the rectifier, if there is one, and sums it: by itself, and times
    /// `x - mean`.
    fn pass_channel(runs: Runs, passed: Shared<'_>, relu: bool, mean: f32, values: [&[f32]; 3]) -> [f64; 2] {
        let [x, y, dy] = values;
        let mut sums = [0f64; 2];
        // SAFETY: channels do not overlap.
        for (g, at) in unsafe { runs.parts(passed) }.zip(runs.starts()) {
            let [x, y, dy] = [x, y, dy].map(|values| &values[at..][..runs.len]);
            if relu {
                g.iter_mut().zip(y).zip(dy).for_each(|((g, y), dy)| *g = if *y <= 0. { 0. } else { *dy });
            } else {
                g.copy_from_slice(dy);
            }
            sums[0] += f64::from(sum(g));
            sums[1] += f64::from(sum_pairs(x, g, |x, g| (x - mean) * g));
        }
        sums
    }
}

kernel! {
    /// Writes `by[0] * (passed - by[1] - (x - by[2]) * by[3])` for a channel; `passed` may have been left in `dx`.
    fn channel_gradient(runs: Runs, dx: Shared<'_>, passed: Option<Shared<'_>>, by: [f32; 4], x: &[f32]) {
        let gradient = |g: f32, x: f32| by[0] * (g - by[1] - (x - by[2]) * by[3]);
        for at in runs.starts() {
            let x = &x[at..][..runs.len];
            // SAFETY: channels do not overlap, and other parts of this one are gone.
            let dx = unsafe { dx.part(at, runs.len) };
            // SAFETY: as above; `passed` is other memory than `dx`.
            match passed.map(|passed| unsafe { passed.part(at, runs.len) }) {
                None => dx.iter_mut().zip(x).for_each(|(dx, x)| *dx = gradient(*dx, *x)),
                Some(g) => dx.iter_mut().zip(x).zip(g).for_each(|((dx, x), g)| *dx = gradient(*g, *x)),
            }
        }
    }
}

/// Two vectors of equal length behind each other.
fn joined(op: &'static str, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (n, both) = (a.elem_count(), host::read(op, [a, b], |both| Ok(both.concat()))?);
    op2(op, [a, b], both, 2 * n, move |_, _, dy| {
        let half = |i: usize| dy.narrow(0, i * n, n)?.copy().map(Some);
        Ok([half(0)?, half(1)?])
    })
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
    let (pair, residual) = (&joined(op, gamma, beta)?, &residual.contiguous()?);
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
