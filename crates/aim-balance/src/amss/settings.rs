//! The settings of AMSS and its card.

use aim_config::{above, between, by_type, choice, settings};
use aim_core::{NetSpec, Result};

pub use super::draw::{Mode, Weights};
use crate::{Built, MethodInfo, MethodSettings, Provenance, Quantity, Requirements, Unimodal};

/// Card of [`Amss`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "amss",
    title: "AMSS",
    idea: "update only a sampled part of each encoder, the smaller the more its modality says",
    paper: "Yang et al., TPAMI 2025 (arXiv 2404.08347)",
    cost: "1 forward and 1 backward pass; squared gradients and a draw a layer, on the CPU",
    departs: &[
        "H(Y) is the entropy of the labels; the released code takes a cross-entropy of the frequencies with their own \
        softmax (`compat: true`, which also leaves the head unmasked and has the released weight in AMSS+).",
        "The head is masked too where its columns belong to one modality each, as in the released text-image and \
        three-modality scripts; the audio-visual script makes the mask and does not apply it (`mask_head: false`).",
        "AMSS+ divides by the chance of a unit to be drawn, in each `sample_mode`; the released weight is no such \
        inverse (`weights: amss+official`).",
        "Units whose share of the squared gradient is below what f32 tells from 0 are never drawn, because 1 over \
        their chance has no bound; the released code stops with an error where fewer than n units have a gradient.",
        "Output units of every linear layer are masked, so that MLPs and transformers work; the released text encoder \
        masks attention heads.",
        "The audio-visual form serves any number of modalities; the released three-modality script has other \
        constants.",
    ],
    requires: Requirements { unimodal: Unimodal::Read, ..Requirements::NONE },
    provenance: Provenance::Faithful,
    reports: &[
        Quantity::step("label_entropy", "nats", "entropy of the labels of the batch"),
        Quantity::modality("information", "nats", "entropy of the labels and the offset, less its loss"),
        Quantity::modality("feature_entropy", "nats", "mean entropy of the softmax of its feature"),
        Quantity::modality("rho", "", "share of its units that is updated"),
    ],
    revision: 1,
};

choice! {
    /// Measure by which units are drawn.
    pub enum Importance {
        /// The squared gradient.
        Gn = "gn",
        /// Its root.
        SqrtGn = "sqrt_gn",
        /// The squared gradient over the squared weight.
        GnWn = "gn_wn",
    }
}

settings! {
    /// Settings of `amss`.
    pub struct Amss {
        /// Sharpness of the shares.
        pub temperature: f64 = 0.2 => above(0.), "released code";
        /// Added to the information.
        pub offset: f64 = 0.5 => between(0., 100.), "released code";
        /// Weights of drawn units.
        pub weights: Weights = Weights::Plain => by_type(), "paper (AMSS)";
        /// Draw of units: n without replacement with chances p | the n largest | n alike | each by itself with chance
        /// p.
        pub sample_mode: Mode = Mode::Adaptive => by_type(), "released code (its runs)";
        /// Chances p, in proportion to the squared gradient | its root | the same over the squared weight.
        pub gn_mode: Importance = Importance::Gn => by_type(), "released code";
        /// As the released audio-visual code does it.
        pub compat: bool = false => by_type(), "ours; released (audio-visual): true";
        /// Also mask the head; with compat never.
        pub mask_head: bool = true => by_type(), "ours; released (audio-visual): false";
    }
}

impl MethodSettings for Amss {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn compat(&self) -> bool {
        self.compat
    }
    fn build(&self, _: &NetSpec) -> Result<Built> {
        let plus = if self.weights == Weights::Plus { Weights::Official } else { self.weights };
        let released = Self { weights: plus, mask_head: false, ..self.clone() };
        Ok(Built::op(if self.compat { released } else { self.clone() }))
    }
}
