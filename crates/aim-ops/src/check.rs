//! Argument checks: every error names the operation and what it was given.

use candle_core::{DType, Result, Tensor, bail};

/// `t` must hold f32.
pub(crate) fn f32(op: &str, name: &str, t: &Tensor) -> Result<()> {
    if t.dtype() != DType::F32 {
        bail!("{op}: {name} must be f32, not {:?} (shape {:?})", t.dtype(), t.shape());
    }
    Ok(())
}

/// `t` must hold f32 and have `rank` dimensions.
pub(crate) fn rank(op: &str, name: &str, t: &Tensor, rank: usize) -> Result<()> {
    f32(op, name, t)?;
    if t.rank() != rank {
        bail!("{op}: {name} must have {rank} dimensions, not shape {:?}", t.shape());
    }
    Ok(())
}

/// `t` must hold f32, have at least `rank` dimensions and no empty one.
pub(crate) fn at_least(op: &str, name: &str, t: &Tensor, rank: usize) -> Result<()> {
    f32(op, name, t)?;
    if t.rank() < rank {
        bail!("{op}: {name} must have at least {rank} dimensions, not shape {:?}", t.shape());
    }
    not_empty(op, name, t)
}

/// `t` must have elements.
pub(crate) fn not_empty(op: &str, name: &str, t: &Tensor) -> Result<()> {
    if t.elem_count() == 0 {
        bail!("{op}: {name} is empty, shape {:?}", t.shape());
    }
    Ok(())
}

/// `t` must hold f32 and have exactly this shape.
pub(crate) fn shape(op: &str, name: &str, t: &Tensor, shape: &[usize]) -> Result<()> {
    f32(op, name, t)?;
    if t.dims() != shape {
        bail!("{op}: {name} must have shape {shape:?}, not {:?}", t.shape());
    }
    Ok(())
}

/// What is added below a root must not be negative.
pub(crate) fn eps(op: &str, eps: f64) -> Result<()> {
    if eps.is_nan() || eps < 0. {
        bail!("{op}: eps must not be negative, got {eps}");
    }
    Ok(())
}

/// All tensors must be on one device.
pub(crate) fn one_device(op: &str, first: &Tensor, others: &[Option<&Tensor>]) -> Result<()> {
    for other in others.iter().flatten() {
        if !first.device().same_device(other.device()) {
            bail!("{op}: operands on {:?} and {:?}", first.device().location(), other.device().location());
        }
    }
    Ok(())
}

/// The length a sliding window leaves of `n`, or an error where it does not fit.
pub(crate) fn windows(op: &str, n: usize, kernel: usize, stride: usize, padding: usize) -> Result<usize> {
    if kernel == 0 || stride == 0 {
        bail!("{op}: kernel {kernel} and stride {stride} must be positive");
    }
    if n + 2 * padding < kernel {
        bail!("{op}: a kernel of {kernel} does not fit a length of {n} with padding {padding}");
    }
    Ok((n + 2 * padding - kernel) / stride + 1)
}
