//! The settings of Data Remixing and its card.

use aim_config::{at_least, between, by_type, choice, settings, words};
use aim_core::{Error, NetSpec, Result};

use super::Remixed;
use crate::{
    Built, MethodInfo, MethodSettings, Provenance, Quantity, Requirements, card::order, joint::FusedAndUnimodal,
};

/// Card of [`Remix`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "remix",
    title: "Data Remixing",
    idea: "give each sample to the modality that separates it worst, and train in batches of one modality",
    paper: "Ma et al., ICML 2025 (arXiv 2506.11550)",
    cost: "warm-up: as joint training with unimodal losses; then 1 forward and 1 backward pass of one encoder a sample, \
    and before each epoch one evaluation of the training samples",
    departs: &[
        "Encoders of the modalities that a batch leaves out rest, with their norm statistics; the released code runs \
        them and puts 0 in place of their features, so that moments and decay move them (`absent: zero`).",
        "More than two modalities are ordered as the released two, the last first, and the smallest divergence of all \
        takes the sample.",
        "A sample is given to a modality that it has, and own losses are those of samples that have the modality, \
        because the released code has no missing ones.",
        "Divergences count the data's classes; the released code counts six on every set, which moves all of them \
        alike.",
        "A smaller last batch of a turn is trained on, also of one sample; turns without samples are left out.",
        "In a stack, samples that another method shows again with one modality join the batches of that modality, our \
        reading of the method on top of re-sampling.",
    ],
    requires: Requirements::UNI_HEADS,
    provenance: Provenance::Faithful,
    reports: &[
        Quantity::modality("assigned", "samples", "samples that the epoch gives to the modality"),
        Quantity::modality("divergence", "bits", "mean divergence of its predictions from the uniform distribution"),
        Quantity::modality("kept", "", "share of the batch's samples that keep the modality"),
    ],
    revision: 1,
};

choice! {
    /// Encoders of the modalities that a batch leaves out.
    pub enum Absent {
        /// They rest: no gradient, no running statistics.
        Skip = "skip",
        /// They run, and their features are overwritten by 0: gradients of zeros.
        Zero = "zero",
    }
}

settings! {
    /// Settings of `remix`.
    pub struct Remix {
        /// Epochs of joint training with unimodal losses at first.
        pub warmup: usize = 10 => at_least(0).unit("epochs"), "released code";
        /// Weight of the unimodal losses in these epochs.
        pub warmup_weight: f64 = 0.5 => between(0., 100.), "released code";
        /// Weight of the own loss in batches of one modality.
        pub gamma: f64 = 1. => between(0., 100.), "released code";
        /// Order in which modalities have their batches.
        pub order: Option<Vec<String>> = None => words("modalities").shown("the last first"), "released code";
        /// Encoders that a batch leaves out: they rest | run, and their features are overwritten by 0.
        pub absent: Absent = Absent::Skip => by_type(), "ours; released code: zero";
    }
}

impl MethodSettings for Remix {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn takes_turns(&self) -> bool {
        true
    }
    fn build(&self, net: &NetSpec) -> Result<Built> {
        let names = net.modalities.clone();
        let warm = FusedAndUnimodal { weight: self.warmup_weight };
        let (order, settings, nothing) = (self.turns(net)?, self.clone(), vec![0.; names.len()]);
        let (assigned, divergence) = (nothing.clone(), nothing);
        Ok(Built::objective(Remixed { settings, order, names, warm, assigned, divergence }))
    }
}

impl Remix {
    /// The modalities in the order of their turns.
    fn turns(&self, net: &NetSpec) -> Result<Vec<usize>> {
        let mut order = order("order", self.order.as_deref(), net)?;
        if self.order.as_ref().is_none_or(Vec::is_empty) {
            order.reverse();
        }
        let mut sorted = order.clone();
        sorted.sort_unstable();
        if sorted.into_iter().eq(0..net.modalities.len()) {
            return Ok(order);
        }
        Err(Error::invalid("method.order", "does not name every modality once", "name each one, or leave it out"))
    }
}
