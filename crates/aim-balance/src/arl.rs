//! ARL: Asymmetric Representation Learning (ICCV 2025, arXiv 2507.10203): encoders learn faster the less their
//! modality's predictions vary and the more the network depends on the others.
//!
//! ```text
//! H_m = mean entropy of modality m's prediction, as a share of their sum, at least 0.6 / M; v_m = (1/H_m) / sum of 1/H
//! q_m = mean over the batch of the sum over classes of |logit_m|, as a share of their sum
//! w   = softmax over m of T v_m (1 - q_m) / (M - 1)
//! every gradient of encoder m times 1 + w_m;   L = CE(fused) + gamma sum of CE(m)
//! ```
//! In the first `warmup` epochs nothing is scaled and gamma is 1. Unimodal logits are the fused head's own, so that the
//! method adds no parameter. Entropy stands for the paper's variance, as in the released code, which computes w and
//! never uses it: `weights: constant` is what it does, 1 + 1/M. gamma 4, T 8 and the warm-up are those of its CREMA-D
//! run.

use aim_config::{at_least, between, by_type, choice, settings};
use aim_core::{GradOp, Grads, Idle, Loss, NetSpec, Objective, Report, Result, Seen, Stateless};
use candle_core::{D, Tensor};

use crate::{
    Built, MethodInfo, MethodSettings, Provenance, Quantity, Requirements, Unimodal, joint::FusedAndUnimodal,
    util::number,
};

/// Card of [`Arl`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "arl",
    title: "ARL",
    idea: "let encoders learn in inverse proportion to how much their modality's predictions vary",
    paper: "ICCV 2025 (arXiv 2507.10203); formulas of the released code",
    cost: "1 forward and backward; the unimodal losses",
    departs: &[
        "w scales the encoders; the released code computes it and then scales by a constant, which is `weights: \
        constant`.",
        "Gradients are not clipped to norm 40 as in the released script; that belongs to the optimizer.",
        "The share of the other modalities and the least share of entropy for M > 2 are ours: the code has two.",
    ],
    requires: Requirements { unimodal: Unimodal::Trained, ..Requirements::NONE },
    provenance: Provenance::Faithful,
    reports: &[Quantity::modality("coef", "", "factor on the encoder's gradients")],
    revision: 1,
};

choice! {
    /// Scale of the encoders.
    pub enum Weights {
        /// Shares by entropy and dependence.
        Variance = "variance",
        /// Equal shares.
        Constant = "constant",
    }
}

settings! {
    /// Settings of `arl`.
    pub struct Arl {
        /// Weight of the unimodal losses after the warm-up.
        pub gamma: f64 = 4. => between(0., 100.), "released code";
        /// Sharpness of the weights.
        pub temperature as "T": f64 = 8. => between(0., 1000.), "released code";
        /// Epochs of joint training with unimodal losses before.
        pub warmup: usize = 6 => at_least(0).unit("epochs"), "released code";
        /// Scale of the encoders: w | the released 1/M.
        pub weights: Weights = Weights::Variance => by_type(), "paper";
    }
}

impl MethodSettings for Arl {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn build(&self, _: &NetSpec) -> Result<Built> {
        Ok(Built::op(self.clone()).with_objective(self.clone()))
    }
}

impl Stateless for Arl {}
impl Idle for Arl {}

impl Objective for Arl {
    fn losses(&mut self, seen: &Seen<'_>, report: &mut Report) -> Result<Vec<Loss>> {
        let weight = if seen.clock.epoch < self.warmup { 1. } else { self.gamma };
        FusedAndUnimodal { weight }.losses(seen, report)
    }
}

impl GradOp for Arl {
    fn apply(&mut self, grads: &mut Grads, seen: &Seen<'_>, report: &mut Report) -> Result<()> {
        if seen.clock.epoch < self.warmup {
            return Ok(());
        }
        let of = |f: fn(&Tensor) -> Result<f64>| seen.out.unimodal.iter().map(f).collect::<Result<Vec<_>>>();
        let w = match self.weights {
            Weights::Variance => weights(&of(entropy)?, &of(size)?, self.temperature),
            Weights::Constant => vec![1. / seen.net.modalities() as f64; seen.net.modalities()],
        };
        for (name, w) in seen.net.spec().modalities.iter().zip(&w) {
            report.scalar(format!("coef.{name}"), 1. + w)?;
        }
        grads.map(seen.net.params(), |_, role, grad| Ok(role.encoder().map(|m| grad * (1. + w[m])).transpose()?))
    }
}

/// Mean over the batch of a prediction's entropy.
fn entropy(logits: &Tensor) -> Result<f64> {
    let log_p = aim_ops::log_softmax(&logits.detach())?;
    Ok(-number(&(log_p.exp()? * log_p)?.sum(D::Minus1)?.mean_all()?)?)
}

/// Mean over the batch of the sum of absolute logits.
fn size(logits: &Tensor) -> Result<f64> {
    number(&logits.detach().abs()?.sum(D::Minus1)?.mean_all()?)
}

/// Each as a share of their sum; equal shares of nothing.
fn shares(values: &[f64]) -> Vec<f64> {
    let total: f64 = values.iter().sum();
    values.iter().map(|v| if total > 0. { v / total } else { 1. / values.len() as f64 }).collect()
}

fn weights(entropies: &[f64], sizes: &[f64], temperature: f64) -> Vec<f64> {
    let m = entropies.len() as f64;
    let inverse: Vec<f64> = shares(entropies).iter().map(|h| 1. / h.max(0.6 / m)).collect();
    let others = shares(sizes).into_iter().map(|q| (1. - q) / (m - 1.).max(1.));
    let raised: Vec<f64> = shares(&inverse).iter().zip(others).map(|(v, q)| (temperature * v * q).exp()).collect();
    shares(&raised)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_of_two_by_hand() {
        // Entropy shares 0.25 (raised to 0.3) and 0.75: v = (1/0.3, 1/0.75) / their sum = (5/7, 2/7); sizes 3 : 1.
        let found = weights(&[0.5, 1.5], &[3., 1.], 8.);
        let (a, b) = ((8. * 5. / 7. * 0.25f64).exp(), (8. * 2. / 7. * 0.75f64).exp());
        assert!((found[0] - a / (a + b)).abs() < 1e-12 && (found.iter().sum::<f64>() - 1.).abs() < 1e-12);
    }

    #[test]
    fn weights_of_three_are_equal_where_nothing_differs_or_counts() {
        let equal = |w: Vec<f64>| w.iter().all(|w| (w - 1. / 3.).abs() < 1e-12);
        assert!(equal(weights(&[1., 1., 1.], &[2., 2., 2.], 8.)));
        assert!(equal(weights(&[1., 2., 3.], &[1., 5., 2.], 0.)));
        assert!(equal(weights(&[0., 0., 0.], &[0., 0., 0.], 8.)));
    }
}
