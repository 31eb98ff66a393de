//! The linear map.

use candle_core::{D, Device, Result, Tensor};

use crate::{Act, check, compose, cpu};

fn checked(op: &'static str, x: &Tensor, w: &Tensor, bias: Option<&Tensor>, act: Act) -> Result<Tensor> {
    check::at_least(op, "x", x, 1)?;
    check::rank(op, "w", w, 2)?;
    check::not_empty(op, "w", w)?;
    check::shape(op, "w", w, &[w.dim(0)?, x.dim(D::Minus1)?])?;
    if let Some(bias) = bias {
        check::shape(op, "bias", bias, &w.dims()[..1])?;
    }
    check::one_device(op, x, &[Some(w), bias])?;
    match x.device() {
        Device::Cpu => return cpu::linear(op, x, w, bias, act),
        #[cfg(feature = "cuda")]
        Device::Cuda(_) => return crate::cuda::linear(op, x, w, bias, act),
        _ => {}
    }
    let y = compose::linear(x, w, bias)?;
    if act == Act::Relu { compose::relu(&y) } else { Ok(y) }
}

/// `x [..., I]` times the transpose of `w [O, I]`, plus `bias [O]`: `[..., O]`.
///
/// # Errors
/// Dtypes other than f32, empty operands, shapes that do not fit.
pub fn linear(x: &Tensor, w: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    checked("linear", x, w, bias, Act::None)
}

/// [`linear`] with [`relu`](crate::relu) behind it, in one operation.
///
/// # Errors
/// As [`linear`].
pub fn linear_relu(x: &Tensor, w: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    checked("linear_relu", x, w, bias, Act::Relu)
}
