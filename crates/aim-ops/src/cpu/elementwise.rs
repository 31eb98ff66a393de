//! Operations that treat each element by itself.

use candle_core::{Result, Tensor};

use super::{
    math::normal,
    par,
    shared::{Shared, filled},
    simd::wide,
};
use crate::{
    custom::{needed, op1},
    host,
};

/// `f` of each element, with its index.
pub(crate) fn map(x: &[f32], f: impl Fn(usize, f32) -> f32 + Sync + Send) -> Vec<f32> {
    zip(x, x, move |i, x, _| f(i, x))
}

/// `f` of each pair of elements, with its index.
pub(crate) fn zip(a: &[f32], b: &[f32], f: impl Fn(usize, f32, f32) -> f32 + Sync + Send) -> Vec<f32> {
    let fill = |out: Shared<'_>| {
        par::runs(a.len(), 1, |run| {
            // SAFETY: runs do not overlap.
            let to = unsafe { out.part(run.start, run.len()) };
            let (from, a, b) = (run.start, &a[run.clone()], &b[run]);
            wide(|| to.iter_mut().zip(a).zip(b).enumerate().for_each(|(i, ((y, a), b))| *y = f(from + i, *a, *b)));
        });
    };
    // SAFETY: the runs cover all elements.
    unsafe { filled(a.len(), fill) }
}

pub(crate) fn relu(x: &Tensor) -> Result<Tensor> {
    let x = &x.contiguous()?;
    let y = host::read("relu", [x], |[x]| Ok(map(x, |_, x| if x > 0. { x } else { 0. })))?;
    op1("relu", x, y, x.shape(), |[x], y, dy| {
        let gradient = |y: &[f32], dy: &[f32]| zip(y, dy, |_, y, dy| if y > 0. { dy } else { 0. });
        Ok([needed(x, || host::read("relu", [y, dy], |[y, dy]| Ok(gradient(y, dy))))?])
    })
}

pub(crate) fn gelu(x: &Tensor) -> Result<Tensor> {
    let x = &x.contiguous()?;
    let y = host::read("gelu", [x], |[x]| Ok(map(x, |_, x| x * normal(x).0)))?;
    op1("gelu", x, y, x.shape(), |[x], _, dy| {
        Ok([needed(x, || host::read("gelu", [x, dy], |[x, dy]| Ok(zip(x, dy, gelu_gradient))))?])
    })
}

#[inline(always)]
fn gelu_gradient(_: usize, x: f32, dy: f32) -> f32 {
    // 1 / sqrt(2 pi)
    const DENSITY: f32 = 0.398_942_3;
    let (below, bell) = normal(x);
    dy * (below + x * bell * DENSITY)
}

/// Each element times the factor of its index, forward and backward.
pub(crate) fn dropout(x: &Tensor, factor: impl Fn(usize) -> f32 + Clone + Send + Sync + 'static) -> Result<Tensor> {
    let x = &x.contiguous()?;
    let y = host::read("dropout", [x], |[x]| Ok(map(x, |i, x| x * factor(i))))?;
    op1("dropout", x, y, x.shape(), move |[x], _, dy| {
        Ok([needed(x, || host::read("dropout", [dy], |[dy]| Ok(map(dy, |i, dy| dy * factor(i)))))?])
    })
}
