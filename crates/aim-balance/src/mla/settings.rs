//! The settings of MLA and its card.

use std::collections::BTreeMap;

use aim_core::{Error, NetSpec, Result};
use candle_core::{DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{Alternating, fusion::Weighting};
use crate::card::{About, Needs, Setting, Settings, known, order, within};
use crate::stack::Built;

/// Card of [`Mla`].
pub static ABOUT: About = About {
    name: "mla",
    title: "MLA",
    idea: "update one modality after the other through a shared head whose gradient avoids the others' features",
    paper: "Zhang et al., CVPR 2024 (arXiv 2311.10707)",
    cost: "1 forward pass; M backward passes that go through each encoder once; M + 1 passes of the head, M optimizer \
    steps, M updates of a d x d matrix",
    departs: &[
        "Gradients are projected before the own feature enters P, as the paper intends; the released code is written \
        the other way (`projection: current`), and its projection never takes place (`compat: true`).",
        "The denominator of P's update is a number and P is not normalised, as in recursive least squares; the \
        released code divides by a matrix and by P's norm.",
        "Entropies are those of single samples; the released code normalises over the batch, so that predictions \
        depend on the other samples (`compat: true`).",
        "A sample takes part in the sub-steps of the modalities that it has; the released code has no such path.",
        "The first sub-step enters P, since nothing speaks against it; the released code is written to leave it out \
        (`skip_first`).",
    ],
    settings: &[
        Setting::new("order", "the network's", "modalities", "who goes first", "released code"),
        Setting::new(
            "projection",
            "previous",
            "previous | current | none",
            "project with the features before, or also with the own, or not at all (so always with compat)",
            "paper",
        ),
        Setting::new(
            "fusion_weights",
            "by entropy",
            "a weight for each modality",
            "relative weights in the prediction, the same for all samples",
            "paper; released code without its flag: 0.55 and 0.45, or 0.35, 0.25, 0.4",
        ),
        Setting::new(
            "compat",
            "false",
            "true | false",
            "no projection and entropies over the batch, as the released code does it",
            "ours; released code: true",
        ),
        Setting::new("skip_first", "false", "true | false", "first sub-step unprojected", "ours; released code: true"),
    ],
    needs: Needs { unimodal: true, shared_head: true, ..Needs::NONE },
};

/// When features enter the projector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Projection {
    /// After the projection.
    #[default]
    Previous,
    /// Before it.
    Current,
    /// Never.
    None,
}

/// Settings of `mla`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mla {
    /// Who goes first; the network's order by default.
    pub order: Option<Vec<String>>,
    /// When features enter the projector.
    pub projection: Projection,
    /// Weight of each modality in the prediction; by entropy if there is none.
    pub fusion_weights: BTreeMap<String, f64>,
    /// As the released code does it.
    pub compat: bool,
    /// First sub-step unprojected.
    pub skip_first: bool,
}

impl Settings for Mla {
    fn check(&self) -> Result<()> {
        let each = |(name, weight): (&String, &f64)| {
            within(&format!("fusion_weights.{name}"), *weight, f64::MIN_POSITIVE, f64::MAX)
        };
        self.fusion_weights.iter().try_for_each(each)
    }
    fn build(self, net: &NetSpec) -> Result<Built> {
        let order = order("order", self.order.as_deref(), net)?;
        let weighting = self.weighting(net)?;
        let projection = if self.compat { Projection::None } else { self.projection };
        let settings = Self { projection, ..self };
        let projector = Tensor::eye(net.widths[0], DType::F32, &Device::Cpu)?;
        Ok(Built::Method(Box::new(Alternating { settings, order, weighting, projector, started: false })))
    }
}

impl Mla {
    /// How unimodal logits become one answer.
    fn weighting(&self, net: &NetSpec) -> Result<Weighting> {
        if self.fusion_weights.is_empty() {
            return Ok(if self.compat { Weighting::BatchEntropy } else { Weighting::Entropy });
        }
        known("fusion_weights", self.fusion_weights.keys(), net)?;
        let missing = |name: &String| {
            let problem = format!("has no weight for `{name}`");
            Error::invalid("method.fusion_weights", problem, "give one for each modality, or none")
        };
        let weight = |name: &String| self.fusion_weights.get(name).copied().ok_or_else(|| missing(name));
        Ok(Weighting::Fixed(net.modalities.iter().map(weight).collect::<Result<_>>()?))
    }
}
