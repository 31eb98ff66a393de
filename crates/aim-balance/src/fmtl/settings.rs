//! The settings of F-MTL and its card.

use aim_config::{above_to, between, by_type, choice, one_of, settings};
use aim_core::{NetSpec, Result};

use super::Tasks;
use crate::{Built, MethodInfo, MethodSettings, Provenance, Quantity, Requirements};

/// Card of [`Fmtl`].
pub static ABOUT: MethodInfo = MethodInfo {
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
        "MGDA is exact and takes gradients as they are; one released script divides them by their norms first \
        (`normalise: l2`, whose weights count for the gradients as they are) and multiplies the result by the number \
        of tasks.",
        "NashMTL and FairGrad keep the length of their direction in proportion to the gradients (as the code of \
        NashMTL does, without its clipping to norm 1), so that a vanishing flat part is not blown up.",
        "Perturbations are plain as in the paper's equations; the released runs take the adaptive form with rho 2 \
        (`adaptive: true`).",
        "IMTL-L's logarithms of loss weights descend by plain steps at the run's learning rate, since a method adds no \
        parameters to a network.",
    ],
    requires: Requirements::UNI_HEADS,
    provenance: Provenance::Faithful,
    reports: &[
        Quantity::modality("cos_loss", "", "cosine of the fused and the own loss's gradients in the encoder"),
        Quantity::modality("cos_flat", "", "cosine of the fused and the own flat directions in the encoder"),
        Quantity::part("loss_perturbed", "nats", "loss of the perturbed network: of `fused` and of each modality"),
        Quantity::step("scale", "", "logarithms of the scales of the losses, fused first (IMTL-L)"),
    ],
    revision: 1,
};

choice! {
    /// Rule by which gradients become one.
    pub enum Aggregation {
        /// Point of least norm.
        Mgda = "mgda",
        /// Projection of conflicts, sum.
        PcGrad = "pcgrad",
        /// Conflict-averse.
        CaGrad = "cagrad",
        /// Equal projections.
        Imtl = "imtl",
        /// Bargaining solution.
        Nash = "nash",
        /// As fair as `fairness`.
        FairGrad = "fairgrad",
    }
}

choice! {
    /// Divisor of each gradient in MGDA.
    pub enum Normalise {
        /// 1.
        None = "none",
        /// Its norm.
        L2 = "l2",
        /// Its loss.
        Loss = "loss",
        /// Its loss times its norm.
        LossL2 = "loss+",
    }
}

settings! {
    /// Settings of `fmtl`.
    pub struct Fmtl {
        /// Rule by which two gradients become one.
        pub aggregation: Aggregation = Aggregation::CaGrad => by_type(), "ours";
        /// Radius in the encoders.
        pub rho_shared: f64 = 0.05 => between(0., 100.), "released code (plain form)";
        /// Radius in the heads.
        pub rho_head: f64 = 0.05 => between(0., 100.), "released code (plain form)";
        /// Radius of CAGrad.
        pub c: f64 = 0.4 => between(0., 1.), "released code";
        /// Fairness of FairGrad; nash has 1.
        pub fairness: f64 = 2. => above_to(0., 100.), "ours";
        /// Rescaling of CAGrad.
        pub rescale: u8 = 1 => one_of(&["0", "1", "2"]), "third party (LibMTL)";
        /// Radius in units of weights.
        pub adaptive: bool = false => by_type(), "paper; released runs: true";
        /// Divisor of each gradient in MGDA: none | its norm | its loss | both.
        pub normalise: Normalise = Normalise::None => by_type(), "third party (LibMTL)";
        /// Learnt scales of the losses.
        pub imtl_l: bool = false => by_type(), "third party (LibMTL)";
    }
}

impl MethodSettings for Fmtl {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn build(&self, net: &NetSpec) -> Result<Built> {
        let scales = vec![0.; net.modalities.len() + 1];
        Ok(Built::grads(Tasks { settings: self.clone(), scales }))
    }
}
