//! Plain training: one loss on the fused logits, and the two baselines that are nearest to it.
//!
//! * `unimodal`: one modality alone, the reference for what an encoder can learn.
//! * `joint`: cross-entropy of the fused logits, the baseline that every method is compared with.
//! * `joint-unimodal`: the same plus a cross-entropy for each modality's own head,
//!   `L = CE(fused) + weight * sum_m CE(m)` (the multi-loss baseline of MMPareto, Wei & Hu 2024).

use aim_core::{Batch, Idle, Loss, NetSpec, Objective, Report, Result, Seen, Stateless};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::card::{About, Needs, Setting, Settings, within};
use crate::stack::Built;

/// Mean cross-entropy of logits against a batch's labels.
pub(crate) fn cross_entropy(logits: &Tensor, batch: &Batch) -> Result<Tensor> {
    Ok(aim_ops::cross_entropy(logits, &batch.labels, 0., aim_ops::Reduction::Mean)?)
}

/// Card of [`Unimodal`].
pub static UNIMODAL: About = About {
    name: "unimodal",
    title: "unimodal",
    idea: "train one modality alone",
    paper: "baseline",
    cost: "forward and backward pass of one encoder and its head alone",
    departs: &[],
    settings: &[Setting::new("modality", "(required)", "a modality", "the one that is trained", "ours")],
    needs: Needs { single: true, ..Needs::NONE },
};

/// Settings of `unimodal`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Unimodal {
    /// The modality that is trained.
    pub modality: String,
}

impl Settings for Unimodal {
    fn check(&self) -> Result<()> {
        Ok(())
    }
    fn build(self, _: &NetSpec) -> Result<Built> {
        Ok(Built::objective(FusedLoss))
    }
}

/// Card of [`Joint`].
pub static JOINT: About = About {
    name: "joint",
    title: "joint",
    idea: "cross-entropy of the fused logits",
    paper: "baseline",
    cost: "1 forward and 1 backward pass: the unit",
    departs: &[],
    settings: &[],
    needs: Needs::NONE,
};

/// Settings of `joint`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Joint {}

impl Settings for Joint {
    fn check(&self) -> Result<()> {
        Ok(())
    }
    fn build(self, _: &NetSpec) -> Result<Built> {
        Ok(Built::objective(FusedLoss))
    }
}

/// Cross-entropy of the fused logits.
pub struct FusedLoss;

impl Stateless for FusedLoss {}
impl Idle for FusedLoss {}

impl Objective for FusedLoss {
    fn losses(&mut self, seen: &Seen<'_>, _: &mut Report) -> Result<Vec<Loss>> {
        Ok(vec![Loss::new("loss", cross_entropy(&seen.out.logits, seen.batch)?)])
    }
}

/// Card of [`JointUnimodal`].
pub static JOINT_UNIMODAL: About = About {
    name: "joint-unimodal",
    title: "joint + unimodal losses",
    idea: "cross-entropy of the fused logits and of each modality's own head",
    paper: "multi-loss baseline, e.g. Wei & Hu 2024 (arXiv 2405.17730)",
    cost: "1 forward pass, 1 backward pass through the sum of M + 1 losses",
    departs: &[],
    settings: &[Setting::new("weight", "1", "0 to 100", "weight of the unimodal losses", "ours")],
    needs: Needs { unimodal: true, uni_heads: true, ..Needs::NONE },
};

/// Settings of `joint-unimodal`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JointUnimodal {
    /// Weight of the unimodal losses.
    pub weight: f64,
}

impl Default for JointUnimodal {
    fn default() -> Self {
        Self { weight: 1. }
    }
}

impl Settings for JointUnimodal {
    fn check(&self) -> Result<()> {
        within("weight", self.weight, 0., 100.)
    }
    fn build(self, _: &NetSpec) -> Result<Built> {
        Ok(Built::objective(FusedAndUnimodal { weight: self.weight }))
    }
}

/// Cross-entropy of the fused logits plus `weight` times that of each modality's.
pub(crate) struct FusedAndUnimodal {
    pub weight: f64,
}

impl Stateless for FusedAndUnimodal {}
impl Idle for FusedAndUnimodal {}

impl Objective for FusedAndUnimodal {
    fn losses(&mut self, seen: &Seen<'_>, _: &mut Report) -> Result<Vec<Loss>> {
        let mut losses = vec![Loss::new("loss.fused", cross_entropy(&seen.out.logits, seen.batch)?)];
        for (name, logits) in seen.net.spec().modalities.iter().zip(&seen.out.unimodal) {
            losses.push(Loss::new(format!("loss.{name}"), cross_entropy(logits, seen.batch)?).times(self.weight));
        }
        Ok(losses)
    }
}
