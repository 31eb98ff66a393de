//! How much of each modality is updated.

use aim_core::{Report, Result, Seen};
use candle_core::{D, Tensor};

use super::Amss;
use crate::util::{log_loss, number};

impl Amss {
    /// Share of each modality's units that is updated.
    pub(super) fn shares(&self, seen: &Seen<'_>, report: &mut Report) -> Result<Vec<f64>> {
        let names = &seen.net.spec().modalities;
        let label_entropy = label_entropy(&seen.batch.labels, self.compat.then_some(seen.net.spec().classes))?;
        report.scalar("label_entropy", label_entropy)?;
        let (mut information, mut rates) = (vec![], vec![]);
        for (m, name) in names.iter().enumerate() {
            let own = label_entropy + self.offset - log_loss(&seen.out.unimodal[m], seen.batch)?;
            let entropy = feature_entropy(&seen.out.features[m].detach())?;
            report.scalar(format!("information.{name}"), own)?;
            report.scalar(format!("feature_entropy.{name}"), entropy)?;
            information.push(own);
            rates.push(own / entropy / self.temperature);
        }
        let largest = rates.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let total: f64 = rates.iter().map(|r| (r - largest).exp()).sum();
        let share = |rate: &f64| (1. - (rate - largest).exp() / total).clamp(0.1, 0.9);
        let rho: Vec<f64> = match information.iter().any(|i| *i <= 0.) || !largest.is_finite() {
            true => vec![0.5; names.len()],
            false => rates.iter().map(share).collect(),
        };
        names.iter().zip(&rho).try_for_each(|(name, rho)| report.scalar(format!("rho.{name}"), *rho))?;
        Ok(rho)
    }
}

/// Entropy of the frequencies of the labels, in nats; with the number of classes, the released code's cross-entropy of
/// the frequencies with their own softmax over all classes.
fn label_entropy(labels: &Tensor, released: Option<usize>) -> Result<f64> {
    let labels = labels.to_vec1::<u32>()?;
    if let Some(classes) = released {
        let mut p = vec![0.; classes];
        labels.iter().for_each(|y| p[*y as usize] += 1. / labels.len() as f64);
        let total = p.iter().map(|p| p.exp()).sum::<f64>().ln();
        return Ok(p.iter().map(|p| p * (total - p)).sum());
    }
    let frequency = |y: &u32| labels.iter().filter(|l| *l == y).count() as f64 / labels.len() as f64;
    Ok(-labels.iter().map(|y| frequency(y).ln()).sum::<f64>() / labels.len() as f64)
}

/// Mean over the batch of the entropy of `softmax(feature)`.
fn feature_entropy(features: &Tensor) -> Result<f64> {
    let log_p = aim_ops::log_softmax(features)?;
    Ok(-number(&(log_p.exp()? * log_p)?.sum(D::Minus1)?.mean_all()?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn label_entropy_is_that_of_frequencies() {
        let labels = Tensor::new(&[0u32, 1, 1, 1], &Device::Cpu).unwrap();
        let by_hand = -(0.25 * 0.25f64.ln() + 0.75 * 0.75f64.ln());
        assert!((label_entropy(&labels, None).unwrap() - by_hand).abs() < 1e-12);
        // Frequencies (1/4, 3/4, 0) as logits: - sum p log softmax(p) = ln(e^.25 + e^.75 + 1) - (1/16 + 9/16).
        let by_hand = (0.25f64.exp() + 0.75f64.exp() + 1.).ln() - 0.625;
        assert!((label_entropy(&labels, Some(3)).unwrap() - by_hand).abs() < 1e-12);
    }
}
