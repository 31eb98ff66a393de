//! The settings of F-MTL and its card.

use aim_core::{NetSpec, Result};
use serde::{Deserialize, Serialize};

use super::Tasks;
use crate::card::{About, Needs, Setting, Settings, within};
use crate::stack::Built;

/// Card of [`Fmtl`].
pub static ABOUT: About = About {
    name: "fmtl",
    title: "F-MTL",
    idea: "aggregate the losses' gradients and, apart from them, the directions towards flat minima",
    paper: "Phan et al., ICCV 2025 (arXiv 2211.13723)",
    cost: "3 forward and 2 M + 2 backward passes that go through each encoder 4 times; up to 2 M + 2 gradients in \
    memory",
    departs: &[
        "Tasks are the fused loss and each modality's own, and an encoder is what they share: our reading, because the \
        paper has tasks of one input.",
        "One perturbed pass serves all unimodal losses, since their encoders are disjoint; the paper has a pass a \
        task.",
        "The perturbation of the fused loss has one norm over all encoders, which the paper leaves open for several of \
        them.",
        "MGDA is exact and takes gradients as they are; one released script divides them by their \
        norms first (`normalise: l2`, whose weights count for the gradients as they are) and multiplies the result by the \
        number of tasks.",
        "NashMTL and FairGrad keep the length of their direction in proportion to the gradients (as the code of \
        NashMTL does, without its clipping to norm 1), so that a vanishing flat part is not blown up.",
        "Perturbations are plain as in the paper's equations; the released runs take the adaptive form with rho 2 \
        (`adaptive: true`).",
        "IMTL-L's logarithms of loss weights descend by plain steps at the run's learning rate, since a method adds no \
        parameters to a network.",
    ],
    settings: &[
        Setting::new(
            "aggregation",
            "cagrad",
            "mgda | pcgrad | cagrad | imtl | nash | fairgrad",
            "how two gradients become one",
            "ours",
        ),
        Setting::new("rho_shared", "0.05", "0 to 100", "radius in the encoders", "released code (plain form)"),
        Setting::new("rho_head", "0.05", "0 to 100", "radius in the heads", "released code (plain form)"),
        Setting::new("c", "0.4", "0 to 1", "radius of CAGrad", "released code"),
        Setting::new("fairness", "2", "above 0, to 100", "fairness of FairGrad; nash has 1", "ours"),
        Setting::new("rescale", "1", "0 | 1 | 2", "rescaling of CAGrad", "third party (LibMTL)"),
        Setting::new("adaptive", "false", "true | false", "radius in units of weights", "paper; released runs: true"),
        Setting::new(
            "normalise",
            "none",
            "none | l2 | loss | loss+",
            "what MGDA divides each gradient by: its norm, its loss, or both",
            "third party (LibMTL)",
        ),
        Setting::new("imtl_l", "false", "true | false", "learnt scales of the losses", "third party (LibMTL)"),
    ],
    needs: Needs { unimodal: true, uni_heads: true, ..Needs::NONE },
};

/// How gradients become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Aggregation {
    /// Point of least norm.
    Mgda,
    /// Projection of conflicts, sum.
    PcGrad,
    /// Conflict-averse.
    CaGrad,
    /// Equal projections.
    Imtl,
    /// Bargaining solution.
    Nash,
    /// As fair as `fairness`.
    FairGrad,
}

/// What MGDA divides each gradient by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Normalise {
    /// 1.
    None,
    /// Its norm.
    L2,
    /// Its loss.
    Loss,
    /// Its loss times its norm.
    #[serde(rename = "loss+")]
    LossL2,
}

/// Settings of `fmtl`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fmtl {
    /// How two gradients become one.
    pub aggregation: Aggregation,
    /// Radius in the encoders.
    pub rho_shared: f64,
    /// Radius in the heads.
    pub rho_head: f64,
    /// Radius of CAGrad.
    pub c: f64,
    /// Fairness of FairGrad.
    pub fairness: f64,
    /// Rescaling of CAGrad.
    pub rescale: u8,
    /// Whether the radius is in units of each weight.
    pub adaptive: bool,
    /// What MGDA divides each gradient by.
    pub normalise: Normalise,
    /// Whether the scales of the losses are learnt.
    pub imtl_l: bool,
}

impl Default for Fmtl {
    fn default() -> Self {
        let aggregation = Aggregation::CaGrad;
        let (adaptive, normalise, imtl_l) = (false, Normalise::None, false);
        let (rho_shared, rho_head, c, fairness, rescale) = (0.05, 0.05, 0.4, 2., 1);
        Self { aggregation, rho_shared, rho_head, c, fairness, rescale, adaptive, normalise, imtl_l }
    }
}

impl Settings for Fmtl {
    fn check(&self) -> Result<()> {
        within("rho_shared", self.rho_shared, 0., 100.)?;
        within("rho_head", self.rho_head, 0., 100.)?;
        within("c", self.c, 0., 1.)?;
        within("fairness", self.fairness, f64::MIN_POSITIVE, 100.)?;
        within("rescale", f64::from(self.rescale), 0., 2.)
    }
    fn build(self, net: &NetSpec) -> Result<Built> {
        let scales = vec![0.; net.modalities.len() + 1];
        Ok(Built::grads(Tasks { settings: self, scales }))
    }
}
