//! Elementwise nonlinearities and dropout.

use candle_core::{Result, Tensor, bail};

use crate::{check, compose, cpu};

/// `max(x, 0)` for any shape; the derivative at 0 is 0.
///
/// # Errors
/// A dtype other than f32.
pub fn relu(x: &Tensor) -> Result<Tensor> {
    check::f32("relu", "x", x)?;
    if x.device().is_cpu() {
        return cpu::relu(x);
    }
    compose::relu(x)
}

/// `x * Phi(x)` with the exact error function, for any shape.
///
/// # Errors
/// A dtype other than f32.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    check::f32("gelu", "x", x)?;
    if x.device().is_cpu() {
        return cpu::gelu(x);
    }
    x.gelu_erf()
}

/// A well mixed function of 64 bits (the finaliser of splitmix64).
fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// 0 with probability `p`, else `1 / (1 - p)`.
fn dropout_factor(p: f64, key: u64, index: usize) -> f32 {
    let bits = mix(key.wrapping_add((index as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    if ((bits >> 11) as f64) < p * (1u64 << 53) as f64 { 0. } else { (1. / (1. - p)) as f32 }
}

/// Inverted dropout: each element is 0 with probability `p`, else divided by `1 - p`.
///
/// The mask is a pure function of `(seed, element index)`, whatever the device and the number of threads. `p = 0` is the identity.
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
    let key = mix(seed ^ 0x5851_f42d_4c95_7f2d);
    if x.device().is_cpu() {
        return cpu::dropout(x, move |i| dropout_factor(p, key, i));
    }
    compose::dropout(x, (0..x.elem_count()).map(|i| dropout_factor(p, key, i)).collect())
}
