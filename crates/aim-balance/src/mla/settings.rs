//! The settings of MLA and its card.

use std::collections::BTreeMap;

use aim_config::{above, by_type, choice, settings, words};
use aim_core::{NetSpec, Result, capability};
use candle_core::{DType, Device, Tensor};

use super::{Alternating, fusion::Weighting};
use crate::{
    Built, MethodInfo, MethodSettings, Provenance, Quantity, Requirements, Unimodal,
    card::{order, weights},
};

/// Card of [`Mla`].
pub static ABOUT: MethodInfo = MethodInfo {
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
    requires: Requirements {
        unimodal: Unimodal::Trained,
        capabilities: &[capability::SHARED_HEAD],
        ..Requirements::NONE
    },
    provenance: Provenance::Faithful,
    reports: &[Quantity::step("alpha", "", "regulariser of the projector's update")],
    revision: 1,
};

choice! {
    /// Time at which features enter the projector.
    pub enum Projection {
        /// After the projection.
        Previous = "previous",
        /// Before it.
        Current = "current",
        /// Never.
        None = "none",
    }
}

settings! {
    /// Settings of `mla`.
    pub struct Mla {
        /// Order of the modalities, the first to be updated first.
        pub order: Option<Vec<String>> = None => words("modalities").shown("the network's"), "released code";
        /// Features that the head's gradient avoids: those before | also the own | none (so always with compat).
        pub projection: Projection = Projection::Previous => by_type(), "paper";
        /// Relative weights in the prediction, the same for all samples: one for each modality.
        pub fusion_weights: BTreeMap<String, f64> = BTreeMap::new() => above(0.).shown("by entropy"),
            "paper; released code without its flag: 0.55 and 0.45, or 0.35, 0.25, 0.4";
        /// No projection and entropies over the batch, as the released code does it.
        pub compat: bool = false => by_type(), "ours; released code: true";
        /// First sub-step unprojected.
        pub skip_first: bool = false => by_type(), "ours; released code: true";
    }
}

impl MethodSettings for Mla {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn compat(&self) -> bool {
        self.compat
    }
    fn build(&self, net: &NetSpec) -> Result<Built> {
        let order = order("order", self.order.as_deref(), net)?;
        let weighting = self.weighting(net)?;
        let projection = if self.compat { Projection::None } else { self.projection };
        let settings = Self { projection, ..self.clone() };
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
        Ok(Weighting::Fixed(weights("fusion_weights", &self.fusion_weights, net)?))
    }
}
