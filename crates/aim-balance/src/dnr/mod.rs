//! D&R: Diagnosing & Re-learning (Wei et al., ECCV 2024, arXiv 2407.09705): encoders whose features separate the
//! training split better than the validation split are pulled back towards their start.
//!
//! ```text
//! every `reinit_epochs` epochs, at most `reinit_count` times, for modality m and each of the two splits:
//!   features scaled to [-1, 1] a dimension; k-means with as many clusters as classes
//!   purity = share of samples whose label is the majority label of their cluster
//! w_m = tanh(lambda |purity_train - purity_validation|);   theta <- w_m theta_start + (1 - w_m) theta      encoder m
//! ```
//! Head, running statistics and the optimizer's moments are left alone. Training is joint in between. k-means starts
//! from k-means++ and runs at most 50 rounds, its draws keyed by the run's seed. Defaults: those of the official
//! script.

mod clusters;

use std::{collections::BTreeMap, sync::Arc};

use aim_config::{at_least, between, settings};
use aim_core::{
    EpochStart, EpochWork, Loss, NetSpec, Objective, Pass, Report, Result, Rng, Seen, Split, State, Stateful,
};
use candle_core::Tensor;

use self::clusters::clusters;
pub use self::clusters::{purity, scaled};
use crate::{Built, MethodInfo, MethodSettings, Provenance, Requirements, joint::FusedLoss};

/// Card of [`Dnr`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "dnr",
    title: "D&R",
    idea: "pull encoders that separate training better than validation data back to their start",
    paper: "Wei et al., ECCV 2024 (arXiv 2407.09705)",
    cost: "1 forward and 1 backward pass; a diagnosis: each encoder over training and validation split, and k-means of \
    the features",
    departs: &[
        "k-means is our own, started by k-means++ and ended after 50 rounds, because the released one is a library's \
        with its own draws.",
        "Features of the training split are taken without augmentation; the released code reads them from the training \
        loader.",
    ],
    requires: Requirements::NONE,
    provenance: Provenance::Faithful,
    reports: &[],
    revision: 1,
};

settings! {
    /// Settings of `dnr`.
    pub struct Dnr {
        /// Strength; 0 is joint training.
        pub lambda: f64 = 3. => between(0., 100.), "released code";
        /// Epochs between diagnoses.
        pub reinit_epochs: usize = 20 => at_least(1), "released code";
        /// Diagnoses in a run.
        pub reinit_count: usize = 3 => at_least(0), "released code";
    }
}

impl MethodSettings for Dnr {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn build(&self, _: &NetSpec) -> Result<Built> {
        Ok(Built::objective(Relearning { settings: self.clone(), start: BTreeMap::new() }))
    }
}

struct Relearning {
    settings: Dnr,
    /// Encoder weights before the first step.
    start: BTreeMap<Arc<str>, Tensor>,
}

impl Objective for Relearning {
    fn losses(&mut self, seen: &Seen<'_>, report: &mut Report) -> Result<Vec<Loss>> {
        FusedLoss.losses(seen, report)
    }
}

impl EpochWork for Relearning {
    fn before_epoch(&mut self, cx: &mut EpochStart<'_>) -> Result<()> {
        let Dnr { lambda, reinit_epochs, reinit_count } = self.settings;
        if cx.clock.epoch == 0 {
            let encoders = cx.net.params().iter().filter(|(_, p)| p.role.encoder().is_some());
            self.start = encoders.map(|(k, p)| Ok((k.clone(), p.var.as_tensor().copy()?))).collect::<Result<_>>()?;
        }
        // The official code diagnoses after the epochs whose number divides, so one epoch later than a count from 1.
        let done = cx.clock.epoch.saturating_sub(1);
        if done == 0 || !done.is_multiple_of(reinit_epochs) || done / reinit_epochs > reinit_count || lambda == 0. {
            return Ok(());
        }
        let (train, validation) = (diagnose(cx, Split::Train)?, diagnose(cx, Split::Validation)?);
        for (m, (train, validation)) in train.into_iter().zip(validation).enumerate() {
            let pull = weight(lambda, train - validation);
            for (name, param) in cx.net.params().iter().filter(|(_, p)| p.role.encoder() == Some(m)) {
                if let Some(start) = self.start.get(name) {
                    param.var.set(&pulled(start, &param.var.as_detached_tensor(), pull)?)?;
                }
            }
        }
        Ok(())
    }
}

/// `tanh(lambda |gap|)`: how far an encoder is pulled back.
pub fn weight(lambda: f64, gap: f64) -> f64 {
    (lambda * gap.abs()).tanh()
}

/// `w start + (1 - w) now`.
///
/// # Errors
/// If shapes differ.
pub fn pulled(start: &Tensor, now: &Tensor, w: f64) -> Result<Tensor> {
    Ok(((start * w)? + (now * (1. - w))?)?)
}

/// Purity of the clusters of each modality's features on a split.
fn diagnose(cx: &EpochStart<'_>, split: Split) -> Result<Vec<f64>> {
    let (mut features, mut labels) = (vec![vec![]; cx.net.modalities()], vec![]);
    cx.samples.each(split, &mut |batch| {
        for (own, x) in features.iter_mut().zip(cx.net.features(batch, &mut Pass::eval())?) {
            own.push(x.detach());
        }
        labels.extend(batch.labels.to_vec1::<u32>()?.into_iter().map(|y| y as usize));
        Ok(())
    })?;
    let one = |(m, own): (usize, &Vec<Tensor>)| {
        let points = scaled(&Tensor::cat(own, 0)?)?.to_vec2::<f64>()?;
        let mut rng = Rng::keyed(cx.seed, &format!("dnr.{m}.{split:?}@{}", cx.clock.epoch));
        Ok(purity(&clusters(&points, cx.net.spec().classes, &mut rng), &labels))
    };
    features.iter().enumerate().map(one).collect()
}

impl Stateful for Relearning {
    fn state(&self) -> Result<State> {
        Ok(State(self.start.iter().map(|(k, t)| (format!("start.{k}"), t.clone())).collect()))
    }
    fn load(&mut self, state: &State) -> Result<()> {
        self.start = state.part("start").0.into_iter().map(|(k, t)| (k.into(), t)).collect();
        Ok(())
    }
}
