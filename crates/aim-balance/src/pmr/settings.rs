//! The settings of PMR and its card.

use aim_config::{above_to, at_least, between, by_type, choice, settings};
use aim_core::{NetSpec, Result};

use super::Prototypical;
use crate::{Built, MethodInfo, MethodSettings, Provenance, Quantity, Requirements};

/// Card of [`Pmr`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "pmr",
    title: "PMR",
    idea: "the modality that is behind also learns from distances to class prototypes",
    paper: "Fan et al., CVPR 2023 (arXiv 2211.07089)",
    cost: "step: 1 forward and 1 backward pass; distances to C prototypes a modality; epoch: each encoder over `share` \
    of the training split",
    departs: &[
        "The size of the coefficients is the paper's; the released code has 0 or 1 (`coefficient: binary`).",
        "The entropy term is off by default, as it is absent from the released script; the paper has it, with 0.01 or \
        0.001, in its first `entropy_epochs`, whose number it does not give.",
        "Prototypes come from samples of the training split drawn anew each epoch; the released code takes the first \
        batches, for some sets of the validation or test split.",
        "A class without samples keeps its prototype and distances have a floor, because the released code divides by \
        zero in both places.",
    ],
    requires: Requirements { modalities: (2, 2), ..Requirements::NONE },
    provenance: Provenance::Faithful,
    reports: &[
        Quantity::step("rho", "", "ratio of the first modality's score to the second's, by distances to prototypes"),
        Quantity::step("beta", "", "weight of the first modality's prototype loss"),
        Quantity::step("gamma", "", "weight of the second modality's prototype loss"),
        Quantity::modality("entropy", "nats", "entropy of its prediction by prototypes"),
    ],
    revision: 1,
};

choice! {
    /// Form of the coefficients.
    pub enum Coefficient {
        /// Clipped discrepancy.
        Paper = "paper",
        /// 0 or 1.
        Binary = "binary",
    }
}

settings! {
    /// Settings of `pmr`.
    pub struct Pmr {
        /// Weight of the prototype loss; 0 is joint.
        pub alpha: f64 = 1. => between(0., 100.), "paper";
        /// Weight of the entropy of the one ahead.
        pub mu: f64 = 0. => between(0., 100.), "released code, which has no such term";
        /// First epochs in which the entropy counts.
        pub entropy_epochs: Option<usize> = None => at_least(0).unit("epochs").shown("all"), "ours";
        /// Form of the coefficients beta and gamma: clipped discrepancy | 0 or 1.
        pub coefficient: Coefficient = Coefficient::Paper => by_type(), "paper";
        /// Share of the old prototypes.
        pub momentum: f64 = 0.2 => between(0., 1.), "released code";
        /// Share of the training set for prototypes.
        pub share: f64 = 0.1 => above_to(0., 1.), "paper";
        /// Last epoch with prototypes.
        pub modulation_ends: usize = 100 => at_least(0), "released code";
    }
}

impl MethodSettings for Pmr {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn build(&self, _: &NetSpec) -> Result<Built> {
        Ok(Built::objective(Prototypical { settings: self.clone(), prototypes: Vec::new() }))
    }
}

impl Pmr {
    /// Whether training is joint in an epoch.
    pub(super) fn rests(&self, epoch: usize) -> bool {
        epoch > self.modulation_ends
    }
}
