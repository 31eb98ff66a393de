//! The settings of IGM and its card.

use aim_core::{NetSpec, Result};
use serde::{Deserialize, Serialize};

use super::{Covariance, Turns};
use crate::card::{About, Needs, Setting, Settings, order, within};
use crate::stack::Built;

/// Card of [`Igm`].
pub static ABOUT: About = About {
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
    settings: &[
        Setting::new("order", "the network's", "modalities", "who is trained in turn", "ours"),
        Setting::new("stage_epochs", "1", "1 or more", "epochs of a stage", "ours"),
        Setting::new(
            "stages",
            "stage_epochs each",
            "epochs of each stage in turn",
            "a list that begins anew at its end, for instance [25, 50]",
            "ours; released code: 25, 50 (CREMA-D), 2, 30 (Sarcasm) and others",
        ),
        Setting::new("rho", "0.05", "0 to 100", "radius; with compat there is none", "ours"),
        Setting::new("lambda", "0.3", "0 to 1", "share of the perturbed gradient", "released code"),
        Setting::new("tau", "0.4", "0 to 100", "suppression; 0 changes no gradient", "released code"),
        Setting::new("mixup", "true", "true | false", "mix pairs of samples", "released code"),
        Setting::new("mixup_alpha", "1", "above 0, to 100", "shares come from Beta(alpha, alpha)", "released code"),
        Setting::new(
            "compat",
            "false",
            "true | false",
            "no perturbation, and unmixed labels in its place, as the released code does it",
            "ours; released code: true",
        ),
        Setting::new(
            "covariance",
            "batch_mean",
            "batch_mean | per_sample",
            "inputs of a layer: their batch means, or all",
            "released code",
        ),
    ],
    needs: Needs { unimodal: true, deep_heads: true, ..Needs::NONE },
};

/// Settings of `igm`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Igm {
    /// Who is trained in turn; the network's order by default.
    pub order: Option<Vec<String>>,
    /// Epochs of a stage.
    pub stage_epochs: usize,
    /// Radius.
    pub rho: f64,
    /// Share of the perturbed gradient.
    pub lambda: f64,
    /// Suppression.
    pub tau: f64,
    /// Epochs of each stage in turn; `stage_epochs` each if there are none.
    pub stages: Vec<usize>,
    /// Mix pairs of samples.
    pub mixup: bool,
    /// Of the Beta distribution of shares.
    pub mixup_alpha: f64,
    /// As the released code does it.
    pub compat: bool,
    /// Which inputs enter the covariance.
    pub covariance: Covariance,
}

impl Default for Igm {
    fn default() -> Self {
        let (stage_epochs, stages, covariance) = (1, vec![], Covariance::BatchMean);
        let (rho, lambda, tau, mixup, mixup_alpha, compat) = (0.05, 0.3, 0.4, true, 1., false);
        Self { order: None, stage_epochs, stages, rho, lambda, tau, mixup, mixup_alpha, compat, covariance }
    }
}

impl Settings for Igm {
    fn check(&self) -> Result<()> {
        within("stage_epochs", self.stage_epochs as f64, 1., f64::MAX)?;
        self.stages.iter().try_for_each(|length| within("stages", *length as f64, 1., f64::MAX))?;
        within("mixup_alpha", self.mixup_alpha, f64::MIN_POSITIVE, 100.)?;
        within("rho", self.rho, 0., 100.)?;
        within("lambda", self.lambda, 0., 1.)?;
        within("tau", self.tau, 0., 100.)
    }
    fn build(self, net: &NetSpec) -> Result<Built> {
        let order = order("order", self.order.as_deref(), net)?;
        Ok(Built::grads(Turns { settings: self, order, matrices: vec![] }))
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
