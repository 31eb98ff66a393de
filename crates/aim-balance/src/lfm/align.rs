//! Alignment of modalities: their predictions, or their features.

use aim_config::choice;
use aim_core::{Output, Result};
use candle_core::{D, DType, Tensor};

use crate::util::{log_sum_exp, unit_rows};

choice! {
    /// Alignment of modalities.
    pub enum Align {
        /// Predictions by `KL(m || p)`, as released.
        Reversed = "reversed",
        /// Predictions by `KL(p || m)`.
        Js = "js",
        /// Features by a contrast between samples.
        Contrastive = "contrastive",
    }
}

impl Align {
    /// The loss of a batch.
    pub(super) fn loss(self, out: &Output, temperature: f64) -> Result<Tensor> {
        match self {
            Self::Contrastive => contrast(&out.features, temperature),
            Self::Reversed | Self::Js => self.predictions(&out.unimodal),
        }
    }

    fn predictions(self, unimodal: &[Tensor]) -> Result<Tensor> {
        let log_p =
            Tensor::stack(&unimodal.iter().map(aim_ops::log_softmax).collect::<candle_core::Result<Vec<_>>>()?, 0)?;
        // The logarithm of the mean from logarithms: the mean itself is 0 where all modalities are sure of another
        // class.
        let log_mean = (log_sum_exp(&log_p, 0)? - (unimodal.len() as f64).ln())?.unsqueeze(0)?;
        let divergence = match self {
            Self::Js => (log_p.exp()? * log_p.broadcast_sub(&log_mean)?)?,
            _ => log_mean.exp()?.broadcast_mul(&log_mean.broadcast_sub(&log_p)?)?,
        };
        // Sum over classes, mean over modalities and samples.
        Ok(divergence.sum(D::Minus1)?.mean_all()?)
    }
}

/// Mean over ordered pairs of modalities of the cross-entropy of finding one's own sample in the other modality.
fn contrast(features: &[Tensor], temperature: f64) -> Result<Tensor> {
    let units = features.iter().map(unit_rows).collect::<candle_core::Result<Vec<_>>>()?;
    let mut pairs = vec![];
    for (a, x) in units.iter().enumerate() {
        for y in units.iter().enumerate().filter(|(b, _)| *b != a).map(|(_, y)| y) {
            let scores = (x.matmul(&y.t()?)? / temperature)?;
            let own = Tensor::eye(scores.dim(0)?, DType::F32, scores.device())?;
            pairs.push((aim_ops::log_softmax(&scores)? * own)?.sum(D::Minus1)?.mean_all()?.neg()?);
        }
    }
    Ok(Tensor::stack(&pairs, 0)?.mean_all()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::number;
    use candle_core::Device;

    fn tensors<const N: usize>(values: [[[f32; 2]; 2]; N]) -> Vec<Tensor> {
        values.iter().map(|v| Tensor::new(v, &Device::Cpu).unwrap()).collect()
    }

    #[test]
    fn predictions_by_hand() {
        // p = (1/2, 1/2) and (3/4, 1/4) for both samples: m = (5/8, 3/8).
        let ln3 = 3f32.ln();
        let unimodal = tensors([[[0., 0.], [1., 1.]], [[ln3, 0.], [0., -ln3]]]);
        let (p, m) = ([[0.5, 0.5], [0.75, 0.25f64]], [0.625, 0.375f64]);
        let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 {
            p.iter().map(|p| p.iter().zip(m).map(|(p, m)| f(*p, m)).sum::<f64>()).sum::<f64>() / 2.
        };
        let found = |align: Align| number(&align.predictions(&unimodal).unwrap()).unwrap();
        assert!((found(Align::Reversed) - sum(&|p, m| m * (m / p).ln())).abs() < 1e-6);
        assert!((found(Align::Js) - sum(&|p, m| p * (p / m).ln())).abs() < 1e-6);
    }

    #[test]
    fn logits_of_any_size_leave_predictions_finite() {
        // Both are sure of the first class; or each of another: KL(m || p) is then large, half of each distance.
        for (one, other, reversed, js) in [
            ([1e4f32, -1e4], [1e4, -1e4], 0., 0.),
            ([1e30, 0.], [1e30, 0.], 0., 0.),
            ([200., 0.], [0., 200.], 100. - 2f64.ln(), 2f64.ln()),
        ] {
            let unimodal = tensors([[one; 2], [other; 2]]);
            for (align, wanted) in [(Align::Reversed, reversed), (Align::Js, js)] {
                let found = number(&align.predictions(&unimodal).unwrap()).unwrap();
                assert!((found - wanted).abs() < 1e-4, "{one:?} {other:?} {align:?}: {found}");
            }
        }
    }

    #[test]
    fn contrast_by_hand() {
        // Cosines of a's samples (rows) with b's (columns): 1, 0 and 0.6, 0.8.
        let features = tensors([[[2., 0.], [3., 4.]], [[5., 0.], [0., 1.]]]);
        let (s, t) = ([[1., 0.], [0.6, 0.8f64]], 0.5);
        let one = |own: f64, other: f64| -(own / t) + ((own / t).exp() + (other / t).exp()).ln();
        let rows = (one(s[0][0], s[0][1]) + one(s[1][1], s[1][0])) / 2.;
        let columns = (one(s[0][0], s[1][0]) + one(s[1][1], s[0][1])) / 2.;
        assert!((number(&contrast(&features, t).unwrap()).unwrap() - (rows + columns) / 2.).abs() < 1e-6);
    }
}
