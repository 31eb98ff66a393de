//! The settings of MBCD and its card.

use aim_core::{NetSpec, Result, View};
use serde::{Deserialize, Serialize};

use super::Collaborative;
use crate::card::{About, Needs, Setting, Settings, within};
use crate::stack::Built;

/// Card of [`Mbcd`].
pub static ABOUT: About = About {
    name: "mbcd",
    title: "MBCD",
    idea: "drop the confident modality from the fusion, agree gradients by an inner step, distil from an averaged teacher",
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
    settings: &[
        Setting::new("alpha", "0.01", "0 to 100", "length of the inner step", "ours"),
        Setting::new("beta", "0.99", "0 to 1", "share of the old teacher", "ours"),
        Setting::new("lambda", "0.5", "0 to 100", "weight of the distillation", "ours"),
        Setting::new("warmup", "0", "steps", "steps before the teacher teaches and lags behind", "ours"),
        Setting::new("mask", "per_batch", "per_batch | per_sample", "what a draw drops", "paper, in one reading"),
    ],
    needs: Needs { unimodal: true, uni_heads: true, ..Needs::NONE },
};

/// What a draw drops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mask {
    /// A modality of the whole batch.
    PerBatch,
    /// A modality of a sample.
    PerSample,
}

/// Settings of `mbcd`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mbcd {
    /// Length of the inner step.
    pub alpha: f64,
    /// Share of the old teacher.
    pub beta: f64,
    /// Weight of the distillation.
    pub lambda: f64,
    /// Steps before the teacher teaches and lags behind.
    pub warmup: usize,
    /// What a draw drops.
    pub mask: Mask,
}

impl Default for Mbcd {
    fn default() -> Self {
        Self { alpha: 0.01, beta: 0.99, lambda: 0.5, warmup: 0, mask: Mask::PerBatch }
    }
}

impl Settings for Mbcd {
    fn check(&self) -> Result<()> {
        within("alpha", self.alpha, 0., 100.)?;
        within("beta", self.beta, 0., 1.)?;
        within("lambda", self.lambda, 0., 100.)
    }
    fn build(self, _: &NetSpec) -> Result<Built> {
        Ok(Built::Method(Box::new(Collaborative { settings: self, teacher: View::new() })))
    }
}
