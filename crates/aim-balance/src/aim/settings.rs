//! AIM's settings, presets and ablations.

use aim_core::{NetSpec, Result};
use serde::{Deserialize, Serialize};

use super::Aim;
use crate::card::{About, Needs, Setting, Settings, within};
use crate::stack::Built;

/// Card of AIM.
pub static ABOUT: About = About {
    name: "aim",
    title: "AIM (reconstruction)",
    idea: "let joint training rely on blocks reduced to what a modality has not yet learned, as strongly as the imbalance at each depth asks for",
    paper: "Shen, Chen & Zhang 2025 (arXiv 2508.19769); reconstruction, equations not public in full",
    cost: "step with every modality degraded: 2 forward passes of each encoder, M + 1 of the fusion, 2 backward passes \
    that go through each encoder 3 times; every `refresh` epochs `dap_steps` forward and backward passes of one sample \
    a class",
    departs: &[
        "Measure of imbalance, strength, size and saliency of auxiliary blocks, passes and all numbers are ours, \
        because the paper's equations were not readable; each is a setting.",
        "Scopes stand for what the abstracts say: `each` for version 3, `dominant` for versions 1 and 2.",
        "Encoders of different depth are compared at the same relative depth, which the paper leaves open as far as \
        readable.",
        "Norm layers are shared and auxiliary passes use the batch's statistics, which the paper leaves open as far as \
        readable.",
    ],
    settings: &[
        Setting::new(
            "scope",
            "each",
            "each | dominant",
            "preset: version 3 | versions 1 and 2",
            "ours: the version described last",
        ),
        Setting::new("alpha", "3", "0 to 100", "how fast strength grows with imbalance", "ours"),
        Setting::new(
            "gamma",
            "1 (dominant: 2)",
            "0 to 100",
            "how fast the auxiliary block shrinks with imbalance",
            "ours",
        ),
        Setting::new("k_0", "0.1 (dominant: 1)", "0 to 1", "share of units kept at balance", "ours"),
        Setting::new("k_min", "0.02", "0 to 1", "smallest share of units kept", "ours"),
        Setting::new("lambda_min", "1 (dominant: 0)", "0 to 1", "smallest strength", "ours"),
        Setting::new("beta", "1", "0 to 100", "weight of the auxiliary losses; 0 is joint training", "ours"),
        Setting::new("tau", "10", "above 0", "sharpness of the prototype classifier", "ours"),
        Setting::new("ema", "0.9", "0 to 1", "share of the old imbalance in its moving average", "ours"),
        Setting::new(
            "passes",
            "separate (dominant: joint)",
            "separate | joint | one",
            "an auxiliary pass a modality, one for all, or one random modality a step",
            "ours",
        ),
        Setting::new("warmup", "1", "epochs", "T0: joint training before the first prototypes", "ours"),
        Setting::new("refresh", "3", "1 or more epochs", "R: epochs between prototypes", "ours"),
        Setting::new("dap_steps", "60", "1 or more", "S: Adam steps that make the prototypes", "ours"),
        Setting::new("dap_lr", "0.05", "above 0", "their learning rate", "ours"),
        Setting::new("saliency_every", "1", "1 or more steps", "r: steps between saliency updates", "ours"),
        Setting::new("aux_fraction", "1", "above 0, to 1", "share of the batch in auxiliary passes", "ours"),
        Setting::new(
            "prototypes",
            "dap",
            "dap | class-mean",
            "learnt inputs or class means of training activations",
            "paper",
        ),
        Setting::new(
            "criterion",
            "taylor-low",
            "taylor-low | grad-high | random",
            "which units count as under-optimized",
            "ours",
        ),
        Setting::new("granularity", "unit", "unit | element", "whole output units or single weights", "ours"),
        Setting::new(
            "strength",
            "adaptive",
            "adaptive | constant",
            "constant: strength 1 wherever a modality is degraded",
            "ours",
        ),
        Setting::new("keep", "adaptive", "adaptive | constant", "constant: always k_0", "ours"),
        Setting::new("depths", "all", "all | last | first", "depths that are modulated", "ours"),
        Setting::new(
            "reliance",
            "dual",
            "dual | mix | switch",
            "plain and auxiliary loss; a random half of the samples auxiliary; auxiliary alone",
            "ours",
        ),
    ],
    needs: Needs::NONE,
};

