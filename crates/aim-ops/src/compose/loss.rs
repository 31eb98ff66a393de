//! Cross-entropy, one value a row.

use candle_core::{D, DType, Result, Tensor};

use super::log_softmax;

pub(crate) fn cross_entropy(logits: &Tensor, labels: &Tensor, smoothing: f64) -> Result<Tensor> {
    let log_p = log_softmax(logits)?;
    let labels = labels.to_dtype(DType::U32)?.unsqueeze(1)?.contiguous()?;
    let nll = log_p.gather(&labels, D::Minus1)?.squeeze(1)?.neg()?;
    if smoothing == 0. {
        return Ok(nll);
    }
    (nll * (1. - smoothing))? - (log_p.mean(D::Minus1)? * smoothing)?
}

pub(crate) fn soft_cross_entropy(logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
    (log_softmax(logits)? * targets.detach())?.sum(D::Minus1)?.neg()
}
