//! The settings of QMF and its card.

use aim_config::{between, by_type, settings};
use aim_core::{NetSpec, Result, capability};

use super::{ByConfidence, Ranked};
use crate::{Built, MethodInfo, MethodSettings, Provenance, Quantity, Requirements, Unimodal};

/// Card of [`Qmf`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "qmf",
    title: "QMF",
    idea: "fuse by confidence, and make confidence follow how well a sample has been learnt",
    paper: "Zhang et al., ICML 2023 (arXiv 2306.02050)",
    cost: "1 forward and 1 backward pass; one number a sample and modality in memory",
    departs: &[
        "Confidence carries no gradient into the fusion, as in the text-image and MLA code; the released RGB-D trainer \
        lets it through.",
        "The history grows after the ranking loss, as in the RGB-D trainer; the text-image and MLA code do it before.",
        "The fused loss and lambda 0.1 are those of the MLA repository's audio-visual path; the text paths have no \
        fused loss (`fused_loss: false`) and rank weight 1.",
    ],
    requires: Requirements {
        unimodal: Unimodal::Trained,
        capabilities: &[capability::DISJOINT_HEADS],
        ..Requirements::NONE
    },
    provenance: Provenance::Faithful,
    reports: &[
        Quantity::modality("confidence", "", "logsumexp of its logits over 10, of each sample"),
        Quantity::modality("history", "nats", "sum of its losses so far, of each training sample"),
    ],
    revision: 1,
};

settings! {
    /// Settings of `qmf`.
    pub struct Qmf {
        /// Weight of the ranking loss.
        pub lambda: f64 = 0.1 => between(0., 100.), "third party (MLA repository)";
        /// Whether the fused logits have a loss too.
        pub fused_loss: bool = true => by_type(), "third party (MLA repository); released text paths: false";
    }
}

impl MethodSettings for Qmf {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn build(&self, net: &NetSpec) -> Result<Built> {
        let history = vec![Vec::new(); net.modalities.len()];
        let ranked = Ranked { settings: self.clone(), names: net.modalities.clone(), history };
        Ok(Built::fuse(ByConfidence).with_objective(ranked))
    }
}
