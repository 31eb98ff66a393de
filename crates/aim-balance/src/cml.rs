//! CML: Calibrating Multimodal Learning (Ma et al., ICML 2023, arXiv 2306.01265): confidence must not grow when a
//! modality is taken away.
//!
//! ```text
//! conf(S) = largest class probability with only the modalities of S (the others' features zero, head bias once)
//! L = mean over the sets used of CE(S) + lambda * sum over pairs of mean over the batch of relu(conf(S - m) - conf(S))
//! ```
//! `all` uses every non-empty set and every pair that differs by one modality; `chain` one order of removal, drawn for
//! each epoch unless it is given. `exempt_justified` leaves out samples where the smaller set is right and the larger
//! wrong, as the official code does. The hinge is taken a sample; lambda 0.1 is BalanceBenchmark's.

use aim_config::{between, by_type, choice, settings, words};
use aim_core::{Error, Idle, Loss, NetSpec, Norm, Objective, Pass, Report, Result, Rng, Seen, Stateless};
use candle_core::{D, DType, Tensor};

use crate::{
    Built, MethodInfo, MethodSettings, Provenance, Requirements,
    joint::cross_entropy,
    util::{members, set_name},
};

/// Card of [`Cml`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "cml",
    title: "CML",
    idea: "punish confidence that grows when a modality is taken away",
    paper: "Ma et al., ICML 2023 (arXiv 2306.01265)",
    cost: "1 forward and 1 backward pass of the encoders; M (chain) or 2^M - 1 (all) more passes of the fusion, with \
    gradient",
    departs: &[
        "The penalty is averaged over the batch, so that lambda does not depend on its size; the released code sums \
        it.",
        "Logits of a set come from features at zero and count the head's bias once, because the texts leave that open.",
        "The default of lambda and the order of removal drawn for each epoch are BalanceBenchmark's, because the \
        paper's were not readable.",
    ],
    requires: Requirements::SEPARATE,
    provenance: Provenance::Faithful,
    reports: &[],
    revision: 1,
};

choice! {
    /// Sets of modalities that are used.
    pub enum Mode {
        /// One order of removal.
        Chain = "chain",
        /// Every set.
        All = "all",
    }
}

settings! {
    /// Settings of `cml`.
    pub struct Cml {
        /// Weight of the penalty.
        pub lambda: f64 = 0.1 => between(0., 100.), "third party (BalanceBenchmark)";
        /// Sets of modalities that are used.
        pub mode: Mode = Mode::Chain => by_type(), "released code";
        /// No penalty where the smaller set is right and the larger wrong.
        pub exempt_justified: bool = true => by_type(), "released code";
        /// Order in which a chain removes modalities.
        pub removal_order: Option<Vec<String>> = None => words("modalities").shown("drawn for each epoch"),
            "third party (BalanceBenchmark)";
    }
}

impl MethodSettings for Cml {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn build(&self, net: &NetSpec) -> Result<Built> {
        let mut order = crate::card::order("removal_order", self.removal_order.as_deref(), net)?;
        order.sort_unstable();
        if order.windows(2).any(|pair| pair[0] == pair[1]) {
            let remedy = "name each modality once";
            return Err(Error::invalid("method.removal_order", "names a modality twice", remedy));
        }
        Ok(Built::objective(self.clone()))
    }
}

impl Stateless for Cml {}
impl Idle for Cml {}

/// Sets that get a classification loss and pairs (larger, smaller) that are compared; sets are bits.
struct Plan {
    sets: Vec<usize>,
    pairs: Vec<(usize, usize)>,
}

impl Cml {
    fn plan(&self, seen: &Seen<'_>) -> Plan {
        let names = &seen.net.spec().modalities;
        let all = (1 << names.len()) - 1;
        if self.mode == Mode::All {
            let smaller = |s: usize| (0..names.len()).filter(move |m| s >> m & 1 == 1).map(move |m| (s, s & !(1 << m)));
            let pairs = (1..=all).rev().flat_map(smaller).filter(|(_, t)| *t != 0).collect();
            return Plan { sets: (1..=all).rev().collect(), pairs };
        }
        let index = |name: &String| names.iter().position(|n| n == name);
        let order = match &self.removal_order {
            Some(order) => order.iter().filter_map(index).collect(),
            None => Rng::keyed(seen.draws.seed, &format!("cml@{}", seen.clock.epoch)).permutation(names.len()),
        };
        let mut sets = vec![all];
        for m in order {
            let next = sets.last().map_or(0, |s| s & !(1 << m));
            if next != 0 {
                sets.push(next);
            }
        }
        let pairs = sets.windows(2).map(|w| (w[0], w[1])).collect();
        Plan { sets, pairs }
    }

    fn penalty(&self, large: &Tensor, small: &Tensor, seen: &Seen<'_>) -> Result<Tensor> {
        let confidence = |logits: &Tensor| aim_ops::softmax(logits)?.max(D::Minus1);
        let excess = (confidence(small)? - confidence(large)?)?.relu()?;
        if !self.exempt_justified {
            return Ok(excess.mean_all()?);
        }
        let right = |logits: &Tensor| logits.argmax(D::Minus1)?.eq(&seen.batch.labels)?.to_dtype(DType::F32);
        let justified = (right(small)? * (1. - right(large)?)?)?;
        Ok((excess * (1. - justified)?)?.mean_all()?)
    }
}

impl Objective for Cml {
    fn losses(&mut self, seen: &Seen<'_>, report: &mut Report) -> Result<Vec<Loss>> {
        let names = &seen.net.spec().modalities;
        let plan = self.plan(seen);
        let mut logits = vec![None; 1 << names.len()];
        for &s in &plan.sets {
            let set = members(s, names.len());
            let mut pass = Pass::train(seen.draws).norm(Norm::Batch).subset(&set);
            let out = seen.net.fuse(seen.out.features.clone(), seen.batch.present.as_ref(), &mut pass)?.logits;
            report.note(format!("subset.{}", set_name(s, names)), &out);
            logits[s] = Some(out);
        }
        let losses = plan.sets.iter().filter_map(|s| logits[*s].as_ref()).map(|x| cross_entropy(x, seen.batch));
        let ce = Tensor::stack(&losses.collect::<Result<Vec<_>>>()?, 0)?.mean_all()?;
        let mut rank = ce.zeros_like()?.detach();
        for (large, small) in plan.pairs {
            if let (Some(large), Some(small)) = (&logits[large], &logits[small]) {
                rank = (rank + self.penalty(large, small, seen)?)?;
            }
        }
        Ok(vec![Loss::new("loss.ce", ce), Loss::new("loss.rank", rank).times(self.lambda)])
    }
}
