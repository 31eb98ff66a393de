//! Losses.

use candle_core::{DType, Result, Tensor, bail};

use crate::{
    check, compose,
    cpu::{self, Targets},
};

/// What becomes of the rows' losses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// Their mean, a scalar.
    Mean,
    /// One loss a row, `[B]`.
    None,
}

fn reduce(losses: Tensor, reduction: Reduction) -> Result<Tensor> {
    match reduction {
        Reduction::Mean => losses.mean_all(),
        Reduction::None => Ok(losses),
    }
}

/// Labels must be integers.
fn check_labels(op: &str, labels: &Tensor) -> Result<()> {
    match labels.dtype() {
        DType::U32 | DType::I64 => Ok(()),
        dtype => bail!("{op}: labels must be u32 or i64, not {dtype:?}"),
    }
}

/// There must be one for each row.
fn check_count(op: &str, labels: &Tensor, rows: usize) -> Result<()> {
    if labels.dims() == [rows] {
        return Ok(());
    }
    bail!("{op}: labels must have shape [{rows}], not {:?}", labels.shape())
}

fn check_smoothing(op: &str, smoothing: f64) -> Result<()> {
    if (0. ..=1.).contains(&smoothing) {
        return Ok(());
    }
    bail!("{op}: smoothing must be in [0, 1], got {smoothing}")
}

/// The labels as class indices, each below `classes`.
fn class_indices(op: &str, labels: &Tensor, classes: usize) -> Result<Vec<u32>> {
    check_labels(op, labels)?;
    let labels = labels.to_dtype(DType::I64)?.to_vec1::<i64>()?;
    if let Some(row) = labels.iter().position(|&l| l < 0 || l >= classes as i64) {
        bail!("{op}: label {} of row {row} is out of range, there are {classes} classes", labels[row]);
    }
    Ok(labels.into_iter().map(|l| l as u32).collect())
}

/// Cross-entropy of `logits [B, C]` against class indices `labels [B]` (u32 or i64), in natural logarithms.
///
/// With label smoothing `s` the target is `1 - s` on the label plus `s / C` on every class. The gradient flows to
/// `logits`.
///
/// # Errors
/// Other dtypes, shapes that do not fit, a label out of range (the message names its row), `smoothing` outside of
/// `[0, 1]`.
pub fn cross_entropy(logits: &Tensor, labels: &Tensor, smoothing: f64, reduction: Reduction) -> Result<Tensor> {
    check::rank("cross_entropy", "logits", logits, 2)?;
    check::not_empty("cross_entropy", "logits", logits)?;
    check::one_device("cross_entropy", logits, &[Some(labels)])?;
    let (rows, classes) = logits.dims2()?;
    check_count("cross_entropy", labels, rows)?;
    check_smoothing("cross_entropy", smoothing)?;
    #[cfg(feature = "cuda")]
    if logits.device().is_cuda() {
        check_labels("cross_entropy", labels)?;
        return reduce(crate::cuda::cross_entropy(logits, labels, smoothing)?, reduction);
    }
    let indices = class_indices("cross_entropy", labels, classes)?;
    if logits.device().is_cpu() {
        let targets = Targets::Classes(indices, smoothing as f32);
        return cpu::cross_entropy("cross_entropy", logits, targets, reduction == Reduction::Mean);
    }
    reduce(compose::cross_entropy(logits, labels, smoothing)?, reduction)
}

/// Cross-entropy in which each class has a weight, `weights [C]`: the loss of a row with label `y` is
/// `-(1 - s) w[y] log p[y] - s / C sum_c w[c] log p[c]` with label smoothing `s`, and the mean is their sum over the
/// sum of `w[y]`, as PyTorch's `CrossEntropyLoss` has it. The gradient flows to `logits`.
///
/// # Errors
/// Those of [`cross_entropy`], and weights of another shape.
pub fn weighted_cross_entropy(
    logits: &Tensor,
    labels: &Tensor,
    weights: &Tensor,
    smoothing: f64,
    reduction: Reduction,
) -> Result<Tensor> {
    check::rank("weighted_cross_entropy", "logits", logits, 2)?;
    check::one_device("weighted_cross_entropy", logits, &[Some(labels), Some(weights)])?;
    let (rows, classes) = logits.dims2()?;
    check_count("weighted_cross_entropy", labels, rows)?;
    check_labels("weighted_cross_entropy", labels)?;
    check::shape("weighted_cross_entropy", "weights", weights, &[classes])?;
    check_smoothing("weighted_cross_entropy", smoothing)?;
    if logits.device().is_cpu() {
        class_indices("weighted_cross_entropy", labels, classes)?;
    }
    let (labels, weights) = (labels.to_dtype(DType::U32)?, weights.detach());
    let own = weights.index_select(&labels, 0)?;
    let shared = (weights * (smoothing / classes as f64))?.broadcast_as((rows, classes))?.contiguous()?;
    let targets = shared.scatter_add(&labels.unsqueeze(1)?, &(&own * (1. - smoothing))?.unsqueeze(1)?, 1)?;
    let losses = soft_cross_entropy(logits, &targets, Reduction::None)?;
    match reduction {
        Reduction::Mean => losses.sum_all()? / own.sum_all()?,
        Reduction::None => Ok(losses),
    }
}

/// Cross-entropy of `logits [B, C]` against probabilities `targets [B, C]`; the gradient flows to `logits` only.
///
/// # Errors
/// Dtypes other than f32, shapes that do not fit.
pub fn soft_cross_entropy(logits: &Tensor, targets: &Tensor, reduction: Reduction) -> Result<Tensor> {
    check::rank("soft_cross_entropy", "logits", logits, 2)?;
    check::not_empty("soft_cross_entropy", "logits", logits)?;
    check::shape("soft_cross_entropy", "targets", targets, logits.dims())?;
    check::one_device("soft_cross_entropy", logits, &[Some(targets)])?;
    if logits.device().is_cpu() {
        let targets = Targets::Distributions(targets.detach().flatten_all()?.to_vec1()?);
        return cpu::cross_entropy("soft_cross_entropy", logits, targets, reduction == Reduction::Mean);
    }
    #[cfg(feature = "cuda")]
    if logits.device().is_cuda() {
        return reduce(crate::cuda::soft_cross_entropy(logits, targets)?, reduction);
    }
    reduce(compose::soft_cross_entropy(logits, targets)?, reduction)
}
