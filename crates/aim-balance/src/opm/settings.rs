//! The settings of OPM and its card.

use aim_core::{NetSpec, Result};
use serde::{Deserialize, Serialize};

use super::Dropping;
use crate::card::{About, Needs, Setting, Settings, within};
use crate::stack::Built;

/// Card of [`Opm`].
pub static ABOUT: About = About {
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
    settings: &[
        Setting::new("q_base", "0.5", "0 to 1", "least drop probability; 0 is joint", "released code"),
        Setting::new("lambda", "0.5", "0 to 100", "growth with the discrepancy", "released code"),
        Setting::new("p_exe", "0.7", "0 to 1", "chance that a step drops at all", "released code"),
        Setting::new("warmup", "6", "epochs", "epochs of joint training before", "released code"),
        Setting::new(
            "ratio",
            "same",
            "same | previous",
            "batch whose scores set the drop probability",
            "released code",
        ),
        Setting::new(
            "z",
            "tanh",
            "tanh | sigmoid",
            "how the discrepancy counts: tanh(rho - 1) | sigmoid(rho)",
            "paper",
        ),
    ],
    needs: Needs { unimodal: true, reads: true, ..Needs::NONE },
};

/// Batch whose scores set the drop probability.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ratio {
    /// The one that is dropped from.
    Same,
    /// The one before it.
    Previous,
}

/// How the discrepancy counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lead {
    /// `tanh(rho - 1)`.
    Tanh,
    /// `sigmoid(rho)`, an ablation of the paper.
    Sigmoid,
}

/// Settings of `opm`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Opm {
    /// Least drop probability.
    pub q_base: f64,
    /// Growth with the discrepancy.
    pub lambda: f64,
    /// Chance that a step drops at all.
    pub p_exe: f64,
    /// Epochs of joint training before.
    pub warmup: usize,
    /// Batch whose scores set the drop probability.
    pub ratio: Ratio,
    /// How the discrepancy counts.
    pub z: Lead,
}

impl Default for Opm {
    fn default() -> Self {
        Self { q_base: 0.5, lambda: 0.5, p_exe: 0.7, warmup: 6, ratio: Ratio::Same, z: Lead::Tanh }
    }
}

impl Settings for Opm {
    fn check(&self) -> Result<()> {
        within("q_base", self.q_base, 0., 1.)?;
        within("lambda", self.lambda, 0., 100.)?;
        within("p_exe", self.p_exe, 0., 1.)
    }
    fn build(self, net: &NetSpec) -> Result<Built> {
        Ok(Built::fuse(Dropping { settings: self, q: vec![0.; net.modalities.len()] }))
    }
}
