//! The settings of AGM and its card.

use aim_config::{above, at_least, between, settings};
use aim_core::{NetSpec, Result};

use super::Running;
use crate::{Built, MethodInfo, MethodSettings, Provenance, Quantity, Requirements};

/// Card of [`Agm`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "agm",
    title: "AGM",
    idea: "scale the gradient that flows into each modality's Shapley-style output",
    paper: "Li et al., ICCV 2023 (arXiv 2308.07686)",
    cost: "3 forward passes of every encoder and 2^M - 1 of the fusion; the backward pass goes through all of them \
    while gradients are modulated, through one afterwards",
    departs: &[
        "One clipping rule, that of the released CREMA-D script, serves all; its MOSEI script tests the gradient's \
        smallest entry too.",
    ],
    requires: Requirements::SEPARATE,
    provenance: Provenance::Faithful,
    reports: &[
        Quantity::modality("score", "nats", "loss of its Shapley-style output"),
        Quantity::modality("ratio", "", "exponential of how much its loss is below the mean of the others"),
        Quantity::modality("tau", "", "the same of the running means of the losses"),
        Quantity::modality("coef", "", "factor on the gradient into its output"),
        Quantity::modality("running_mean", "nats", "running mean of its loss"),
        Quantity::step("head_grad_max", "", "largest entry of the head's gradient"),
        Quantity::step("grad_norm", "", "norm of the gradient before clipping"),
        Quantity::step("clipped", "", "1 where the gradient is clipped, else 0"),
    ],
    revision: 1,
};

settings! {
    /// Settings of `agm`.
    pub struct Agm {
        /// Strength; 0 modulates nothing.
        pub alpha: f64 = 1. => between(0., 100.), "released code (CREMA-D)";
        /// Largest `tau - r`.
        pub cap: Option<f64> = None => above(0.).shown("10, or 7 from three modalities on"), "released code";
        /// Largest entry of the head's gradient without clipping.
        pub clip_threshold: f64 = 1. => above(0.), "released code (CREMA-D)";
        /// First epoch with modulation, counted from 1.
        pub modulation_starts: usize = 0 => at_least(0), "released code (CREMA-D)";
        /// Last epoch with modulation, counted from 1.
        pub modulation_ends: usize = 20 => at_least(0), "released code (CREMA-D)";
    }
}

impl MethodSettings for Agm {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn build(&self, net: &NetSpec) -> Result<Built> {
        let mean = vec![0.; net.modalities.len()];
        let cap = self.cap.unwrap_or(if mean.len() > 2 { 7. } else { 10. });
        Ok(Built::grads(Running { settings: self.clone(), cap, names: net.modalities.clone(), steps: 0, mean }))
    }
}
