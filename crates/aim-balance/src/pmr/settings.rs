//! The settings of PMR and its card.

use aim_core::{NetSpec, Result};
use serde::{Deserialize, Serialize};

use super::Prototypical;
use crate::card::{About, Needs, Setting, Settings, within};
use crate::stack::Built;

/// Card of [`Pmr`].
pub static ABOUT: About = About {
    name: "pmr",
    title: "PMR",
    idea: "the modality that is behind also learns from distances to class prototypes",
    paper: "Fan et al., CVPR 2023 (arXiv 2211.07089)",
    cost: "step: 1 forward and 1 backward pass; distances to C prototypes a modality; epoch: each encoder over `share` \
    of the training split",
    departs: &[
        "The size of the coefficients is the paper's; the released code has 0 or 1 (`coefficient: binary`).",
        "The entropy term is off by default, as it is absent from the released script; the paper has it, with 0.01 or 0.001, in its \
        first `entropy_epochs`, whose number it does not give.",
        "Prototypes come from samples of the training split drawn anew each epoch; the released code takes the first \
        batches, for some sets of the validation or test split.",
        "A class without samples keeps its prototype and distances have a floor, because the released code divides by \
        zero in both places.",
    ],
    settings: &[
        Setting::new("alpha", "1", "0 to 100", "weight of the prototype loss; 0 is joint", "paper"),
        Setting::new(
            "mu",
            "0",
            "0 to 100",
            "weight of the entropy of the one ahead",
            "released code, which has no such term",
        ),
        Setting::new("entropy_epochs", "all", "epochs", "first epochs in which the entropy counts", "ours"),
        Setting::new("coefficient", "paper", "paper | binary", "form of beta and gamma", "paper"),
        Setting::new("momentum", "0.2", "0 to 1", "share of the old prototypes", "released code"),
        Setting::new("share", "0.1", "above 0, to 1", "share of the training set for prototypes", "paper"),
        Setting::new("modulation_ends", "100", "an epoch", "last epoch with prototypes", "released code"),
    ],
    needs: Needs { at_most: Some(2), ..Needs::NONE },
};

/// Form of the coefficients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Coefficient {
    /// Clipped discrepancy.
    Paper,
    /// 0 or 1.
    Binary,
}

/// Settings of `pmr`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pmr {
    /// Weight of the prototype loss.
    pub alpha: f64,
    /// Weight of the entropy.
    pub mu: f64,
    /// First epochs in which the entropy counts; all by default.
    pub entropy_epochs: Option<usize>,
    /// Form of the coefficients.
    pub coefficient: Coefficient,
    /// Share of the old prototypes.
    pub momentum: f64,
    /// Share of the training set for prototypes.
    pub share: f64,
    /// Last epoch with prototypes.
    pub modulation_ends: usize,
}

impl Default for Pmr {
    fn default() -> Self {
        let (entropy_epochs, coefficient) = (None, Coefficient::Paper);
        Self { alpha: 1., mu: 0., entropy_epochs, coefficient, momentum: 0.2, share: 0.1, modulation_ends: 100 }
    }
}

impl Settings for Pmr {
    fn check(&self) -> Result<()> {
        within("alpha", self.alpha, 0., 100.)?;
        within("mu", self.mu, 0., 100.)?;
        within("momentum", self.momentum, 0., 1.)?;
        within("share", self.share, f64::MIN_POSITIVE, 1.)
    }
    fn build(self, _: &NetSpec) -> Result<Built> {
        Ok(Built::objective(Prototypical { settings: self, prototypes: Vec::new() }))
    }
}

impl Pmr {
    /// Whether training is joint in an epoch.
    pub(super) fn rests(&self, epoch: usize) -> bool {
        epoch > self.modulation_ends
    }
}
