//! The settings of ASGML and its card.

use aim_config::{above, at_least, between, settings};
use aim_core::{NetSpec, Result};

use super::{Boost, Scales};
use crate::{Built, MethodInfo, MethodSettings, Provenance, Quantity, Requirements, joint::FusedAndUnimodal};

/// Card of [`Asgml`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "asgml",
    title: "ASGML",
    idea: "probes measure what each encoder tells, and gradients of the weaker ones grow",
    paper: "preprint code of 2026 (VuVoCodes/AsynchronousFunction), continuous mode",
    cost: "1 forward and 1 backward pass; every 20 steps 10 steps of a linear probe a modality",
    departs: &[
        "Measurements follow the 20th, 40th and so on batch of an epoch, our reading of every 20 batches.",
        "Modalities that fewer than two samples of a batch have are not measured: the average enters in place of the \
        accuracy. Where none is measured, as in batches of one sample, the factors stay.",
        "Other modes of that code (frequency, staleness) are not here, because they lost its own comparisons.",
    ],
    requires: Requirements::UNI_HEADS,
    provenance: Provenance::Faithful,
    reports: &[
        Quantity::modality("scale", "", "factor on the encoder's gradients"),
        Quantity::modality("accuracy", "", "accuracy of its probe at a measurement"),
        Quantity::modality("average", "", "moving average of these accuracies"),
        Quantity::modality("target", "", "factor that the measurement asks for"),
    ],
    revision: 1,
};

settings! {
    /// Settings of `asgml`.
    pub struct Asgml {
        /// Boost of the weakest modality; 0 is joint-unimodal.
        pub alpha: f64 = 0.5 => between(0., 100.), "released code";
        /// Largest factor that a measurement asks for.
        pub scale_max: f64 = 2. => between(1., 100.), "released code";
        /// Batches between two measurements.
        pub every: usize = 20 => at_least(1).unit("batches"), "released code";
        /// Steps of a probe at a measurement.
        pub probe_steps: usize = 10 => at_least(1).unit("steps"), "released code";
        /// Learning rate of the probes.
        pub probe_lr: f64 = 1e-3 => above(0.), "released code";
        /// Share of the new value in the average of accuracies.
        pub accuracy_ema: f64 = 0.1 => between(0., 1.), "released code";
        /// Share of the new value in the factors.
        pub scale_ema: f64 = 0.3 => between(0., 1.), "released code";
        /// Weight of the unimodal losses.
        pub unimodal: f64 = 1. => between(0., 100.), "released code (CREMA-D)";
    }
}

impl MethodSettings for Asgml {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn build(&self, net: &NetSpec) -> Result<Built> {
        let (names, scales) = (net.modalities.clone(), Scales::new(net.modalities.len()));
        let boost = Boost { settings: self.clone(), names, classes: net.classes, probes: vec![], scales };
        Ok(Built::op(boost).with_objective(FusedAndUnimodal { weight: self.unimodal }))
    }
}
