//! The settings of DI-MML and its card.

use aim_config::{above, at_least, between, settings};
use aim_core::{NetSpec, Result, capability};

use super::Detached;
use crate::{Built, MethodInfo, MethodSettings, Provenance, Quantity, Requirements, Unimodal};

/// Card of [`DiMml`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "di-mml",
    title: "DI-MML",
    idea: "encoders learn on heads of their own, meet in a common head, and teach each other dimension by dimension",
    paper: "Fan et al., ACM MM 2024 (arXiv 2407.19514)",
    cost: "1 forward and 1 backward pass and M (M - 1) products of features, batch by batch; one evaluation of the \
    training samples; in the second stage a forward pass of the encoders without gradient",
    departs: &[
        "The second stage is the last epochs of the same run, with its optimizer and schedule, on the encoders as the \
        first stage leaves them; the released script loads what was saved last, which need not be the best.",
        "A pair without dimensions to teach adds nothing; in the released code it adds the logarithm of the batch size \
        with gradients of zeros.",
        "Classes without training samples have no mean, since the released code divides by 0 there and takes such a \
        class for the nearest of all samples.",
        "Dimensions are separated on samples without training's random changes, in batches; the released code crops \
        them at random, one at a time.",
        "All ordered pairs of any number of modalities teach, because the released code has two modalities.",
        "A sample takes part in the losses, pairs and predictions of the modalities that it has, since the released \
        code has no missing ones.",
        "Until the second stage predictions weigh the modalities alone, because the fused head has not learned yet.",
        "No setting makes it joint training: `align: 0` with `starts` beyond the run and `fuse_epochs: 0` is unimodal \
        training of every modality, bit for bit.",
    ],
    requires: Requirements {
        unimodal: Unimodal::Trained,
        capabilities: &[capability::UNI_HEADS, capability::ALIGNMENT],
        ..Requirements::NONE
    },
    provenance: Provenance::Faithful,
    reports: &[
        Quantity::step("stage", "", "1 while encoders learn, 2 while the fused head does"),
        Quantity::modality("effective", "dimensions", "dimensions of its feature that tell classes apart"),
    ],
    revision: 1,
};

settings! {
    /// Settings of `di-mml`.
    pub struct DiMml {
        /// Weight of the common head's losses.
        pub align: f64 = 1. => between(0., 100.), "released code";
        /// Temperature of the contrast.
        pub temperature: f64 = 50. => above(0.), "released code (CREMA-D)";
        /// First epoch with contrast.
        pub starts: usize = 20 => at_least(0), "released code";
        /// Temperature of the certainties that weigh predictions.
        pub fuse_temperature: f64 = 1. => above(0.), "released code (CREMA-D)";
        /// Epochs of the second stage, the last of the run; at most half of them.
        pub fuse_epochs: usize = 20 => at_least(0).unit("epochs"), "released code";
    }
}

impl MethodSettings for DiMml {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn ends_in_a_stage(&self) -> bool {
        self.fuse_epochs > 0
    }
    fn build(&self, net: &NetSpec) -> Result<Built> {
        let (names, classes) = (net.modalities.clone(), net.classes);
        Ok(Built::grads(Detached { settings: self.clone(), names, classes, effective: vec![], second: false }))
    }
}
