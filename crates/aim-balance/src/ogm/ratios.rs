//! How far modalities are ahead of each other.

use aim_core::Result;
use candle_core::{DType, Tensor};

/// Sum over the batch of each modality's probability of the true class.
pub(crate) fn scores(unimodal: &[Tensor], labels: &Tensor) -> Result<Vec<f64>> {
    let index = labels.unsqueeze(1)?;
    let score = |logits: &Tensor| {
        let p = aim_ops::softmax(&logits.detach())?.gather(&index, 1)?;
        Ok(p.to_dtype(DType::F64)?.sum_all()?)
    };
    let scores = unimodal.iter().map(score).collect::<Result<Vec<_>>>()?;
    // One wait for a device, not one for each modality.
    Ok(Tensor::stack(&scores, 0)?.to_vec1()?)
}

/// Mean over the other modalities of the ratio of scores; scores that f32 rounds to 0 count as the least above it.
pub(crate) fn ratios(scores: &[f64]) -> Vec<f64> {
    let others = (scores.len().max(2) - 1) as f64;
    let ratio = |m: usize| {
        let others_of = scores.iter().enumerate().filter(|(j, _)| *j != m);
        others_of.map(|(_, s)| scores[m].max(1e-30) / s.max(1e-30)).sum::<f64>() / others
    };
    (0..scores.len()).map(ratio).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_of_three_by_hand() {
        let r = ratios(&[4., 2., 1.]);
        assert_eq!(r, [(2. + 4.) / 2., (0.5 + 2.) / 2., (0.25 + 0.5) / 2.]);
    }
}
