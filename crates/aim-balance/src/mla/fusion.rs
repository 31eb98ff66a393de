//! How the logits of all modalities become one answer.

use aim_core::Result;
use candle_core::{D, DType, Tensor};

use crate::util::{log_weights, shares};

/// What the weights of modalities follow.
pub(super) enum Weighting {
    /// Each sample's entropies.
    Entropy,
    /// One entropy a modality, of a softmax over the batch, as released.
    BatchEntropy,
    /// Nothing: they are these, in proportion.
    Fixed(Vec<f64>),
}

impl Weighting {
    /// Weights of the modalities `[B, M]`, of sum 1; 0 for a missing modality.
    pub fn weights(&self, unimodal: &[Tensor], present: Option<&Tensor>) -> Result<Tensor> {
        let score = match self {
            Self::Entropy => certainties(unimodal)?,
            Self::BatchEntropy => over_batch(unimodal, present)?,
            Self::Fixed(weights) => log_weights(weights, unimodal[0].device())?,
        };
        shares(&score, unimodal[0].dim(0)?, present)
    }
}

/// Minus the entropy of each sample's predictions, `[B, M]`.
fn certainties(unimodal: &[Tensor]) -> Result<Tensor> {
    let certainty = |logits: &Tensor| {
        let log_p = aim_ops::log_softmax(&logits.detach())?;
        (log_p.exp()? * log_p)?.sum(D::Minus1)
    };
    Ok(Tensor::stack(&unimodal.iter().map(certainty).collect::<candle_core::Result<Vec<_>>>()?, 1)?)
}

/// The same of the softmax over the batch, summed over samples and classes, `[1, M]`. A sample without the modality has
/// no part in it.
fn over_batch(unimodal: &[Tensor], present: Option<&Tensor>) -> Result<Tensor> {
    let certainty = |(m, logits): (usize, &Tensor)| -> Result<Tensor> {
        let mut columns = logits.detach().t()?.contiguous()?;
        if let Some(present) = present {
            let absent = (present.narrow(1, m, 1)?.to_dtype(DType::F32)?.t()? - 1.)?;
            columns = columns.broadcast_add(&(absent * 1e9)?)?;
        }
        let log_p = aim_ops::log_softmax(&columns)?;
        Ok((log_p.exp()? * log_p)?.sum_all()?)
    };
    let certainties = unimodal.iter().enumerate().map(certainty).collect::<Result<Vec<_>>>()?;
    Ok(Tensor::stack(&certainties, 0)?.unsqueeze(0)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn logits() -> [Tensor; 2] {
        // Rows are samples; the second modality has columns ln 3, 0 and 0, 0.
        [[[0f32, 0.], [0., 0.]], [[3f32.ln(), 0.], [0., 0.]]].map(|x| Tensor::new(&x, &Device::Cpu).unwrap())
    }

    fn close(weighting: &Weighting, present: Option<&Tensor>, want: [f64; 4]) {
        let found = weighting.weights(&logits(), present).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(found.iter().zip(want).all(|(a, b)| (f64::from(*a) - b).abs() < 1e-6), "{found:?}, not {want:?}");
    }

    /// `1 / (1 + exp(d))`.
    fn share(d: f64) -> f64 {
        1. / (1. + d.exp())
    }

    #[test]
    fn entropies_of_samples_and_of_the_batch_by_hand() {
        let (bit, less) = (2f64.ln(), -(0.75 * 0.75f64.ln() + 0.25 * 0.25f64.ln()));
        // First sample: entropies ln 2 and that of (3/4, 1/4); second: ln 2 both.
        close(&Weighting::Entropy, None, [share(bit - less), share(less - bit), 0.5, 0.5]);
        // Over the batch the columns are (1/2, 1/2) twice, and (3/4, 1/4) and (1/2, 1/2): 2 ln 2 and less + ln 2, so
        // that both samples have the same weights.
        let batch = [share(bit - less), share(less - bit)];
        close(&Weighting::BatchEntropy, None, [batch[0], batch[1], batch[0], batch[1]]);
    }

    #[test]
    fn fixed_weights_and_missing_modalities_by_hand() {
        let fixed = Weighting::Fixed(vec![0.55, 0.45]);
        close(&fixed, None, [0.55, 0.45, 0.55, 0.45]);
        close(&Weighting::Fixed(vec![3., 1.]), None, [0.75, 0.25, 0.75, 0.25]);
        // The second sample lacks the second modality, of whose columns (ln 3) and (0) alone are left: entropy 0 to 2
        // ln 2.
        let present = Tensor::new(&[[1f32, 1.], [1., 0.]], &Device::Cpu).unwrap();
        close(&fixed, Some(&present), [0.55, 0.45, 1., 0.]);
        let first = share(2. * 2f64.ln());
        close(&Weighting::BatchEntropy, Some(&present), [first, 1. - first, 1., 0.]);
    }
}
