//! Operations that treat each element by itself: nonlinearities, dropout, sums.

use candle_core::{Result, Tensor, bail};

use crate::{
    check, cpu,
    dispatch::on_device,
    random::{bits, key},
};

/// `max(x, 0)` for any shape; the derivative at 0 is 0.
///
/// # Errors
/// A dtype other than f32.
pub fn relu(x: &Tensor) -> Result<Tensor> {
    check::f32("relu", "x", x)?;
    on_device!(x, relu(x))
}

/// `x * Phi(x)` with the exact error function, for any shape.
///
/// # Errors
/// A dtype other than f32.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    check::f32("gelu", "x", x)?;
    on_device!(x, gelu(x))
}

/// Which elements dropout keeps: a pure function of a key and the element's index.
#[derive(Clone, Copy)]
pub(crate) struct Kept {
    pub(crate) key: u64,
    /// Of 2^53 equally likely numbers, those below this one drop an element.
    pub(crate) dropped: u64,
    /// What kept elements are multiplied by.
    pub(crate) scale: f32,
}

impl Kept {
    pub(crate) fn new(p: f64, seed: u64) -> Self {
        let dropped = (p * (1u64 << 53) as f64).ceil() as u64;
        Self { key: key(seed), dropped, scale: (1. / (1. - p)) as f32 }
    }

    #[inline(always)]
    pub(crate) fn contains(self, index: usize) -> bool {
        bits(self.key, index) >> 11 >= self.dropped
    }
}

/// Inverted dropout: each element is 0 with probability `p`, else divided by `1 - p`.
///
/// The mask is a pure function of `(seed, element index)`, whatever the device and the number of threads. `p = 0` is
/// the identity.
///
/// # Errors
/// A dtype other than f32, or a `p` outside of `[0, 1)`.
pub fn dropout(x: &Tensor, p: f64, seed: u64) -> Result<Tensor> {
    check::f32("dropout", "x", x)?;
    if !(0. ..1.).contains(&p) {
        bail!("dropout: p must be in [0, 1), got {p}");
    }
    if p == 0. {
        return Ok(x.clone());
    }
    let kept = Kept::new(p, seed);
    on_device!(x, dropout(x, kept))
}

/// `a + b` for tensors of one shape.
///
/// # Errors
/// Dtypes other than f32, shapes or devices that differ.
pub fn add(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    check::f32("add", "a", a)?;
    check::shape("add", "b", b, a.dims())?;
    check::one_device("add", a, &[Some(b)])?;
    if a.device().is_cpu() { cpu::add(a, b) } else { a + b }
}
