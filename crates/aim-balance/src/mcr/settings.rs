//! The settings of MCR and its card.

use aim_config::{above, at_least, between, by_type, choice, settings};
use aim_core::{NetSpec, Result};

use crate::{Built, MethodInfo, MethodSettings, Provenance, Quantity, Requirements};

/// Card of [`Mcr`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "mcr",
    title: "MCR",
    idea: "each encoder raises its own effect on the prediction and lowers the others'",
    paper: "Kontras et al., NeurIPS 2025 (arXiv 2411.07335)",
    cost: "1 forward and 1 backward pass of the encoders; the fusion with its gradient on (2^M - 2) n batches more",
    departs: &[
        "Features of the one training pass are permuted, as the paper says; released code runs the encoders once more \
        in evaluation.",
        "Each modality has permutations of its own, and fixed points stay in; released code shares them between two.",
        "The contrast is the released one, over all features with labels as classes; the paper prints one between \
        modalities without temperature.",
        "With three modalities the sets and their signs are the released code's, because the paper's appendix was not \
        readable; more modalities are the same sum.",
        "The bottleneck is left out, because it needs a network of its own and is off in the released ResNet recipes.",
        "The released class for two modalities computes the game and the contrast and trains without them; here they \
        train.",
    ],
    requires: Requirements::UNI_HEADS,
    provenance: Provenance::Faithful,
    reports: &[Quantity::part("mipd", "", "divergence of predictions when the features of a set are permuted")],
    revision: 1,
};

choice! {
    /// What a player does to the others' effects.
    pub enum Game {
        /// It lowers them.
        Greedy = "greedy",
        /// It leaves them alone.
        Independent = "independent",
        /// It raises them.
        Collaborative = "collaborative",
    }
}

choice! {
    /// Predictions that a divergence is differentiated through.
    pub enum Gradient {
        /// Both.
        Full = "full",
        /// The permuted one.
        Perturbed = "perturbed",
    }
}

settings! {
    /// Settings of `mcr`.
    pub struct Mcr {
        /// Weight of the game.
        pub mipd: f64 = 0.1 => between(0., 100.), "released code (CREMA-D)";
        /// Weight of the unimodal losses.
        pub unimodal: f64 = 0.01 => between(0., 100.), "released code (CREMA-D, ResNet)";
        /// Weight of the contrast.
        pub contrast: f64 = 1. => between(0., 100.), "released code";
        /// Temperature of the contrast.
        pub temperature: f64 = 0.5 => above(0.), "released code";
        /// What a player does to the others' effects.
        pub game: Game = Game::Greedy => by_type(), "paper";
        /// Predictions that have a gradient: with and without permutation | with permutation.
        pub gradient: Gradient = Gradient::Full => by_type(), "paper";
        /// Permutations of each modality in a step.
        pub permutations: usize = 32 => at_least(1), "released code";
    }
}

impl MethodSettings for Mcr {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn compares_features(&self) -> Option<(&'static str, &'static str)> {
        (self.contrast != 0.).then_some(("contrast", "use 0"))
    }
    fn build(&self, _: &NetSpec) -> Result<Built> {
        Ok(Built::grads(self.clone()))
    }
}

impl Mcr {
    /// Weight of D_S in the gradient of a modality's own parameters; `within` if it belongs to S.
    pub(super) fn own(&self, within: bool) -> f64 {
        let k = match self.game {
            Game::Greedy => -1.,
            Game::Independent => 0.,
            Game::Collaborative => 1.,
        };
        -self.mipd * if within { 1. } else { k }
    }

    /// Weight of every D_S in the gradient of what belongs to nobody.
    pub(super) fn common(&self) -> f64 {
        if self.game == Game::Greedy { 0. } else { -self.mipd }
    }
}
