//! TCMax (ICLR 2026, arXiv 2602.13015): the classifier's logits tell true combinations of features and label from all
//! recombinations within the batch, which bounds the total correlation of modalities and label.
//!
//! ```text
//! L = - mean over i of f(phi_1[i], .., phi_M[i])[y_i]
//!     + log mean over samples j_1 .. j_M and classes c of exp f(phi_1[j_1], .., phi_M[j_M])[c]
//! ```
//! Everything has a gradient. Where heads are linear in each modality the mean over all B^M combinations factorises:
//! `logsumexp_c of (f(0)[c] + sum over m of logsumexp_j z_m[j, c])`, z_m the modality's own part of the logits. Other
//! fusions run on every combination. `negatives` draws that many combinations instead, with replacement. The true ones
//! are among the combinations, and a batch of one sample is joint training plus a constant.

use aim_config::{at_least, settings};
use aim_core::{Error, Idle, Loss, NetSpec, Norm, Objective, Pass, Report, Result, Seen, Stateless, capability};
use candle_core::{DType, Tensor};

use crate::{Built, MethodInfo, MethodSettings, Provenance, Requirements, util::log_sum_exp};

/// Largest number of combinations that the fusion runs on in a step: what film or gates need for a batch of 256.
const MOST: usize = 1 << 16;

/// Card of [`TcMax`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "tcmax",
    title: "TCMax",
    idea: "tell true combinations of modalities and label from recombinations within the batch",
    paper: "ICLR 2026 (arXiv 2602.13015)",
    cost: "1 forward and 1 backward pass; heads that are not linear run on batch^M combinations of features",
    departs: &[
        "Sums of exponentials are taken with their largest term outside; the released code overflows once logits \
        differ by 88.",
        "The loss has the whole constant of the mean, so that it is 0 for logits that say nothing; the released one has \
        a part of it, and it does not train.",
        "Any number of modalities is recombined, because the formula extends; the released code has two.",
        "With `shared` the training logits are the mean of the modalities', as at test; the released shared head sums \
        in training and halves at test.",
        "The released code trains sets of pictures and text by the marginals of the combinations instead, which is not \
        TCMax and not offered.",
    ],
    requires: Requirements::NONE,
    provenance: Provenance::Faithful,
    reports: &[],
    revision: 1,
};

settings! {
    /// Settings of `tcmax`.
    pub struct TcMax {
        /// Combinations that are drawn in each step.
        pub negatives: Option<usize> = None => at_least(1).unit("combinations").shown("all"), "released code";
    }
}

impl MethodSettings for TcMax {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn build(&self, _: &NetSpec) -> Result<Built> {
        Ok(Built::objective(self.clone()))
    }
}

impl Stateless for TcMax {}
impl Idle for TcMax {}

impl Objective for TcMax {
    fn losses(&mut self, seen: &Seen<'_>, _: &mut Report) -> Result<Vec<Loss>> {
        let truth = seen.out.logits.gather(&seen.batch.labels.unsqueeze(1)?, 1)?.mean_all()?.neg()?;
        let linear = seen.net.spec().capabilities.has(capability::LINEAR_HEADS);
        let normaliser = match self.negatives {
            None if linear => of_parts(&parts(seen)?)?,
            None => of_logits(&combined(&every(seen)?, seen)?)?,
            Some(n) => of_logits(&combined(&self.drawn(n, seen)?, seen)?)?,
        };
        Ok(vec![Loss::new("loss.truth", truth), Loss::new("loss.normaliser", normaliser)])
    }
}

/// Logarithm of the mean exponential of all logits.
fn of_logits(logits: &Tensor) -> Result<Tensor> {
    Ok((log_sum_exp(&logits.flatten_all()?, 0)? - (logits.elem_count() as f64).ln())?)
}

/// The same over all combinations of samples, of what no modality and each modality adds to the logits.
fn of_parts((nothing, parts): &(Tensor, Vec<Tensor>)) -> Result<Tensor> {
    let mut sum = nothing.clone();
    for part in parts {
        let constant = (part.dim(0)? as f64).ln();
        sum = (sum + (log_sum_exp(part, 0)?.unsqueeze(0)? - constant)?)?;
    }
    of_logits(&sum)
}

/// Logits of the network's fusion on features of any samples.
fn fused(features: Vec<Tensor>, seen: &Seen<'_>) -> Result<Tensor> {
    Ok(seen.net.fuse(features, None, &mut Pass::train(seen.draws).norm(Norm::Batch))?.logits)
}

/// Logits `[1, C]` without any feature, and what each modality adds to them, `[B, C]`.
fn parts(seen: &Seen<'_>) -> Result<(Tensor, Vec<Tensor>)> {
    let features = &seen.out.features;
    let blank = features.iter().map(Tensor::zeros_like).collect::<candle_core::Result<Vec<_>>>()?;
    let first = blank.iter().map(|x| x.narrow(0, 0, 1)).collect::<candle_core::Result<_>>()?;
    let nothing = fused(first, seen)?;
    let part = |m: usize| {
        let alone = (0..blank.len()).map(|j| if j == m { &features[j] } else { &blank[j] }.clone()).collect();
        Ok(fused(alone, seen)?.broadcast_sub(&nothing)?)
    };
    let parts = (0..features.len()).map(part).collect::<Result<_>>()?;
    Ok((nothing, parts))
}

/// The sample of each modality in every combination.
fn every(seen: &Seen<'_>) -> Result<Vec<Tensor>> {
    let (samples, modalities) = (seen.batch.len(), seen.out.features.len());
    let power = |m: usize| u32::try_from(m).ok().and_then(|m| samples.checked_pow(m));
    let Some(all) = power(modalities).filter(|all| *all <= MOST) else {
        let problem = format!("stands for {samples}^{modalities} combinations, more than {MOST}");
        return Err(Error::invalid("method.negatives", problem, "give their number, such as 1024"));
    };
    let of = |m: usize| {
        let runs = power(modalities - 1 - m).unwrap_or(1);
        let index: Vec<u32> = (0..all).map(|k| (k / runs % samples) as u32).collect();
        Ok(Tensor::new(index, seen.batch.labels.device())?)
    };
    (0..modalities).map(of).collect()
}

impl TcMax {
    /// The sample of each modality in n drawn combinations.
    fn drawn(&self, n: usize, seen: &Seen<'_>) -> Result<Vec<Tensor>> {
        let (names, samples) = (&seen.net.spec().modalities, seen.batch.len());
        let of = |name: &String| {
            let key = format!("negative.{name}");
            if let Some(given) = seen.batch.given.get(&key) {
                return Ok(given.to_dtype(DType::U32)?);
            }
            let mut rng = seen.draws.rng(&format!("tcmax.{key}"));
            let index: Vec<u32> = (0..n).map(|_| rng.below(samples) as u32).collect();
            Ok(Tensor::new(index, seen.batch.labels.device())?)
        };
        names.iter().map(of).collect()
    }
}

/// Logits of combinations of samples, one index a modality.
fn combined(index: &[Tensor], seen: &Seen<'_>) -> Result<Tensor> {
    let pick = |(x, rows): (&Tensor, &Tensor)| Ok(x.index_select(rows, 0)?);
    fused(seen.out.features.iter().zip(index).map(pick).collect::<Result<_>>()?, seen)
}
