//! The settings of OPM and its card.

use aim_config::{at_least, between, by_type, choice, settings};
use aim_core::{NetSpec, Result};

use super::Dropping;
use crate::{Built, MethodInfo, MethodSettings, Provenance, Quantity, Requirements, Unimodal};

/// Card of [`Opm`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "opm",
    title: "OPM",
    idea: "drop features of the modality that is ahead",
    paper: "Wei et al., TPAMI 2024 (arXiv 2410.11582)",
    cost: "1 forward and 1 backward pass; the fusion runs twice in steps that drop",
    departs: &[
        "The drop probability is that of the same batch, as released; the paper's algorithm is reported to take that \
        of the batch before (`ratio: previous`).",
        "A batch in which every sample lost every modality is kept whole, because a step without samples has no loss; \
        the released code skips it (possible from three modalities on).",
    ],
    requires: Requirements { unimodal: Unimodal::Read, ..Requirements::NONE },
    provenance: Provenance::Faithful,
    reports: &[
        Quantity::step("theta", "", "mean drop probability of a feature's entry"),
        Quantity::modality("score", "", "sum over the batch of the probability of the true class"),
        Quantity::modality("ratio", "", "mean ratio of its score to those of the others"),
        Quantity::modality("q", "", "drop probability"),
    ],
    revision: 1,
};

choice! {
    /// Batch whose scores set the drop probability.
    pub enum Ratio {
        /// The one that is dropped from.
        Same = "same",
        /// The one before it.
        Previous = "previous",
    }
}

choice! {
    /// Function of the discrepancy.
    pub enum Lead {
        /// `tanh(rho - 1)`.
        Tanh = "tanh",
        /// `sigmoid(rho)`, an ablation of the paper.
        Sigmoid = "sigmoid",
    }
}

settings! {
    /// Settings of `opm`.
    pub struct Opm {
        /// Least drop probability; 0 is joint.
        pub q_base: f64 = 0.5 => between(0., 1.), "released code";
        /// Growth with the discrepancy.
        pub lambda: f64 = 0.5 => between(0., 100.), "released code";
        /// Chance that a step drops at all.
        pub p_exe: f64 = 0.7 => between(0., 1.), "released code";
        /// Epochs of joint training before.
        pub warmup: usize = 6 => at_least(0).unit("epochs"), "released code";
        /// Batch whose scores set the drop probability: the one that is dropped from | the one before.
        pub ratio: Ratio = Ratio::Same => by_type(), "released code";
        /// Function of the discrepancy: tanh(rho - 1) | sigmoid(rho).
        pub z: Lead = Lead::Tanh => by_type(), "paper";
    }
}

impl MethodSettings for Opm {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn build(&self, net: &NetSpec) -> Result<Built> {
        Ok(Built::fuse(Dropping { settings: self.clone(), q: vec![0.; net.modalities.len()] }))
    }
}
