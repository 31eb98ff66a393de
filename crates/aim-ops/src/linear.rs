//! The linear map.

use candle_core::{D, Result, Tensor};

use crate::{check, compose, cpu};

/// `x [..., I]` times the transpose of `w [O, I]`, plus `bias [O]`: `[..., O]`.
///
/// # Errors
/// Dtypes other than f32, empty operands, shapes that do not fit.
pub fn linear(x: &Tensor, w: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    check::at_least("linear", "x", x, 1)?;
    check::rank("linear", "w", w, 2)?;
    check::not_empty("linear", "w", w)?;
    check::shape("linear", "w", w, &[w.dim(0)?, x.dim(D::Minus1)?])?;
    if let Some(bias) = bias {
        check::shape("linear", "bias", bias, &w.dims()[..1])?;
    }
    check::one_device("linear", x, &[Some(w), bias])?;
    if x.device().is_cpu() {
        return cpu::linear(x, w, bias);
    }
    compose::linear(x, w, bias)
}
