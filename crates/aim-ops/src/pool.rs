//! Pooling.

use candle_core::{Result, Tensor, bail};

use crate::{check, compose, cpu, dispatch::on_device};

/// How a square pooling window moves over its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool2d {
    /// Side of the window.
    pub kernel: usize,
    /// Step between two windows.
    pub stride: usize,
    /// Padding on each side, at most half the kernel.
    pub padding: usize,
}

fn check_pool(op: &str, x: &Tensor, p: Pool2d) -> Result<()> {
    check::rank(op, "x", x, 4)?;
    check::not_empty(op, "x", x)?;
    check::windows(op, x.dim(2)?, p.kernel, p.stride, p.padding)?;
    check::windows(op, x.dim(3)?, p.kernel, p.stride, p.padding)?;
    // A wider padding would leave windows without any element.
    if p.padding > p.kernel / 2 {
        bail!("{op}: padding {} exceeds half of the kernel {}", p.padding, p.kernel);
    }
    Ok(())
}

/// The maximum of each window of `x [B, C, H, W]`; padding never wins, the gradient goes to the first maximum.
///
/// # Errors
/// A dtype other than f32, a window that does not fit, padding of more than half the kernel.
pub fn max_pool2d(x: &Tensor, p: Pool2d) -> Result<Tensor> {
    check_pool("max_pool2d", x, p)?;
    if x.device().is_cpu() && p.kernel > cpu::WIDEST {
        return compose::max_pool2d(x, p);
    }
    on_device!(x, max_pool2d(x, p))
}

/// The mean of each window of `x [B, C, H, W]`; padding counts as zeros, as by default in PyTorch.
///
/// # Errors
/// As [`max_pool2d`].
pub fn avg_pool2d(x: &Tensor, p: Pool2d) -> Result<Tensor> {
    check_pool("avg_pool2d", x, p)?;
    on_device!(x, avg_pool2d(x, p))
}

/// The mean over every dimension after the second: `x [B, C, ...]` becomes `[B, C]`.
///
/// # Errors
/// A dtype other than f32, fewer than three dimensions, an empty `x`.
pub fn global_avg_pool(x: &Tensor) -> Result<Tensor> {
    check::at_least("global_avg_pool", "x", x, 3)?;
    on_device!(x, global_avg_pool(x))
}
