//! Convolutions.

use candle_core::{Device, Result, Tensor, bail};

use crate::{
    check, compose,
    cpu::{self, Axis, ConvShape},
};

/// How a two-dimensional convolution moves over its input; the same for both spatial dimensions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2d {
    /// Step between two windows.
    pub stride: usize,
    /// Zeros added on each side.
    pub padding: usize,
    /// Groups of channels which do not see each other.
    pub groups: usize,
    /// Distance between two taps of the kernel.
    pub dilation: usize,
}

impl Default for Conv2d {
    fn default() -> Self {
        Self { stride: 1, padding: 0, groups: 1, dilation: 1 }
    }
}

/// How a one-dimensional convolution moves over its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv1d {
    /// Step between two windows.
    pub stride: usize,
    /// Zeros added on each side.
    pub padding: usize,
    /// Groups of channels which do not see each other.
    pub groups: usize,
    /// Distance between two taps of the kernel.
    pub dilation: usize,
}

impl Default for Conv1d {
    fn default() -> Self {
        Self { stride: 1, padding: 0, groups: 1, dilation: 1 }
    }
}

/// Checks channels, groups, bias and that the kernel fits; `spatial` are the dimensions after the channels.
fn check_conv(op: &str, x: &Tensor, w: &Tensor, bias: Option<&Tensor>, p: Conv2d) -> Result<()> {
    check::not_empty(op, "x", x)?;
    check::not_empty(op, "w", w)?;
    check::one_device(op, x, &[Some(w), bias])?;
    let (xs, ws) = (x.dims(), w.dims());
    if p.groups == 0 || p.dilation == 0 || xs[1] != ws[1] * p.groups || !ws[0].is_multiple_of(p.groups) {
        bail!("{op}: x {xs:?} and w {ws:?} do not fit with {p:?}");
    }
    for (&n, &k) in xs[2..].iter().zip(&ws[2..]) {
        check::windows(op, n, (k - 1) * p.dilation + 1, p.stride, p.padding)?;
    }
    match bias {
        Some(bias) => check::shape(op, "bias", bias, &ws[..1]),
        None => Ok(()),
    }
}

/// The shapes of a convolution whose arguments are checked, of the last one or two dimensions.
fn shape(x: &Tensor, w: &Tensor, p: Conv2d) -> ConvShape {
    let (xs, ws) = (x.dims(), w.dims());
    let unit = Axis { input: 1, kernel: 1, stride: 1, padding: 0, dilation: 1 };
    let axis =
        |i: usize| Axis { input: xs[i], kernel: ws[i], stride: p.stride, padding: p.padding, dilation: p.dilation };
    let last = axis(xs.len() - 1);
    let axes = if xs.len() == 3 { [unit, last] } else { [axis(2), last] };
    ConvShape { batch: xs[0], channels: [xs[1], ws[0]], groups: p.groups, axes }
}

/// Cross-correlation of `x [B, C, H, W]` with `w [O, C / groups, kh, kw]`, plus `bias [O]`: `[B, O, H', W']`.
///
/// Gradients flow to `x`, `w` and `bias`, each only where asked for.
///
/// On the CPU, 3x3 kernels of stride 1 with many channels take Winograd's F(4x4, 3x3), for output and gradients: a
/// quarter of the multiplications, and an error of at most 2e-5 of the largest value where the direct way has about a
/// tenth of that.
///
/// # Errors
/// Dtypes other than f32, empty operands, channels or groups that do not fit, a kernel larger than the padded input.
pub fn conv2d(x: &Tensor, w: &Tensor, bias: Option<&Tensor>, p: Conv2d) -> Result<Tensor> {
    check::rank("conv2d", "x", x, 4)?;
    check::rank("conv2d", "w", w, 4)?;
    check_conv("conv2d", x, w, bias, p)?;
    match x.device() {
        Device::Cpu => cpu::conv("conv2d", shape(x, w, p), x, w, bias),
        #[cfg(feature = "cuda")]
        Device::Cuda(_) => crate::cuda::conv("conv2d", shape(x, w, p), x, w, bias),
        _ => compose::conv2d(x, w, bias, p),
    }
}

/// Cross-correlation of `x [B, C, L]` with `w [O, C / groups, k]`, plus `bias [O]`: `[B, O, L']`.
///
/// # Errors
/// As [`conv2d`].
pub fn conv1d(x: &Tensor, w: &Tensor, bias: Option<&Tensor>, p: Conv1d) -> Result<Tensor> {
    check::rank("conv1d", "x", x, 3)?;
    check::rank("conv1d", "w", w, 3)?;
    let Conv1d { stride, padding, groups, dilation } = p;
    let p2 = Conv2d { stride, padding, groups, dilation };
    check_conv("conv1d", x, w, bias, p2)?;
    match x.device() {
        Device::Cpu => cpu::conv("conv1d", shape(x, w, p2), x, w, bias),
        #[cfg(feature = "cuda")]
        Device::Cuda(_) => crate::cuda::conv("conv1d", shape(x, w, p2), x, w, bias),
        _ => compose::conv1d(x, w, bias, p),
    }
}
