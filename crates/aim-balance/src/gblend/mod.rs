//! G-Blend: Gradient Blending (Wang et al., CVPR 2020, arXiv 1905.12681): branches are weighted by how much they
//! generalise against how much they overfit.
//!
//! ```text
//! L = sum of w_k CE_k,   k: each modality's own head, and the fused one
//! dG_k = V_k(before) - V_k(after),  O_k = V_k - T_k,  dO_k = O_k(after) - O_k(before)  V, T: validation, training loss
//! w_k  = max(dG_k, 0) / max(dO_k^2, 1e-8), normalised to sum 1; uniform if all are 0
//! ```
//! Weights are given, or estimated. Offline: each k is trained alone before the run, from scratch and as long as the
//! run, and compared with the untrained network. Online: before every super-epoch a copy of the current network is
//! trained for each k on loss k alone, its losses are measured before and after, and everything is put back.

mod estimate;

use std::collections::BTreeMap;

use aim_config::{at_least, between, by_type, choice, settings};
use aim_core::{
    EpochStart, EpochWork, Error, Loss, NetSpec, Objective, Preparation, Report, Result, Seen, State, Stateful,
    capability,
};

pub use self::estimate::{Estimate, LEAST, Losses, estimate};
use crate::{
    Built, MethodInfo, MethodSettings, Provenance, Quantity, Requirements,
    card::{known, only_with},
    joint::cross_entropy,
    requirements::separate_with,
};

/// Card of [`GBlend`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "gblend",
    title: "G-Blend",
    idea: "weight the fused and unimodal losses by generalisation against overfitting",
    paper: "Wang et al., CVPR 2020 (arXiv 1905.12681)",
    cost: "step: 1 forward and 1 backward pass; online: M + 1 times as much again, and M + 2 evaluations of both \
    splits a super-epoch; offline: each modality alone and the joint network trained before",
    departs: &[
        "The formula is read from BalanceBenchmark and reports, because the official code was not available.",
        "Losses are means measured with fixed weights before and after; BalanceBenchmark sums them while it trains, so \
        that splits of different size mix.",
        "A loss that gets worse weighs 0, small denominators are floored, and all weights are equal if none is left, \
        because the ratio means nothing there.",
        "Offline, the networks trained before are measured at the epoch that `train.select` chooses, and compared with \
        the run's own untrained branches.",
    ],
    requires: Requirements::UNI_HEADS,
    provenance: Provenance::Faithful,
    reports: &[Quantity::part("weight", "", "weight of the loss of `fused` and of each modality")],
    revision: 1,
};

choice! {
    /// Estimate of the weights.
    pub enum Mode {
        /// From copies of the network, trained during the run.
        Online = "online",
        /// From networks that are trained before the run.
        Offline = "offline",
    }
}

settings! {
    /// Settings of `gblend`.
    pub struct GBlend {
        /// Fixed weights in place of an estimate: one for each modality and one for `fused`.
        pub weights: Option<BTreeMap<String, f64>> = None => between(0., 100.).shown("estimated"), "ours";
        /// Time of the estimate, if weights are not given: during the run | before it.
        pub estimate: Mode = Mode::Online => by_type(), "third party (BalanceBenchmark)";
        /// Epochs between online estimates.
        pub super_epoch: usize = 10 => at_least(1), "third party (BalanceBenchmark)";
    }
}

impl MethodSettings for GBlend {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn build(&self, net: &NetSpec) -> Result<Built> {
        let branches: Vec<&str> = net.modalities.iter().map(String::as_str).chain(["fused"]).collect();
        let weights = match &self.weights {
            None => vec![1. / branches.len() as f64; branches.len()],
            Some(given) => {
                known("weights", given.keys().filter(|name| *name != "fused"), net)?;
                let missing =
                    |k: &str| Error::invalid(format!("method.weights.{k}"), "is missing", "give every branch");
                branches.iter().map(|k| given.get(*k).copied().ok_or_else(|| missing(k))).collect::<Result<_>>()?
            }
        };
        if self.weights.is_none() && self.estimate == Mode::Offline {
            only_with("estimate", capability::VIEWS, net)?;
            separate_with("estimate", &net.capabilities)?;
        }
        let estimate = self.weights.is_none().then_some(self.estimate);
        Ok(Built::objective(Blended { estimate, super_epoch: self.super_epoch, weights }))
    }
    fn prepares(&self, modalities: &[String]) -> Vec<Preparation> {
        if self.weights.is_some() || self.estimate == Mode::Online {
            return Vec::new();
        }
        Preparation::each(modalities).into_iter().chain([Preparation::Joint]).collect()
    }
}

struct Blended {
    /// None for fixed weights.
    estimate: Option<Mode>,
    /// Epochs between online estimates.
    super_epoch: usize,
    /// Modalities in order, fused last.
    weights: Vec<f64>,
}

impl Objective for Blended {
    fn losses(&mut self, seen: &Seen<'_>, report: &mut Report) -> Result<Vec<Loss>> {
        let names = seen.net.spec().modalities.iter().map(String::as_str).chain(["fused"]);
        let logits = seen.out.unimodal.iter().chain([&seen.out.logits]);
        let mut losses = Vec::new();
        for ((name, logits), weight) in names.zip(logits).zip(&self.weights) {
            report.scalar(format!("weight.{name}"), *weight)?;
            losses.push(Loss::new(format!("loss.{name}"), cross_entropy(logits, seen.batch)?).always_times(*weight));
        }
        Ok(losses)
    }
}

impl EpochWork for Blended {
    fn before_epoch(&mut self, cx: &mut EpochStart<'_>) -> Result<()> {
        let (epoch, every) = (cx.clock.epoch, self.super_epoch);
        let estimate = match self.estimate {
            Some(Mode::Online) if epoch.is_multiple_of(every) => {
                estimate::online(cx, every.min(cx.clock.epochs - epoch))?
            }
            Some(Mode::Offline) if epoch == 0 => estimate::offline(cx)?,
            _ => return Ok(()),
        };
        self.weights = estimate.weights;
        Ok(())
    }
}

impl Stateful for Blended {
    fn state(&self) -> Result<State> {
        let mut state = State::default();
        state.put("weights", &self.weights)?;
        Ok(state)
    }
    fn load(&mut self, state: &State) -> Result<()> {
        self.weights = state.numbers("weights")?;
        Ok(())
    }
}
