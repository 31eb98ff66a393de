//! G-Blend: Gradient Blending (Wang et al., CVPR 2020, arXiv 1905.12681): branches are weighted by how much they generalise
//! against how much they overfit.
//!
//! ```text
//! L = sum of w_k CE_k,   k: each modality's own head, and the fused one
//! dG_k = V_k(before) - V_k(after),  O_k = V_k - T_k,  dO_k = O_k(after) - O_k(before)     V, T: validation, training loss
//! w_k  = max(dG_k, 0) / max(dO_k^2, 1e-8), normalised to sum 1; uniform if all are 0
//! ```
//! Weights are given, or estimated online: before every super-epoch a copy of the current network is trained for each k on
//! loss k alone, its losses are measured before and after, and everything is put back. Mean losses and clamping are ours (the
//! ratio of a branch that gets worse has no meaning as a weight). An estimate trains every branch for `super_epoch` epochs, so
//! that a run costs M + 2 times joint training.

use std::collections::BTreeMap;

use aim_core::{
    Batch, EpochStart, EpochWork, Error, Grads, Loss, NetSpec, Objective, Pass, Report, Result, Seen, Split, State,
    Stateful,
};
use serde::{Deserialize, Serialize};

use crate::card::{About, Needs, Setting, Settings, within};
use crate::joint::cross_entropy;
use crate::stack::Built;
use crate::util::number;

/// Card of [`GBlend`].
pub static ABOUT: About = About {
    name: "gblend",
    title: "G-Blend",
    idea: "weight the fused and unimodal losses by generalisation against overfitting",
    paper: "Wang et al., CVPR 2020 (arXiv 1905.12681)",
    cost: "step: 1 forward and 1 backward pass; run with estimated weights: M + 2 times joint training, and M + 2 \
    evaluations of both splits a super-epoch",
    departs: &[
        "The formula is read from BalanceBenchmark and reports, because the official code was not available.",
        "Losses are means measured with fixed weights before and after; BalanceBenchmark sums them while it trains, so \
        that splits of different size mix.",
        "A loss that gets worse weighs 0, small denominators are floored, and all weights are equal if none is left, \
        because the ratio means nothing there.",
    ],
    settings: &[
        Setting::new(
            "weights",
            "estimated",
            "a weight for each modality and `fused`",
            "fixed weights, for instance of an offline estimate",
            "ours",
        ),
        Setting::new("super_epoch", "10", "1 or more", "epochs between estimates", "third party (BalanceBenchmark)"),
    ],
    needs: Needs { unimodal: true, uni_heads: true, ..Needs::NONE },
};

/// Settings of `gblend`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GBlend {
    /// Fixed weights by modality and `fused`; estimated online by default.
    pub weights: Option<BTreeMap<String, f64>>,
    /// Epochs between estimates.
    pub super_epoch: usize,
}

impl Default for GBlend {
    fn default() -> Self {
        Self { weights: None, super_epoch: 10 }
    }
}

impl Settings for GBlend {
    fn check(&self) -> Result<()> {
        within("super_epoch", self.super_epoch as f64, 1., f64::MAX)?;
        let mut weights = self.weights.iter().flatten();
        weights.try_for_each(|(name, w)| within(&format!("weights.{name}"), *w, 0., 100.))
    }
    fn build(self, net: &NetSpec) -> Result<Built> {
        let branches: Vec<&str> = net.modalities.iter().map(String::as_str).chain(["fused"]).collect();
        let weights = match &self.weights {
            None => vec![1. / branches.len() as f64; branches.len()],
            Some(given) => {
                let missing =
                    |k: &str| Error::invalid(format!("method.weights.{k}"), "is missing", "give every branch");
                branches.iter().map(|k| given.get(*k).copied().ok_or_else(|| missing(k))).collect::<Result<_>>()?
            }
        };
        let every = self.weights.is_none().then_some(self.super_epoch);
        Ok(Built::objective(Blended { every, weights }))
    }
}

