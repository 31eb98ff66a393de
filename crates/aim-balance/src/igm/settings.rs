//! The settings of IGM and its card.

use aim_config::{above_to, at_least, between, by_type, settings, words};
use aim_core::{NetSpec, Result, capability};

use super::{Covariance, Turns};
use crate::{Built, MethodInfo, MethodSettings, Provenance, Quantity, Requirements, Unimodal, card::order};

/// Card of [`Igm`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "igm",
    title: "IGM",
    idea: "train modalities in turn; a head learns where the head before it is flat",
    paper: "Jiang, Chi & Yang, IJCAI 2025 (MIE: arXiv 2407.04587)",
    cost: "2 forward and 2 backward passes of one encoder and its head; stage: one pass over the training split and an \
    eigendecomposition a head layer",
    departs: &[
        "The perturbation has one norm, is undone and reaches encoder and head; the released one has a norm a tensor, \
        stays, and reaches the head alone.",
        "rho is ours, because at the released 1e-10 nothing moves.",
        "The perturbed pass keeps the mixed labels; the released one compares mixed inputs with unmixed labels. At the \
        released rho that is all it does (`compat: true`).",
        "Layer k belongs to layer k of the next head; the released code matches layers by their shape.",
        "Stages are parts of one run with one optimizer; the released code starts each from a checkpoint chosen on the \
        test split.",
    ],
    requires: Requirements {
        modalities: (1, usize::MAX),
        unimodal: Unimodal::Trained,
        capabilities: &[capability::DEEP_HEADS],
        separate: true,
    },
    provenance: Provenance::Faithful,
    reports: &[Quantity::step("grad_norm", "", "norm of the gradient before perturbation and projection")],
    revision: 1,
};

settings! {
    /// Settings of `igm`.
    pub struct Igm {
        /// Modalities that are trained in turn.
        pub order: Option<Vec<String>> = None => words("modalities").shown("the network's"), "ours";
        /// Epochs of a stage.
        pub stage_epochs: usize = 1 => at_least(1), "ours";
        /// Radius; with compat there is none.
        pub rho: f64 = 0.05 => between(0., 100.), "ours";
        /// Share of the perturbed gradient.
        pub lambda: f64 = 0.3 => between(0., 1.), "released code";
        /// Suppression; 0 changes no gradient.
        pub tau: f64 = 0.4 => between(0., 100.).main(), "released code";
        /// Epochs of each stage in turn, a list that begins anew at its end, for instance [25, 50]; `stage_epochs` each
        /// if it is empty.
        pub stages: Vec<usize> = Vec::new() => at_least(1).unit("epochs").shown("stage_epochs each"),
            "ours; released code: 25, 50 (CREMA-D), 2, 30 (Sarcasm) and others";
        /// Mix pairs of samples.
        pub mixup: bool = true => by_type(), "released code";
        /// Parameter alpha of the distribution Beta(alpha, alpha) that shares come from.
        pub mixup_alpha: f64 = 1. => above_to(0., 100.), "released code";
        /// No perturbation, and unmixed labels in its place, as the released code does it.
        pub compat: bool = false => by_type(), "ours; released code: true";
        /// Inputs of a layer that enter the covariance: their batch means | all of them.
        pub covariance: Covariance = Covariance::BatchMean => by_type(), "released code";
    }
}

impl MethodSettings for Igm {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn compat(&self) -> bool {
        self.compat
    }
    fn build(&self, net: &NetSpec) -> Result<Built> {
        let order = order("order", self.order.as_deref(), net)?;
        Ok(Built::grads(Turns { settings: self.clone(), order, matrices: vec![] }))
    }
}

impl Igm {
    /// The stage of an epoch, and the epoch of that stage.
    pub(super) fn stage(&self, epoch: usize) -> (usize, usize) {
        let lengths = if self.stages.is_empty() { std::slice::from_ref(&self.stage_epochs) } else { &self.stages };
        let cycle = lengths.iter().fold(0usize, |sum, length| sum.saturating_add(*length));
        let (mut stage, mut rest) = (epoch / cycle * lengths.len(), epoch % cycle);
        for length in lengths {
            if rest < *length {
                break;
            }
            (stage, rest) = (stage + 1, rest - length);
        }
        (stage, rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_by_hand() {
        let stages = |igm: &Igm| (0..8).map(|epoch| igm.stage(epoch)).collect::<Vec<_>>();
        let even = Igm { stage_epochs: 3, ..Igm::default() };
        assert_eq!(stages(&even), [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1)]);
        let list = Igm { stages: vec![1, 2], ..Igm::default() };
        assert_eq!(Igm { stages: vec![usize::MAX, 1], ..Igm::default() }.stage(5), (0, 5));
        assert_eq!(stages(&list), [(0, 0), (1, 0), (1, 1), (2, 0), (3, 0), (3, 1), (4, 0), (5, 0)]);
    }
}
