//! Plain training: one loss on the fused logits, and the two baselines that are nearest to it.
//!
//! * `unimodal`: one modality alone, the reference for what an encoder can learn.
//! * `joint`: cross-entropy of the fused logits, the baseline that every method is compared with.
//! * `joint-unimodal`: the same plus a cross-entropy for each modality's own head,
//!   `L = CE(fused) + weight * sum_m CE(m)` (the multi-loss baseline of MMPareto, Wei & Hu 2024).

use aim_core::{Batch, Descend, Method, NetSpec, Objective, Output, Recipe, Result};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::card::{About, Needs, Setting, Settings, within};

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
    settings: &[Setting {
        name: "modality",
        default: "(required)",
        range: "a modality",
        meaning: "the one that is trained",
    }],
    needs: Needs { single: true, at_most: None, unimodal: false, uni_heads: false, disjoint_heads: false },
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
    fn build(self, _: &NetSpec) -> Result<Box<dyn Method>> {
        Ok(Box::new(Descend(Recipe::of(Fused))))
    }
}

/// Card of [`Joint`].
pub static JOINT: About = About {
    name: "joint",
    title: "joint",
    idea: "cross-entropy of the fused logits",
    paper: "baseline",
    settings: &[],
    needs: Needs { single: false, at_most: None, unimodal: false, uni_heads: false, disjoint_heads: false },
};

/// Settings of `joint`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Joint {}

impl Settings for Joint {
    fn check(&self) -> Result<()> {
        Ok(())
    }
    fn build(self, _: &NetSpec) -> Result<Box<dyn Method>> {
        Ok(Box::new(Descend(Recipe::of(Fused))))
    }
}

/// Cross-entropy of the fused logits.
pub struct Fused;

impl Objective for Fused {
    fn losses(&mut self, out: &Output, batch: &Batch) -> Result<Vec<(String, Tensor)>> {
        Ok(vec![("loss".into(), cross_entropy(&out.logits, batch)?)])
    }
}

/// Card of [`JointUnimodal`].
pub static JOINT_UNIMODAL: About = About {
    name: "joint-unimodal",
    title: "joint + unimodal losses",
    idea: "cross-entropy of the fused logits and of each modality's own head",
    paper: "multi-loss baseline, e.g. Wei & Hu 2024 (arXiv 2405.17730)",
    settings: &[Setting { name: "weight", default: "1", range: "0 to 100", meaning: "weight of the unimodal losses" }],
    needs: Needs { single: false, at_most: None, unimodal: true, uni_heads: true, disjoint_heads: false },
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
    fn build(self, net: &NetSpec) -> Result<Box<dyn Method>> {
        let objective = FusedAndUnimodal { weight: self.weight, names: net.modalities.clone() };
        Ok(Box::new(Descend(Recipe::of(objective))))
    }
}

struct FusedAndUnimodal {
    weight: f64,
    names: Vec<String>,
}

impl Objective for FusedAndUnimodal {
    fn losses(&mut self, out: &Output, batch: &Batch) -> Result<Vec<(String, Tensor)>> {
        let mut losses = vec![("loss.fused".into(), cross_entropy(&out.logits, batch)?)];
        if self.weight != 0. {
            for (name, logits) in self.names.iter().zip(&out.unimodal) {
                losses.push((format!("loss.{name}"), (cross_entropy(logits, batch)? * self.weight)?));
            }
        }
        Ok(losses)
    }
}
