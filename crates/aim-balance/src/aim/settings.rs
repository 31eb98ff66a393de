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
    cost: "",
    departs: &[],
    settings: &[
        Setting {
            name: "scope",
            default: "each",
            range: "each | dominant",
            meaning: "preset: version 3 | versions 1 and 2",
        },
        Setting { name: "alpha", default: "3", range: "0 to 100", meaning: "how fast strength grows with imbalance" },
        Setting {
            name: "gamma",
            default: "1 (dominant: 2)",
            range: "0 to 100",
            meaning: "how fast the auxiliary block shrinks with imbalance",
        },
        Setting {
            name: "k_0",
            default: "0.1 (dominant: 1)",
            range: "0 to 1",
            meaning: "share of units kept at balance",
        },
        Setting { name: "k_min", default: "0.02", range: "0 to 1", meaning: "smallest share of units kept" },
        Setting { name: "lambda_min", default: "1 (dominant: 0)", range: "0 to 1", meaning: "smallest strength" },
        Setting {
            name: "beta",
            default: "1",
            range: "0 to 100",
            meaning: "weight of the auxiliary losses; 0 is joint training",
        },
        Setting { name: "tau", default: "10", range: "above 0", meaning: "sharpness of the prototype classifier" },
        Setting {
            name: "ema",
            default: "0.9",
            range: "0 to 1",
            meaning: "share of the old imbalance in its moving average",
        },
        Setting {
            name: "passes",
            default: "separate (dominant: joint)",
            range: "separate | joint | one",
            meaning: "an auxiliary pass a modality, one for all, or one random modality a step",
        },
        Setting {
            name: "warmup",
            default: "1",
            range: "epochs",
            meaning: "T0: joint training before the first prototypes",
        },
        Setting { name: "refresh", default: "3", range: "1 or more epochs", meaning: "R: epochs between prototypes" },
        Setting {
            name: "dap_steps",
            default: "60",
            range: "1 or more",
            meaning: "S: Adam steps that make the prototypes",
        },
        Setting { name: "dap_lr", default: "0.05", range: "above 0", meaning: "their learning rate" },
        Setting {
            name: "saliency_every",
            default: "1",
            range: "1 or more steps",
            meaning: "r: steps between saliency updates",
        },
        Setting {
            name: "aux_fraction",
            default: "1",
            range: "above 0, to 1",
            meaning: "share of the batch in auxiliary passes",
        },
        Setting {
            name: "prototypes",
            default: "dap",
            range: "dap | class-mean",
            meaning: "learnt inputs or class means of training activations",
        },
        Setting {
            name: "criterion",
            default: "taylor-low",
            range: "taylor-low | grad-high | random",
            meaning: "which units count as under-optimized",
        },
        Setting {
            name: "granularity",
            default: "unit",
            range: "unit | element",
            meaning: "whole output units or single weights",
        },
        Setting {
            name: "strength",
            default: "adaptive",
            range: "adaptive | constant",
            meaning: "constant: strength 1 wherever a modality is degraded",
        },
        Setting { name: "keep", default: "adaptive", range: "adaptive | constant", meaning: "constant: always k_0" },
        Setting { name: "depths", default: "all", range: "all | last | first", meaning: "depths that are modulated" },
        Setting {
            name: "reliance",
            default: "dual",
            range: "dual | mix | switch",
            meaning: "plain and auxiliary loss; a random half of the samples auxiliary; auxiliary alone",
        },
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
    pub alpha: Option<f64>,
    pub gamma: Option<f64>,
    pub k_0: Option<f64>,
    pub k_min: Option<f64>,
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
            alpha: None,
            gamma: None,
            k_0: None,
            k_min: None,
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
            alpha: self.alpha.unwrap_or(3.),
            gamma: self.gamma.unwrap_or(gamma),
            k_0: self.k_0.unwrap_or(k_0),
            k_min: self.k_min.unwrap_or(0.02),
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
