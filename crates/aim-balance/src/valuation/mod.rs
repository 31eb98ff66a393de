//! Modality valuation (Wei et al., CVPR 2024, arXiv 2309.06255): what a modality contributes to each sample's prediction
//! decides how often the sample is shown once more with that modality alone.
//!
//! ```text
//! v(S)  = |S| if the prediction from the modalities S is right, else 0;  v(nothing) = 0        S: the others zeroed
//! phi_m = Shapley value of m in v, for each training sample, in evaluation before an epoch
//! level: sample    copies of a sample with m alone:  3 if phi_m < -0.1,  2 if < 0.4,  1 if < 1,  else none
//! level: modality  mean phi_m over a random share of the samples;  p = 2/3 alpha f(largest mean - smallest),
//!                  f(x) = x (linear), tanh x (tanh), x^1.5 (power)
//!                  p N random samples with the modality of the smallest mean alone
//! ```
//! Every sample is also shown once, whole. The loss is that of the method it is stacked with, joint training's by default.
//! Values and defaults are those of the official code.

mod copies;

use aim_core::{EpochStart, EpochWork, GradOp, Grads, NetSpec, Report, Result, Rng, Seen, Split, State, Stateful};
use serde::{Deserialize, Serialize};

use self::copies::{by_modality, by_sample, contributions};
use crate::card::{About, Needs, Setting, Settings, within};
use crate::stack::Built;

/// Card of [`Valuation`].
pub static ABOUT: About = About {
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
        "p grows linearly, the released default. That the other released forms bend the difference of the means, before \
        its factors, is inferred.",
    ],
    settings: &[
        Setting::new("level", "sample", "sample | modality", "what is valued", "released code"),
        Setting::new("warmup", "5", "epochs", "epochs without copies", "released code"),
        Setting::new("share", "0.2", "0 to 1", "samples in the mean, at the modality level", "released code"),
        Setting::new("alpha", "1", "0 to 10", "amount of copies, at the modality level; 0 is none", "released code"),
        Setting::new("form", "linear", "linear | tanh | power", "f, at the modality level", "released code"),
    ],
    needs: Needs::NONE,
};

/// What is valued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Each modality of each sample.
    #[default]
    Sample,
    /// Each modality over the data set.
    Modality,
}

/// How the difference between modalities counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// As it is.
    #[default]
    Linear,
    /// Its hyperbolic tangent.
    Tanh,
    /// To the power of 1.5.
    Power,
}

/// Settings of `valuation`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Valuation {
    /// What is valued.
    pub level: Level,
    /// Epochs without copies.
    pub warmup: usize,
    /// Share of the samples in the mean.
    pub share: f64,
    /// Amount of copies at the modality level; 0 is none.
    pub alpha: f64,
    /// How the difference between modalities counts, at the modality level.
    pub form: Form,
}

impl Default for Valuation {
    fn default() -> Self {
        Self { level: Level::Sample, warmup: 5, share: 0.2, alpha: 1., form: Form::Linear }
    }
}

impl Settings for Valuation {
    fn check(&self) -> Result<()> {
        within("share", self.share, 0., 1.)?;
        within("alpha", self.alpha, 0., 10.)
    }
    fn build(self, _: &NetSpec) -> Result<Built> {
        Ok(Built::op(Valued { settings: self, phi: vec![], copies: 0. }))
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
        cx.extra.extend(copies);
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
