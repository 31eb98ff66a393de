//! Plain training: one loss on the fused logits, and the two baselines that are nearest to it.
//!
//! * `unimodal`: one modality alone, the reference for what an encoder can learn.
//! * `joint`: cross-entropy of the fused logits, the baseline that every method is compared with.
//! * `joint-unimodal`: the same plus a cross-entropy for each modality's own head,
//!   `L = CE(fused) + weight * sum_m CE(m)` (the multi-loss baseline of MMPareto, Wei & Hu 2024).

use aim_config::{between, settings, words};
use aim_core::{Batch, Criterion, Idle, Loss, NetSpec, Objective, Report, Result, Seen, Stateless};
use aim_ops::Reduction;
use candle_core::Tensor;

use crate::{Built, MethodInfo, MethodSettings, Provenance, Requirements};

/// The task's loss: mean cross-entropy of logits `[B, classes]` against a batch's labels, by its
/// [`Criterion`]. Methods that train by this function follow `train.label_smoothing` and
/// `train.class_weights`.
///
/// # Errors
/// If shapes do not fit.
pub fn cross_entropy(logits: &Tensor, batch: &Batch) -> Result<Tensor> {
    reduced(logits, batch, Reduction::Mean)
}

/// The task's loss of a batch, or of each of its samples.
pub(crate) fn reduced(logits: &Tensor, batch: &Batch, reduction: Reduction) -> Result<Tensor> {
    let Criterion { smoothing, weights } = &batch.criterion;
    Ok(match weights {
        None => aim_ops::cross_entropy(logits, &batch.labels, *smoothing, reduction)?,
        Some(weights) => {
            let weights = Tensor::new(&**weights, logits.device())?;
            aim_ops::weighted_cross_entropy(logits, &batch.labels, &weights, *smoothing, reduction)?
        }
    })
}

/// Card of [`Unimodal`].
pub static UNIMODAL: MethodInfo = MethodInfo {
    name: "unimodal",
    title: "unimodal",
    idea: "train one modality alone",
    paper: "baseline",
    cost: "forward and backward pass of one encoder and its head alone",
    departs: &[],
    requires: Requirements { modalities: (1, 1), ..Requirements::NONE },
    provenance: Provenance::Faithful,
    reports: &[],
    revision: 1,
};

settings! {
    /// Settings of `unimodal`.
    pub struct Unimodal {
        /// Modality that is trained.
        pub modality: String = String::new() => words("a modality").required(), "ours";
    }
}

impl MethodSettings for Unimodal {
    fn info(&self) -> &'static MethodInfo {
        &UNIMODAL
    }
    fn only(&self) -> Option<&str> {
        Some(&self.modality)
    }
    fn build(&self, _: &NetSpec) -> Result<Built> {
        Ok(Built::objective(FusedLoss))
    }
}

/// Card of [`Joint`].
pub static JOINT: MethodInfo = MethodInfo {
    name: "joint",
    title: "joint",
    idea: "cross-entropy of the fused logits",
    paper: "baseline",
    cost: "1 forward and 1 backward pass: the unit",
    departs: &[],
    requires: Requirements::NONE,
    provenance: Provenance::Faithful,
    reports: &[],
    revision: 1,
};

settings! {
    /// Settings of `joint`.
    pub struct Joint {}
}

impl MethodSettings for Joint {
    fn info(&self) -> &'static MethodInfo {
        &JOINT
    }
    fn build(&self, _: &NetSpec) -> Result<Built> {
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
pub static JOINT_UNIMODAL: MethodInfo = MethodInfo {
    name: "joint-unimodal",
    title: "joint + unimodal losses",
    idea: "cross-entropy of the fused logits and of each modality's own head",
    paper: "multi-loss baseline, e.g. Wei & Hu 2024 (arXiv 2405.17730)",
    cost: "1 forward pass, 1 backward pass through the sum of M + 1 losses",
    departs: &[],
    requires: Requirements::UNI_HEADS,
    provenance: Provenance::Faithful,
    reports: &[],
    revision: 1,
};

settings! {
    /// Settings of `joint-unimodal`.
    pub struct JointUnimodal {
        /// Weight of the unimodal losses.
        pub weight: f64 = 1. => between(0., 100.), "ours";
    }
}

impl MethodSettings for JointUnimodal {
    fn info(&self) -> &'static MethodInfo {
        &JOINT_UNIMODAL
    }
    fn build(&self, _: &NetSpec) -> Result<Built> {
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
