//! Operations that treat each element by itself.

use candle_core::{Result, Tensor};

use super::{
    math::normal,
    par,
    shared::{Shared, filled},
    simd::kernel,
};
use crate::{
    activation::Kept,
    custom::{needed, op1, op2},
    host,
};

/// What `kernel` makes of each element.
fn map(x: &[f32], kernel: fn(&mut [f32], &[f32])) -> Vec<f32> {
    let fill = |out: Shared<'_>| {
        // SAFETY: runs do not overlap.
        par::runs(x.len(), 1, |run| kernel(unsafe { out.part(run.start, run.len()) }, &x[run]));
    };
    // SAFETY: the runs cover all elements.
    unsafe { filled(x.len(), fill) }
}

/// What `kernel` makes of each pair of elements.
fn zip(a: &[f32], b: &[f32], kernel: fn(&mut [f32], &[f32], &[f32])) -> Vec<f32> {
    let fill = |out: Shared<'_>| {
        // SAFETY: runs do not overlap.
        par::runs(a.len(), 1, |run| kernel(unsafe { out.part(run.start, run.len()) }, &a[run.clone()], &b[run]));
    };
    // SAFETY: the runs cover all elements.
    unsafe { filled(a.len(), fill) }
}

kernel! {
    /// `max(x, 0)` in place of each element.
    pub(crate) fn rectify(x: &mut [f32]) {
        for x in x {
            *x = if *x > 0. { *x } else { 0. };
        }
    }
}

kernel! {
    fn positive(y: &mut [f32], x: &[f32]) {
        for (y, x) in y.iter_mut().zip(x) {
            *y = if *x > 0. { *x } else { 0. };
        }
    }
}

kernel! {
    fn pass_positive(dx: &mut [f32], y: &[f32], dy: &[f32]) {
        for ((dx, y), dy) in dx.iter_mut().zip(y).zip(dy) {
            *dx = if *y > 0. { *dy } else { 0. };
        }
    }
}

/// What of `dy` passes a rectifier whose result is `y`.
pub(crate) fn relu_gradient(op: &str, y: &Tensor, dy: &Tensor) -> Result<Tensor> {
    let passed = host::read(op, [y, dy], |[y, dy]| Ok(zip(y, dy, pass_positive)))?;
    Tensor::from_vec(passed, y.shape(), y.device())
}

pub(crate) fn relu(x: &Tensor) -> Result<Tensor> {
    let x = &x.contiguous()?;
    let y = host::read("relu", [x], |[x]| Ok(map(x, positive)))?;
    op1("relu", x, y, x.shape(), |_, y, dy| Ok([Some(relu_gradient("relu", y, dy)?)]))
}

kernel! {
    fn gelu_values(y: &mut [f32], x: &[f32]) {
        for (y, x) in y.iter_mut().zip(x) {
            *y = x * normal(*x).0;
        }
    }
}

kernel! {
    fn gelu_gradients(dx: &mut [f32], x: &[f32], dy: &[f32]) {
        // 1 / sqrt(2 pi)
        const DENSITY: f32 = 0.398_942_3;
        for ((dx, x), dy) in dx.iter_mut().zip(x).zip(dy) {
            let (below, bell) = normal(*x);
            *dx = dy * (below + x * bell * DENSITY);
        }
    }
}

pub(crate) fn gelu(x: &Tensor) -> Result<Tensor> {
    let x = &x.contiguous()?;
    let y = host::read("gelu", [x], |[x]| Ok(map(x, gelu_values)))?;
    op1("gelu", x, y, x.shape(), |[x], _, dy| {
        Ok([needed(x, || host::read("gelu", [x, dy], |[x, dy]| Ok(zip(x, dy, gelu_gradients))))?])
    })
}

/// Elements whose fate fits into a word.
const WORD: usize = u32::BITS as usize;

/// A bit for each element: whether it is kept.
fn kept_bits(n: usize, kept: Kept) -> Vec<u32> {
    let mut words = vec![0u32; n.div_ceil(WORD)];
    let out = Shared::new(&mut words);
    par::runs(n.div_ceil(WORD), WORD, |run| {
        // SAFETY: runs do not overlap.
        let words = unsafe { out.part(run.start, run.len()) };
        for (i, word) in run.zip(words) {
            *word = (0..WORD).fold(0, |word, j| word | u32::from(kept.contains(i * WORD + j)) << j);
        }
    });
    words
}

kernel! {
    /// Each element times `scale` if its bit is set, else times 0.
    fn masked_into(y: &mut [f32], x: &[f32], words: &[u32], scale: f32) {
        for ((y, x), word) in y.chunks_mut(WORD).zip(x.chunks(WORD)).zip(words) {
            for (bit, (y, x)) in y.iter_mut().zip(x).enumerate() {
                *y = x * if word >> bit & 1 == 0 { 0. } else { scale };
            }
        }
    }
}

fn masked(x: &[f32], words: &[u32], scale: f32) -> Vec<f32> {
    let fill = |out: Shared<'_>| {
        par::runs(words.len(), WORD, |run| {
            let from = run.start * WORD;
            let x = &x[from..x.len().min(run.end * WORD)];
            // SAFETY: runs do not overlap.
            masked_into(unsafe { out.part(from, x.len()) }, x, &words[run], scale);
        });
    };
    // SAFETY: the runs cover all elements.
    unsafe { filled(x.len(), fill) }
}

pub(crate) fn dropout(x: &Tensor, kept: Kept) -> Result<Tensor> {
    let x = &x.contiguous()?;
    let words = kept_bits(x.elem_count(), kept);
    let y = host::read("dropout", [x], |[x]| Ok(masked(x, &words, kept.scale)))?;
    op1("dropout", x, y, x.shape(), move |[x], _, dy| {
        Ok([needed(x, || host::read("dropout", [dy], |[dy]| Ok(masked(dy, &words, kept.scale))))?])
    })
}

kernel! {
    fn sums(sum: &mut [f32], a: &[f32], b: &[f32]) {
        for ((sum, a), b) in sum.iter_mut().zip(a).zip(b) {
            *sum = a + b;
        }
    }
}

pub(crate) fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let (a, b) = (&a.contiguous()?, &b.contiguous()?);
    let sum = host::read("add", [a, b], |[a, b]| Ok(zip(a, b, sums)))?;
    op2("add", [a, b], sum, a.shape(), |[a, b], _, dy| Ok([a, b].map(|x| x.track_op().then(|| dy.clone()))))
}
