//! MBSD: each sample's modalities are drawn together, the more so the more they disagree about its label.
//!
//! ```text
//! p_m = probability of the true class from modality m alone
//! for each pair (a, b):  w  = |p_a - p_b| where a or b predicts the label, else 0
//!                        RS = mean of w |x_a - x_b|^2 / classes     x: logits of two modalities, probabilities of more
//!                        KL = mean of w p_low (ln p_low - p_high)   the lower and the higher of p_a and p_b
//! L = CE(fused) + sum of CE(m) + rs (mean of RS over pairs) + kl (mean of KL over pairs)
//! ```
//! The only source is a third party's trainer (BalanceBenchmark), with weights of 1; `rs: 0, kl: 0` is joint-unimodal.

use aim_config::{between, settings};
use aim_core::{Idle, Loss, NetSpec, Objective, Report, Result, Seen, Stateless};
use candle_core::{D, Tensor};

use crate::{
    Built, MethodInfo, MethodSettings, Provenance, Requirements, Unimodal,
    joint::FusedAndUnimodal,
    util::{true_probability, weighted_mean},
};

/// Card of [`Mbsd`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "mbsd",
    title: "MBSD",
    idea: "draw together what the modalities say of a sample, by how much they disagree about its label",
    paper: "third party's form (BalanceBenchmark); the paper was not available",
    cost: "1 forward and backward; the unimodal heads",
    departs: &[
        "The weight of a sample carries no gradient; in the third party's trainer it does, so that a loss also falls \
        when a right modality becomes wrong.",
        "KL keeps the third party's form, which takes the logarithm of one argument only and is no divergence of \
        distributions; no other source gives one.",
        "The third party defines two and three modalities; more follow the form for three.",
    ],
    requires: Requirements { unimodal: Unimodal::Trained, ..Requirements::NONE },
    provenance: Provenance::Faithful,
    reports: &[],
    revision: 1,
};

settings! {
    /// Settings of `mbsd`.
    pub struct Mbsd {
        /// Weight of the squared distance.
        pub rs: f64 = 1. => between(0., 100.), "third party (BalanceBenchmark)";
        /// Weight of the divergence.
        pub kl: f64 = 1. => between(0., 100.), "third party (BalanceBenchmark)";
    }
}

impl MethodSettings for Mbsd {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn build(&self, _: &NetSpec) -> Result<Built> {
        Ok(Built::objective(self.clone()))
    }
}

impl Stateless for Mbsd {}
impl Idle for Mbsd {}

impl Objective for Mbsd {
    fn losses(&mut self, seen: &Seen<'_>, report: &mut Report) -> Result<Vec<Loss>> {
        let mut losses = FusedAndUnimodal { weight: 1. }.losses(seen, report)?;
        if let [rs, kl] = &disagreement(&seen.out.unimodal, &seen.batch.labels)?[..] {
            losses.push(Loss::new("loss.rs", rs.clone()).times(self.rs));
            losses.push(Loss::new("loss.kl", kl.clone()).times(self.kl));
        }
        Ok(losses)
    }
}

/// RS and KL, means over the pairs of modalities; nothing where there is no pair.
fn disagreement(unimodal: &[Tensor], labels: &Tensor) -> Result<Vec<Tensor>> {
    let p = unimodal.iter().map(|x| true_probability(x, labels)).collect::<Result<Vec<_>>>()?;
    let right = |x: &Tensor| x.argmax(D::Minus1)?.eq(labels);
    let right = unimodal.iter().map(right).collect::<candle_core::Result<Vec<_>>>()?;
    let compared = match unimodal.len() {
        2 => unimodal.to_vec(),
        _ => unimodal.iter().map(aim_ops::softmax).collect::<candle_core::Result<_>>()?,
    };
    let (mut rs, mut kl) = (vec![], vec![]);
    for b in 1..unimodal.len() {
        for a in 0..b {
            let counts = right[a].maximum(&right[b])?.to_dtype(p[a].dtype())?;
            let weights = ((&p[a] - &p[b])?.abs()? * counts)?;
            let (low, high) = (p[a].minimum(&p[b])?, p[a].maximum(&p[b])?);
            let distance = (&compared[a] - &compared[b])?.sqr()?.mean(D::Minus1)?;
            rs.push(weighted_mean(&distance, &weights)?);
            kl.push(weighted_mean(&(&low * ((&low + 1e-12)?.log()? - high)?)?, &weights)?);
        }
    }
    let mean = |terms: Vec<Tensor>| Tensor::stack(&terms, 0)?.mean(0);
    if rs.is_empty() { Ok(vec![]) } else { Ok(vec![mean(rs)?, mean(kl)?]) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::number;
    use candle_core::Device;

    /// Logits of one sample of two classes whose first has probability p.
    fn logits(p: f64) -> Tensor {
        Tensor::new(&[[(p / (1. - p)).ln() as f32, 0.]], &Device::Cpu).unwrap()
    }

    fn terms(p: &[f64], label: u32) -> Vec<f64> {
        let unimodal: Vec<Tensor> = p.iter().map(|p| logits(*p)).collect();
        let labels = Tensor::new(&[label], &Device::Cpu).unwrap();
        disagreement(&unimodal, &labels).unwrap().iter().map(|t| number(t).unwrap()).collect()
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-5
    }

    #[test]
    fn two_modalities_by_hand() {
        // Logits (ln 4, 0) and (-ln 4, 0); w = 0.8 - 0.2.
        let found = terms(&[0.8, 0.2], 0);
        assert!(close(found[0], 0.6 * (2. * 4f64.ln()).powi(2) / 2.));
        assert!(close(found[1], 0.6 * 0.2 * (0.2f64.ln() - 0.8)));
        // Neither predicts class 1.
        assert_eq!(terms(&[0.8, 0.6], 1), [0., 0.]);
    }

    #[test]
    fn three_modalities_by_hand() {
        // Distances of probabilities: 2 * 0.3^2 / 2 for the pair (0.9, 0.6), and so on; w are the differences.
        let found = terms(&[0.9, 0.6, 0.6], 0);
        assert!(close(found[0], (0.3 * 0.09 + 0.3 * 0.09 + 0.) / 3.));
        assert!(close(found[1], 2. * 0.3 * 0.6 * (0.6f64.ln() - 0.9) / 3.));
    }
}
