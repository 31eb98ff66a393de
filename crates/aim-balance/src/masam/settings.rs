//! The settings of MASAM and its card.

use aim_config::{between, by_type, choice, settings};
use aim_core::{NetSpec, Result};

use super::Sharp;
use crate::{Built, MethodInfo, MethodSettings, Provenance, Quantity, Requirements, requirements::separate_with};

/// Card of [`Masam`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "masam",
    title: "MASAM",
    idea: "SAM for the encoder that is dominant in each step, scaled by the agreement of its losses",
    paper: "ICLR 2026",
    cost: "M + 1 backward passes of which each goes through the fusion or one encoder and its head; one more forward \
    and backward pass of the dominant encoder, of all in the variant `code`",
    departs: &[
        "The paper's formulas are read from a third party's note, because its text was not readable.",
        "The variant `code` scales the move by the cosine of the last bias alone, a loop's variable left over in \
        released code.",
        "It takes any number of modalities here; the released run of three stops with an error.",
        "Where a gradient vanishes its cosine and its move are 0, because the released ratios are undefined there.",
    ],
    requires: Requirements::UNI_HEADS,
    provenance: Provenance::Faithful,
    reports: &[
        Quantity::modality("average", "", "moving average of its weighted loss"),
        Quantity::modality("decay", "", "its loss of the step before above that average"),
        Quantity::modality("cos", "", "cosine of its own and the fused loss's gradients in the encoder"),
        Quantity::modality("score", "", "score of dominance"),
        Quantity::step("selected", "", "index of the dominant modality"),
        Quantity::step("perturbation_norm", "", "length of the move of its encoder"),
    ],
    revision: 1,
};

choice! {
    /// Rule of perturbation.
    pub enum Variant {
        /// As the paper is reported to have it.
        Paper = "paper",
        /// As released.
        Code = "code",
    }
}

settings! {
    /// Settings of `masam`.
    pub struct Masam {
        /// Radius; 0 is joint-unimodal.
        pub rho: f64 = 0.3 => between(0., 100.), "released code (CREMA-D, KS)";
        /// Share of the decay in the score.
        pub alpha: f64 = 0.8 => between(0., 1.), "released code (CREMA-D)";
        /// Share of the old value in the moving average.
        pub beta: f64 = 0.91 => between(0., 1.), "released code (CREMA-D)";
        /// Weight of the unimodal losses.
        pub unimodal: f64 = 1. => between(0., 100.), "released code";
        /// Rule of perturbation: the paper's | the released one, fault included.
        pub variant: Variant = Variant::Paper => by_type(), "paper";
    }
}

impl MethodSettings for Masam {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn compat(&self) -> bool {
        self.variant == Variant::Code
    }
    fn build(&self, net: &NetSpec) -> Result<Built> {
        // The other encoders stand still while one is perturbed.
        if self.variant == Variant::Paper {
            separate_with("variant", &net.capabilities)?;
        }
        Ok(Built::grads(Sharp { settings: self.clone(), names: net.modalities.clone(), courses: vec![] }))
    }
}
