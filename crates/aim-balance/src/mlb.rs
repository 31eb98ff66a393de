//! MLB: Multi-Loss Balanced training (Kontras et al., BMVC 2024, arXiv 2405.07930).
//!
//! ```text
//! L = CE(fused) + sum of CE(m);   S_m = mean true-class probability of modality m's own head
//! r_m = mean of the others' S / S_m                        (weak > 1)
//! k_m = 1 + tanh(alpha (r_m - 1))                          r_m <= 1: slow down
//!       1 + (beta - 1) tanh(alpha (r_m - 1))               r_m > 1: speed up, to at most beta
//! every gradient of encoder m and of its own head's weight times k_m
//! ```
//! The bias of a modality's own head and the fused head keep their gradients, as in the official code. Defaults: alpha
//! 1 and beta 2, the range of the paper's plain form; alpha 0 is `joint-unimodal`.

use aim_config::{between, settings};
use aim_core::{GradOp, Grads, Idle, NetSpec, Part, Report, Result, Role, Seen, Stateless};

use crate::{
    Built, MethodInfo, MethodSettings, Provenance, Quantity, Requirements, joint::FusedAndUnimodal,
    util::mean_true_probability,
};

/// Card of [`Mlb`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "mlb",
    title: "MLB",
    idea: "unimodal losses; slow down encoders that are ahead and speed up those behind",
    paper: "Kontras et al., BMVC 2024 (arXiv 2405.07930)",
    cost: "1 forward pass, 1 backward pass through the sum of M + 1 losses; one product an encoder weight",
    departs: &[
        "With more than two modalities the ratio is the mean of the others' scores over the own, which is the released \
        form for three.",
    ],
    requires: Requirements::UNI_HEADS,
    provenance: Provenance::Faithful,
    reports: &[
        Quantity::modality("score", "", "mean probability of the true class"),
        Quantity::modality("ratio", "", "mean of the others' scores over its own"),
        Quantity::modality("coef", "", "factor on the encoder's gradients"),
    ],
    revision: 1,
};

settings! {
    /// Settings of `mlb`.
    pub struct Mlb {
        /// Strength; 0 is joint-unimodal.
        pub alpha: f64 = 1. => between(0., 100.), "ours";
        /// Largest factor.
        pub beta: f64 = 2. => between(1., 100.), "released code: the bound of its plain form";
    }
}

impl MethodSettings for Mlb {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn build(&self, _: &NetSpec) -> Result<Built> {
        Ok(Built::op(self.clone()).with_objective(FusedAndUnimodal { weight: 1. }))
    }
}

impl Stateless for Mlb {}
impl Idle for Mlb {}

impl Mlb {
    fn coefficient(&self, ratio: f64) -> f64 {
        let gain = if ratio > 1. { self.beta - 1. } else { 1. };
        1. + gain * (self.alpha * (ratio - 1.)).tanh()
    }
}

/// The modality whose coefficient scales a parameter.
fn owner(role: Role) -> Option<usize> {
    match role.part {
        Part::UniHead { modality } if role.is_weight() => Some(modality),
        _ => role.encoder(),
    }
}

impl GradOp for Mlb {
    fn apply(&mut self, grads: &mut Grads, seen: &Seen<'_>, report: &mut Report) -> Result<()> {
        let score = |logits| mean_true_probability(logits, &seen.batch.labels);
        let scores = seen.out.unimodal.iter().map(score).collect::<Result<Vec<_>>>()?;
        let total: f64 = scores.iter().sum();
        let others = (scores.len() - 1) as f64;
        let ratios: Vec<f64> = scores.iter().map(|s| (total - s) / others / s.max(1e-30)).collect();
        let coefficients: Vec<f64> = ratios.iter().map(|r| self.coefficient(*r)).collect();
        for (m, name) in seen.net.spec().modalities.iter().enumerate() {
            report.scalar(format!("score.{name}"), scores[m])?;
            report.scalar(format!("ratio.{name}"), ratios[m])?;
            report.scalar(format!("coef.{name}"), coefficients[m])?;
        }
        grads.map(seen.net.params(), |_, role, grad| match owner(role) {
            Some(m) if coefficients[m] != 1. => Ok(Some((grad * coefficients[m])?)),
            _ => Ok(None),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coefficients_by_hand() {
        let mlb = Mlb { alpha: 1., beta: 3. };
        assert_eq!(mlb.coefficient(1.), 1.);
        assert!((mlb.coefficient(0.5) - (1. + (-0.5f64).tanh())).abs() < 1e-15);
        assert!((mlb.coefficient(1.5) - (1. + 2. * 0.5f64.tanh())).abs() < 1e-15);
    }
}