struct Blended {
    /// Epochs between estimates; none for fixed weights.
    every: Option<usize>,
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
            losses.push(Loss::new(format!("loss.{name}"), cross_entropy(logits, seen.batch)?).times(*weight));
        }
        Ok(losses)
    }
}

/// What the weights are made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// Gain in validation loss.
    pub gain: Vec<f64>,
    /// Growth of the gap between training and validation.
    pub overfitting: Vec<f64>,
    /// The weights.
    pub weights: Vec<f64>,
}

/// Mean losses of every branch on the training and validation split.
pub type Losses<'a> = (&'a [f64], &'a [f64]);

/// The weights from losses before and after.
pub fn estimate(before: Losses<'_>, after: Losses<'_>) -> Estimate {
    let branches = 0..before.0.len();
    let gain: Vec<f64> = branches.clone().map(|k| before.1[k] - after.1[k]).collect();
    let gap = |losses: Losses<'_>, k: usize| losses.1[k] - losses.0[k];
    let overfitting: Vec<f64> = branches.map(|k| gap(after, k) - gap(before, k)).collect();
    let raw: Vec<f64> = gain.iter().zip(&overfitting).map(|(g, o)| g.max(0.) / (o * o).max(1e-8)).collect();
    let total: f64 = raw.iter().sum();
    let weights = raw.iter().map(|w| if total > 0. { w / total } else { 1. / raw.len() as f64 }).collect();
    Estimate { gain, overfitting, weights }
}

/// Mean losses of every branch on a split.
fn measure(cx: &EpochStart<'_>, split: Split) -> Result<Vec<f64>> {
    let (mut sums, mut count) = (vec![0.; cx.net.modalities() + 1], 0.);
    cx.samples.each(split, &mut |batch| {
        let out = cx.net.forward(batch, &mut Pass::eval())?;
        for (sum, logits) in sums.iter_mut().zip(out.unimodal.iter().chain([&out.logits])) {
            *sum += number(&cross_entropy(&logits.detach(), batch)?)? * batch.len() as f64;
        }
        count += batch.len() as f64;
        Ok(())
    })?;
    Ok(sums.into_iter().map(|sum| sum / count).collect())
}

impl Blended {
    /// Trains the current network on each branch alone and puts it back.
    fn online(&self, cx: &mut EpochStart<'_>, epochs: usize) -> Result<Vec<f64>> {
        let before = (measure(cx, Split::Train)?, measure(cx, Split::Validation)?);
        let (weights, optimizer) = (cx.net.params().snapshot()?, cx.opt.state()?);
        let mut after = before.clone();
        for k in 0..before.0.len() {
            for _ in 0..epochs {
                train(cx, k)?;
            }
            after.0[k] = measure(cx, Split::Train)?[k];
            after.1[k] = measure(cx, Split::Validation)?[k];
            cx.net.params().load(&weights)?;
            cx.opt.load(&optimizer)?;
        }
        Ok(estimate((&before.0, &before.1), (&after.0, &after.1)).weights)
    }
}

/// One epoch on the loss of branch k alone.
fn train(cx: &mut EpochStart<'_>, k: usize) -> Result<()> {
    let draws = aim_core::Draws { seed: cx.seed, epoch: cx.clock.epoch, step: cx.clock.step };
    let (net, opt) = (cx.net, &mut *cx.opt);
    cx.samples.each(Split::Train, &mut |batch: &Batch| {
        let out = net.forward(batch, &mut Pass::train(draws))?;
        let logits = out.unimodal.get(k).unwrap_or(&out.logits);
        opt.apply(net.params(), &Grads::of(&cross_entropy(logits, batch)?, net.params())?)
    })
}

impl EpochWork for Blended {
    fn before_epoch(&mut self, cx: &mut EpochStart<'_>) -> Result<()> {
        if let Some(every) = self.every.filter(|every| cx.clock.epoch.is_multiple_of(*every)) {
            self.weights = self.online(cx, every.min(cx.clock.epochs - cx.clock.epoch))?;
        }
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
