//! The settings of M-SAM and its card.

use aim_config::{at_least, between, by_type, choice, settings};
use aim_core::{Error, NetSpec, Result};

use super::Aware;
use crate::{Built, MethodInfo, MethodSettings, Provenance, Quantity, Requirements};

/// Card of [`MSam`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "msam",
    title: "M-SAM",
    idea: "SAM for the dominant modality's share of the loss, the plain gradient for the rest",
    paper: "Nowdeh et al., NeurIPS 2025 (arXiv 2510.24919); value function and rho ours",
    cost: "2 forward and 3 backward passes; 2^M passes of the fusion without gradient",
    departs: &[
        "The value function (probability of the true class, absent features at zero), its clamping and rho are ours, \
        because only digests of the paper were readable.",
        "The perturbation has the gradient's direction, as SAM's has; one digest prints the gradient's sign \
        (`perturbation: sign`).",
        "Accuracy as the value (`value: accuracy`) is what the abstract speaks of; on one batch it is coarse and often \
        leaves modalities equal.",
        "`per_sample` and `dominant_encoder` are ours: literally taken, the method mixes SAM and the plain gradient \
        whichever modality is dominant. The dominant one is that of the whole batch in either.",
    ],
    requires: Requirements::SEPARATE,
    provenance: Provenance::Reconstruction,
    reports: &[
        Quantity::step("perturbed_norm", "", "norm of the gradient that is followed to the neighbour"),
        Quantity::step("dominant", "", "index of the dominant modality"),
        Quantity::modality("share", "", "share of its Shapley value: of the batch, or of each sample"),
        Quantity::part("value", "", "value of each set of modalities: of the batch, or of each sample"),
    ],
    revision: 1,
};

choice! {
    /// Shares that enter.
    pub enum Variant {
        /// Shares of the batch.
        Literal = "literal",
        /// Shares of each sample.
        PerSample = "per_sample",
        /// Shares of the batch; only the dominant encoder is perturbed.
        DominantEncoder = "dominant_encoder",
    }
}

choice! {
    /// Neighbour that is ascended to.
    pub enum Perturbation {
        /// Along the gradient.
        L2 = "l2",
        /// Along the signs of the gradient.
        Sign = "sign",
    }
}

choice! {
    /// Value of a set of modalities.
    pub enum Value {
        /// Probability of the true class.
        Probability = "probability",
        /// 1 for a right prediction, else 0.
        Accuracy = "accuracy",
    }
}

settings! {
    /// Settings of `msam`.
    pub struct MSam {
        /// Radius; 0 is joint training.
        pub rho: f64 = 0.05 => between(0., 100.), "ours";
        /// Shares that enter: those of the batch | of each sample | of the batch, perturbing the dominant encoder
        /// alone.
        pub variant: Variant = Variant::Literal => by_type(), "third party (digests of the paper)";
        /// Perturbation: the gradient at length rho | rho times its signs.
        pub perturbation: Perturbation = Perturbation::L2 => by_type(), "third party (digests)";
        /// Value of a set of modalities: mean probability of the true class | share of right predictions.
        pub value: Value = Value::Probability => by_type(), "ours";
        /// Steps between two measurements of the shares.
        pub every: usize = 1 => at_least(1), "third party (digests)";
        /// Value of no modality.
        pub empty_value: Option<f64> = None => between(0., 1.).shown("1 / classes"), "ours";
    }
}

impl MethodSettings for MSam {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn check(&self) -> Result<()> {
        if self.variant == Variant::PerSample && self.every > 1 {
            let problem = format!("is {}, but shares of samples hold for one batch", self.every);
            return Err(Error::invalid("method.every", problem, "use 1, or another variant"));
        }
        Ok(())
    }
    fn build(&self, _: &NetSpec) -> Result<Built> {
        Ok(Built::grads(Aware { settings: self.clone(), measured: None }))
    }
}
