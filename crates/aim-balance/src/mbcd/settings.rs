//! The settings of MBCD and its card.

use aim_config::{at_least, between, by_type, choice, settings};
use aim_core::{NetSpec, Result, View, capability};

use super::Collaborative;
use crate::{Built, MethodInfo, MethodSettings, Provenance, Quantity, Requirements, Unimodal};

/// Card of [`Mbcd`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "mbcd",
    title: "MBCD",
    idea: "drop the confident modality from the fusion, agree gradients by an inner step, distil from an averaged \
    teacher",
    paper: "Wang et al., AAAI 2026 (arXiv 2511.20258); first order",
    cost: "3 forward passes, one of them without gradient; 2 M + 1 backward passes that go through each encoder 3 \
    times; an average of the weights",
    departs: &[
        "The inner step is first order, because the exact form needs second derivatives.",
        "alpha, beta and lambda are ours, because the text names none and no code was public.",
        "The teacher answers in evaluation, which the paper implies; while it teaches, norm layers take the batch's \
        statistics, because running ones belong to the learner.",
        "One draw serves a batch, which is one reading of the text (`mask: per_sample` is the other).",
        "The LayerNorm has no weights, because a method adds no parameters to a network; `model.feature_norm: true` \
        is one with weights.",
    ],
    requires: Requirements {
        unimodal: Unimodal::Trained,
        capabilities: &[capability::UNI_HEADS, capability::VIEWS],
        ..Requirements::NONE
    },
    provenance: Provenance::Faithful,
    reports: &[
        Quantity::modality("confidence", "", "sum over the batch of the largest probability"),
        Quantity::modality("ratio", "", "mean ratio of its confidence to those of the others"),
        Quantity::modality("drop_p", "", "chance to be left out of the fusion"),
    ],
    revision: 1,
};

choice! {
    /// Part that a draw drops.
    pub enum Mask {
        /// A modality of the whole batch.
        PerBatch = "per_batch",
        /// A modality of a sample.
        PerSample = "per_sample",
    }
}

settings! {
    /// Settings of `mbcd`.
    pub struct Mbcd {
        /// Length of the inner step.
        pub alpha: f64 = 0.01 => between(0., 100.), "ours";
        /// Share of the old teacher.
        pub beta: f64 = 0.99 => between(0., 1.), "ours";
        /// Weight of the distillation.
        pub lambda: f64 = 0.5 => between(0., 100.).main(), "ours";
        /// Steps before the teacher teaches and lags behind.
        pub warmup: usize = 0 => at_least(0).unit("steps"), "ours";
        /// Part that a draw drops: a modality of the whole batch | of a sample.
        pub mask: Mask = Mask::PerBatch => by_type(), "paper, in one reading";
    }
}

impl MethodSettings for Mbcd {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn build(&self, _: &NetSpec) -> Result<Built> {
        Ok(Built::Method(Box::new(Collaborative { settings: self.clone(), teacher: View::new() })))
    }
}
