//! The settings of QMF and its card.

use aim_core::{NetSpec, Result};
use serde::{Deserialize, Serialize};

use super::{ByConfidence, Ranked};
use crate::card::{About, Needs, Setting, Settings, within};
use crate::stack::Built;

/// Card of [`Qmf`].
pub static ABOUT: About = About {
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
    settings: &[
        Setting::new("lambda", "0.1", "0 to 100", "weight of the ranking loss", "third party (MLA repository)"),
        Setting::new(
            "fused_loss",
            "true",
            "true | false",
            "train the fused logits too",
            "third party (MLA repository); released text paths: false",
        ),
    ],
    needs: Needs { unimodal: true, disjoint_heads: true, ..Needs::NONE },
};

/// Settings of `qmf`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Qmf {
    /// Weight of the ranking loss.
    pub lambda: f64,
    /// Whether the fused logits have a loss.
    pub fused_loss: bool,
}

impl Default for Qmf {
    fn default() -> Self {
        Self { lambda: 0.1, fused_loss: true }
    }
}

impl Settings for Qmf {
    fn check(&self) -> Result<()> {
        within("lambda", self.lambda, 0., 100.)
    }
    fn build(self, net: &NetSpec) -> Result<Built> {
        let history = vec![Vec::new(); net.modalities.len()];
        let ranked = Ranked { settings: self, names: net.modalities.clone(), history };
        Ok(Built::fuse(ByConfidence).with_objective(ranked))
    }
}