macro_rules! choice {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum $name { $($(#[$vdoc])* $variant),+ }
    };
}

choice!(/// Which modalities are degraded.
Scope { /// Every modality (version 3).
    #[default] Each, /// Modalities that lead at some depth (versions 1 and 2).
    Dominant });
choice!(/// How auxiliary passes are arranged.
Passes { /// One a degraded modality, the others plain.
    #[default] Separate, /// One with every degraded modality.
    Joint, /// One random degraded modality a step.
    One });
choice!(/// Where prototypes come from.
Prototypes { /// Inputs learnt under the frozen network.
    #[default] Dap, /// Means of each class's training activations.
    ClassMean });
choice!(/// Which units count as under-optimized.
Criterion { /// Lowest first-order effect on the prototype loss.
    #[default] TaylorLow, /// Highest gradient of the prototype loss.
    GradHigh, /// Random units.
    Random });
choice!(/// What is kept or taken away.
Granularity { /// Output units.
    #[default] Unit, /// Single weights.
    Element });
choice!(/// Whether a quantity follows the imbalance.
Mode { /// Follows it.
    #[default] Adaptive, /// Does not.
    Constant });
choice!(/// Depths that are modulated.
Depths { /// Every depth.
    #[default] All, /// The deepest alone.
    Last, /// The shallowest alone.
    First });
choice!(/// What the loss relies on.
Reliance { /// Plain and auxiliary passes.
    #[default] Dual, /// A random half of the samples sees auxiliary features.
    Mix, /// Auxiliary passes alone.
    Switch });

/// Settings of `aim`. Those left out take the preset of the scope.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[allow(missing_docs, reason = "the card above describes each setting; a second list would drift from it")]
pub struct AimSettings {
    pub scope: Scope,
    pub alpha: f64,
    pub gamma: Option<f64>,
    pub k_0: Option<f64>,
    pub k_min: f64,
    pub lambda_min: Option<f64>,
    pub beta: f64,
    pub tau: f64,
    pub ema: f64,
    pub passes: Option<Passes>,
    pub warmup: usize,
    pub refresh: usize,
    pub dap_steps: usize,
    pub dap_lr: f64,
    pub saliency_every: usize,
    pub aux_fraction: f64,
    pub prototypes: Prototypes,
    pub criterion: Criterion,
    pub granularity: Granularity,
    pub strength: Mode,
    pub keep: Mode,
    pub depths: Depths,
    pub reliance: Reliance,
}

impl Default for AimSettings {
    fn default() -> Self {
        Self {
            scope: Scope::Each,
            alpha: 3.,
            gamma: None,
            k_0: None,
            k_min: 0.02,
            lambda_min: None,
            beta: 1.,
            tau: 10.,
            ema: 0.9,
            passes: None,
            warmup: 1,
            refresh: 3,
            dap_steps: 60,
            dap_lr: 0.05,
            saliency_every: 1,
            aux_fraction: 1.,
            prototypes: Prototypes::Dap,
            criterion: Criterion::TaylorLow,
            granularity: Granularity::Unit,
            strength: Mode::Adaptive,
            keep: Mode::Adaptive,
            depths: Depths::All,
            reliance: Reliance::Dual,
        }
    }
}

/// The numbers that turn imbalance into modulation, with the scope's preset filled in.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    pub(super) alpha: f64,
    pub(super) gamma: f64,
    pub(super) k_0: f64,
    pub(super) k_min: f64,
    pub(super) lambda_min: f64,
    pub(super) passes: Passes,
    pub(super) strength: Mode,
    pub(super) keep: Mode,
    pub(super) depths: Depths,
}

impl AimSettings {
    /// The settings with the scope's preset filled in.
    pub fn rule(&self) -> Rule {
        let (gamma, k_0, lambda_min, passes) = match self.scope {
            Scope::Each => (1., 0.1, 1., Passes::Separate),
            Scope::Dominant => (2., 1., 0., Passes::Joint),
        };
        Rule {
            alpha: self.alpha,
            gamma: self.gamma.unwrap_or(gamma),
            k_0: self.k_0.unwrap_or(k_0),
            k_min: self.k_min,
            lambda_min: self.lambda_min.unwrap_or(lambda_min),
            passes: self.passes.unwrap_or(passes),
            strength: self.strength,
            keep: self.keep,
            depths: self.depths,
        }
    }
}

impl Settings for AimSettings {
    fn check(&self) -> Result<()> {
        let rule = self.rule();
        within("alpha", rule.alpha, 0., 100.)?;
        within("gamma", rule.gamma, 0., 100.)?;
        within("beta", self.beta, 0., 100.)?;
        within("k_0", rule.k_0, 0., 1.)?;
        within("k_min", rule.k_min, 0., 1.)?;
        within("lambda_min", rule.lambda_min, 0., 1.)?;
        within("ema", self.ema, 0., 1.)?;
        within("tau", self.tau, f64::MIN_POSITIVE, f64::MAX)?;
        within("dap_lr", self.dap_lr, f64::MIN_POSITIVE, f64::MAX)?;
        within("aux_fraction", self.aux_fraction, f64::MIN_POSITIVE, 1.)?;
        within("refresh", self.refresh as f64, 1., f64::MAX)?;
        within("dap_steps", self.dap_steps as f64, 1., f64::MAX)?;
        within("saliency_every", self.saliency_every as f64, 1., f64::MAX)
    }

    fn build(self, net: &NetSpec) -> Result<Built> {
        Ok(Built::grads(Aim::new(self, net)))
    }
}
