//! Weak-to-strong alternation with a memory: a reconstruction of "Modality Equilibrium Matters" (Shi et al. 2025, arXiv
//! 2506.00030) after its abstract and a digest of its formulas.
//!
//! ```text
//! for m at place k of the order: CE(logits after reading the first k) -> encoder m, gates and head; one optimizer step
//! before every epoch but the first:  V(S) = validation accuracy with the features outside of S set to zero
//!   psi = shares of the Shapley values of V;  order: smallest psi first;  EDM = sum_m |1/M - psi_m|
//! ```
//! The fusion `memory` holds gates, order and the memory that an epoch hands to the next; inference reads in the order
//! of the last epoch and answers as after the last modality. Features are encoded once a step; when a modality is
//! learnt, those of the others are constants. The gates learn through the whole chain of hand-overs.

mod order;

use aim_config::{by_type, settings};
use aim_core::{
    EpochStart, EpochWork, Error, Grads, Method, NetSpec, Norm, ORDER, Output, Params, Pass, Plain, Report, Result,
    Rng, State, Stateful, Step, View, capability,
};
use aim_stats::shapley::{edm, shapley_values, share_or_clamped};
use candle_core::Tensor;

pub use self::order::Order;
use self::order::{accuracies, ranked};
use crate::{
    Built, MethodInfo, MethodSettings, Provenance, Quantity, Requirements, joint::cross_entropy, util::number,
};

/// Card of [`Equilibrium`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "equilibrium",
    title: "Modality Equilibrium (reconstruction)",
    idea: "train one modality after the other, the weakest first, and hand a memory from each to the next",
    paper: "Shi et al. 2025 (arXiv 2506.00030, v2), from its abstract and a digest",
    cost: "1 forward of the encoders, M of the memory, M backward each through one encoder; 2^M validation sweeps of \
    the fusion an epoch",
    departs: &[
        "A reconstruction: inputs of the gates, losses and what an epoch inherits are inferred, for the paper's text \
        could not be had.",
        "Gradients of the gates are not cut between modalities; the encoders' are.",
        "In evaluation no sample is aligned with another, so that answers do not depend on the batch.",
        "The answer is that after the last modality; choosing between it and the mean on validation is left out.",
    ],
    requires: Requirements { capabilities: &[capability::MEMORY, capability::VIEWS], ..Requirements::SEPARATE },
    provenance: Provenance::Reconstruction,
    reports: &[
        Quantity::modality("share", "", "share of its Shapley value in the validation accuracy"),
        Quantity::step("edm", "", "imbalance of the shares: 0 where all are equal"),
    ],
    revision: 1,
};

settings! {
    /// Settings of `equilibrium`.
    pub struct Equilibrium {
        /// Modality that is read and trained first: the weakest | the strongest | drawn each epoch | the network's.
        pub order: Order = Order::WeakFirst => by_type(), "paper";
    }
}

impl MethodSettings for Equilibrium {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn build(&self, net: &NetSpec) -> Result<Built> {
        let order = (0..net.modalities.len()).collect();
        Ok(Built::Method(Box::new(Alternating { rule: self.order, order, shares: vec![] })))
    }
}

struct Alternating {
    rule: Order,
    order: Vec<usize>,
    /// Shares of the Shapley values that the order is made of; empty where it is the network's.
    shares: Vec<f64>,
}

impl Plain for Alternating {}

impl Method for Alternating {
    fn step(&mut self, cx: &mut Step<'_>) -> Result<Report> {
        let (mut report, names) = (Report::default(), &cx.net.spec().modalities);
        self.tell(names, &mut report)?;
        let mut pass = Pass::train(cx.draws());
        let encode = |(m, x)| cx.net.encode(m, x, &mut pass);
        let features = cx.batch.inputs.iter().enumerate().map(encode).collect::<Result<Vec<_>>>()?;
        let mut total = 0.;
        for (place, &m) in self.order.iter().enumerate() {
            let out = self.read(cx, &features, place)?;
            let loss = cross_entropy(&out.logits, cx.batch)?;
            cx.descend(&Grads::of(&loss, cx.net.params())?)?;
            report.note(format!("loss.{}", names[m]), &loss);
            report.note(format!("unimodal.{}", names[m]), &out.unimodal[m]);
            report.note("logits", &out.logits);
            total += number(&loss)?;
        }
        report.scalar("loss", total)?;
        Ok(report)
    }
}

