//! Modality valuation (Wei et al., CVPR 2024, arXiv 2309.06255): what a modality contributes to each sample's
//! prediction decides how often the sample is shown once more with that modality alone.
//!
//! ```text
//! v(S)  = |S| if the prediction from the modalities S is right, else 0;  v(nothing) = 0        S: the others zeroed
//! phi_m = Shapley value of m in v, for each training sample, in evaluation before an epoch
//! level: sample    copies of a sample with m alone:  3 if phi_m < -0.1,  2 if < 0.4,  1 if < 1,  else none
//! level: modality  mean phi_m over a random share of the samples;  p = 2/3 alpha f(largest mean - smallest),
//!                  f(x) = x (linear), tanh x (tanh), x^1.5 (power)
//!                  p N random samples with the modality of the smallest mean alone
//! ```
//! Every sample is also shown once, whole. The loss is that of the method it is stacked with, joint training's by
//! default. Values and defaults are those of the official code.

mod copies;

use aim_config::{at_least, between, by_type, choice, settings};
use aim_core::{EpochStart, EpochWork, GradOp, Grads, NetSpec, Report, Result, Rng, Seen, Split, State, Stateful};

use self::copies::{by_modality, by_sample, contributions};
use crate::{Built, MethodInfo, MethodSettings, Provenance, Quantity, Requirements};

/// Card of [`Valuation`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "valuation",
    title: "modality valuation",
    idea: "show samples again with the modality alone that contributes least to their prediction",
    paper: "Wei et al., CVPR 2024 (arXiv 2309.06255)",
    cost: "a forward and backward for each sample shown, of which an epoch has up to 1 + 3M times as many; \
           before it one evaluation of the training samples with 2^M fusions",
    departs: &[
        "The bins of phi are the released ones for any number of modalities, because they are given for two alone.",
        "With more than two modalities the modality level compares the largest mean with the smallest, because the \
         paper's difference has two sides.",
        "p grows linearly, the released default. That the other released forms bend the difference of the means, \
        before its factors, is inferred.",
    ],
    requires: Requirements::SEPARATE,
    provenance: Provenance::Faithful,
    reports: &[
        Quantity::modality("phi", "", "mean Shapley value over the training samples"),
        Quantity::step("copies", "samples", "samples that the epoch shows again"),
    ],
    revision: 1,
};

choice! {
    /// Object of valuation.
    pub enum Level {
        /// Each modality of each sample.
        Sample = "sample",
        /// Each modality over the data set.
        Modality = "modality",
    }
}

choice! {
    /// Function of the difference between modalities.
    pub enum Form {
        /// As it is.
        Linear = "linear",
        /// Its hyperbolic tangent.
        Tanh = "tanh",
        /// To the power of 1.5.
        Power = "power",
    }
}

settings! {
    /// Settings of `valuation`.
    pub struct Valuation {
        /// Object of valuation: each modality of each sample | over the data set.
        pub level: Level = Level::Sample => by_type(), "released code";
        /// Epochs without copies.
        pub warmup: usize = 5 => at_least(0).unit("epochs"), "released code";
        /// Share of the samples in the mean, at the modality level.
        pub share: f64 = 0.2 => between(0., 1.), "released code";
        /// Amount of copies, at the modality level; 0 is none.
        pub alpha: f64 = 1. => between(0., 10.).main(), "released code";
        /// Function f of the difference between modalities, at the modality level.
        pub form: Form = Form::Linear => by_type(), "released code";
    }
}

impl MethodSettings for Valuation {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn build(&self, _: &NetSpec) -> Result<Built> {
        Ok(Built::op(Valued { settings: self.clone(), phi: vec![], copies: 0. }))
    }
}

struct Valued {
    settings: Valuation,
    /// Mean contribution of each modality at the last valuation.
    phi: Vec<f64>,
    /// Copies that this epoch shows.
    copies: f64,
}

impl EpochWork for Valued {
    fn before_epoch(&mut self, cx: &mut EpochStart<'_>) -> Result<()> {
        if cx.clock.epoch < self.settings.warmup {
            return Ok(());
        }
        let mut phi = vec![vec![]; cx.net.modalities()];
        cx.samples.each(Split::Train, &mut |batch| {
            let parts = contributions(cx.net, batch)?;
            for (all, part) in phi.iter_mut().zip(parts) {
                all.extend(part.to_vec1::<f64>()?);
            }
            Ok(())
        })?;
        let copies = match self.settings.level {
            Level::Sample => by_sample(&phi),
            Level::Modality => {
                let rng = &mut Rng::keyed(cx.seed, &format!("valuation@{}", cx.clock.epoch));
                by_modality(&phi, &self.settings, rng)
            }
        };
        self.phi = phi.iter().map(|own| own.iter().sum::<f64>() / own.len() as f64).collect();
        self.copies = copies.len() as f64;
        cx.plan.extra.extend(copies);
        Ok(())
    }
}

impl GradOp for Valued {
    fn apply(&mut self, _: &mut Grads, seen: &Seen<'_>, report: &mut Report) -> Result<()> {
        for (name, phi) in seen.net.spec().modalities.iter().zip(&self.phi) {
            report.scalar(format!("phi.{name}"), *phi)?;
        }
        report.scalar("copies", self.copies)
    }
}

impl Stateful for Valued {
    fn state(&self) -> Result<State> {
        let mut state = State::default();
        state.put("phi", &self.phi)?;
        state.put("copies", &[self.copies])?;
        Ok(state)
    }
    fn load(&mut self, state: &State) -> Result<()> {
        (self.phi, self.copies) = (state.numbers("phi")?, state.number("copies")?);
        Ok(())
    }
}
