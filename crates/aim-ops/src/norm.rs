//! Normalisations, fused with what usually follows them.

use candle_core::{D, Result, Tensor};

use crate::{check, dispatch::on_device};

/// The nonlinearity fused behind a normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// The identity.
    None,
    /// `max(x, 0)`, derivative 0 at 0.
    Relu,
}

/// What a batch says of its own distribution: detached, for the caller's running statistics.
#[derive(Clone, Debug)]
pub struct BatchStats {
    /// Mean of each channel, `[C]`.
    pub mean: Tensor,
    /// Biased variance of each channel, `[C]`; times `count / (count - 1)` it is the unbiased one.
    pub var: Tensor,
    /// Number of values behind each mean.
    pub count: usize,
}

fn check_batch_norm(
    op: &str,
    x: &Tensor,
    vectors: &[(&str, &Tensor)],
    eps: f64,
    residual: Option<&Tensor>,
) -> Result<()> {
    check::at_least(op, "x", x, 2)?;
    for (name, v) in vectors {
        check::shape(op, name, v, &x.dims()[1..2])?;
        check::one_device(op, x, &[Some(v), residual])?;
    }
    if let Some(residual) = residual {
        check::shape(op, "residual", residual, x.dims())?;
    }
    check::eps(op, eps)
}

/// Batch normalisation of `x [B, C, ...]` by the batch's own statistics: `act(bn(x) + residual)`.
///
/// `gamma` and `beta` have shape `[C]`, `residual` that of `x`. Gradients flow to all four, through the statistics as
/// well.
///
/// # Errors
/// Dtypes other than f32, an empty `x`, shapes that do not fit, a negative `eps`.
pub fn batch_norm_train(
    x: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    eps: f64,
    act: Act,
    residual: Option<&Tensor>,
) -> Result<(Tensor, BatchStats)> {
    check_batch_norm("batch_norm_train", x, &[("gamma", gamma), ("beta", beta)], eps, residual)?;
    on_device!(x, batch_norm_train(x, gamma, beta, eps, act, residual))
}

/// Batch normalisation of `x [B, C, ...]` by given statistics `mean [C]` and `var [C]`: `act(bn(x) + residual)`.
///
/// Gradients flow to `x`, `gamma`, `beta` and `residual`; the statistics are constants.
///
/// # Errors
/// As [`batch_norm_train`].
#[allow(clippy::too_many_arguments)] // the operation has this many operands
pub fn batch_norm_eval(
    x: &Tensor,
    mean: &Tensor,
    var: &Tensor,
    gamma: &Tensor,
    beta: &Tensor,
    eps: f64,
    act: Act,
    residual: Option<&Tensor>,
) -> Result<Tensor> {
    let vectors = [("mean", mean), ("var", var), ("gamma", gamma), ("beta", beta)];
    check_batch_norm("batch_norm_eval", x, &vectors, eps, residual)?;
    let (mean, var) = (&mean.detach(), &var.detach());
    on_device!(x, batch_norm_eval(x, mean, var, gamma, beta, eps, act, residual))
}

/// Normalisation over the last dimension of `x [..., D]`, then `* gamma + beta`, both `[D]`.
///
/// # Errors
/// Dtypes other than f32, an empty `x`, shapes that do not fit, a negative `eps`.
pub fn layer_norm(x: &Tensor, gamma: &Tensor, beta: &Tensor, eps: f64) -> Result<Tensor> {
    check::at_least("layer_norm", "x", x, 1)?;
    let d = [x.dim(D::Minus1)?];
    check::shape("layer_norm", "gamma", gamma, &d)?;
    check::shape("layer_norm", "beta", beta, &d)?;
    check::one_device("layer_norm", x, &[Some(gamma), Some(beta)])?;
    check::eps("layer_norm", eps)?;
    on_device!(x, layer_norm(x, gamma, beta, eps))
}

/// Each row of the last dimension divided by its Euclidean norm, which counts as at least 1e-12; the gradient is finite
/// at 0.
///
/// # Errors
/// A zero-dimensional `x`, or a dtype other than f32.
pub fn unit_rows(x: &Tensor) -> Result<Tensor> {
    check::at_least("unit_rows", "x", x, 1)?;
    let norm = (x.sqr()?.sum_keepdim(D::Minus1)? + 1e-24)?.sqrt()?;
    x.broadcast_div(&norm)
}