impl Alternating {
    /// Reads the order up to a place; only the feature of the modality there has a gradient.
    fn read(&self, cx: &Step<'_>, features: &[Tensor], place: usize) -> Result<Output> {
        let alone = |(m, x): (usize, &Tensor)| if m == self.order[place] { x.clone() } else { x.detach() };
        let features: Vec<Tensor> = features.iter().enumerate().map(alone).collect();
        let view = View::from([(ORDER.into(), indices(&self.order[..=place], &features[0])?)]);
        // What is read to the end counts for the memory that the next batches start from.
        let norm = if place + 1 == self.order.len() { Norm::Update } else { Norm::Batch };
        cx.net.fuse(features, cx.batch.present.as_ref(), &mut Pass::train(cx.draws()).view(&view).norm(norm))
    }

    fn tell(&self, names: &[String], report: &mut Report) -> Result<()> {
        if self.shares.is_empty() {
            return Ok(());
        }
        names.iter().zip(&self.shares).try_for_each(|(name, share)| report.scalar(format!("share.{name}"), *share))?;
        report.scalar("edm", edm(&self.shares).map_err(statistics)?)
    }
}

fn indices(order: &[usize], like: &Tensor) -> Result<Tensor> {
    Ok(Tensor::new(order.iter().map(|m| *m as u32).collect::<Vec<_>>(), like.device())?)
}

fn statistics(error: aim_stats::Error) -> Error {
    Error::invalid("validation accuracies", error.to_string(), "check the validation split")
}

/// Makes an order the network's own.
fn publish(order: &[usize], params: &Params) -> Result<()> {
    let missing = || Error::invalid("model.fusion", "reads no order", "set model.fusion: {memory: {hidden: 64}}");
    let held = params.buffer(ORDER).ok_or_else(missing)?;
    Ok(held.set(&indices(order, held.as_tensor())?)?)
}

impl EpochWork for Alternating {
    fn before_epoch(&mut self, cx: &mut EpochStart<'_>) -> Result<()> {
        if cx.clock.epoch > 0 {
            let values = shapley_values(&accuracies(cx)?).map_err(statistics)?;
            self.shares = share_or_clamped(&values).map_err(statistics)?;
            // By the values: shares that are cut off must not make an order of their own.
            self.order =
                ranked(&values, self.rule, &mut Rng::keyed(cx.seed, &format!("equilibrium@{}", cx.clock.epoch)));
        }
        publish(&self.order, cx.net.params())
    }
}

impl Stateful for Alternating {
    fn state(&self) -> Result<State> {
        let mut state = State::default();
        state.put("order", &self.order.iter().map(|m| *m as f64).collect::<Vec<_>>())?;
        if !self.shares.is_empty() {
            state.put("shares", &self.shares)?;
        }
        Ok(state)
    }
    fn load(&mut self, state: &State) -> Result<()> {
        self.order = state.numbers("order")?.into_iter().map(|m| m as usize).collect();
        self.shares = state.0.get("shares").map_or(Ok(vec![]), |_| state.numbers("shares"))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_shares_survive_saving() {
        let mut first = Alternating { rule: Order::WeakFirst, order: vec![2, 0, 1], shares: vec![0.3, 0.5, 0.2] };
        let mut second = Alternating { rule: Order::WeakFirst, order: vec![0, 1, 2], shares: vec![] };
        second.load(&first.state().unwrap()).unwrap();
        assert_eq!((&second.order, &second.shares), (&first.order, &first.shares));
        first.shares.clear();
        second.load(&first.state().unwrap()).unwrap();
        assert!(second.shares.is_empty());
    }
}
