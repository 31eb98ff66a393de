//! AIM's settings, presets and ablations.

use aim_config::{above, above_to, at_least, between, by_type, choice, settings};
use aim_core::{NetSpec, Result, capability};

use super::Aim;
use crate::stack::Built;
use crate::{MethodInfo, MethodSettings, Provenance, Quantity, Requirements};

/// Card of AIM.
pub static ABOUT: MethodInfo = MethodInfo {
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
    requires: Requirements { capabilities: &[capability::VIEWS, capability::SITES], ..Requirements::NONE },
    provenance: Provenance::Reconstruction,
    reports: &[
        Quantity::depth("s", "", "score of the prototype classifier"),
        Quantity::depth("rho", "", "imbalance"),
        Quantity::depth("lambda", "", "strength of the auxiliary block"),
        Quantity::depth("keep", "", "share of units kept"),
    ],
    revision: 1,
};

choice! {
    /// Which modalities are degraded.
    pub enum Scope {
        /// Every modality (version 3).
        Each = "each",
        /// Modalities that lead at some depth (versions 1 and 2).
        Dominant = "dominant",
    }
}

choice! {
    /// How auxiliary passes are arranged.
    pub enum Passes {
        /// One a degraded modality, the others plain.
        Separate = "separate",
        /// One with every degraded modality.
        Joint = "joint",
        /// One random degraded modality a step.
        One = "one",
    }
}

choice! {
    /// Where prototypes come from.
    pub enum Prototypes {
        /// Inputs learnt under the frozen network.
        Dap = "dap",
        /// Means of each class's training activations.
        ClassMean = "class-mean",
    }
}

choice! {
    /// Which units count as under-optimized.
    pub enum Criterion {
        /// Lowest first-order effect on the prototype loss.
        TaylorLow = "taylor-low",
        /// Highest gradient of the prototype loss.
        GradHigh = "grad-high",
        /// Random units.
        Random = "random",
    }
}

choice! {
    /// What is kept or taken away.
    pub enum Granularity {
        /// Output units.
        Unit = "unit",
        /// Single weights.
        Element = "element",
    }
}

choice! {
    /// Whether a quantity follows the imbalance.
    pub enum Mode {
        /// Follows it.
        Adaptive = "adaptive",
        /// Does not.
        Constant = "constant",
    }
}

choice! {
    /// Depths that are modulated.
    pub enum Depths {
        /// Every depth.
        All = "all",
        /// The deepest alone.
        Last = "last",
        /// The shallowest alone.
        First = "first",
    }
}

choice! {
    /// What the loss relies on.
    pub enum Reliance {
        /// Plain and auxiliary passes.
        Dual = "dual",
        /// A random half of the samples sees auxiliary features.
        Mix = "mix",
        /// Auxiliary passes alone.
        Switch = "switch",
    }
}

settings! {
    /// Settings of `aim`. Those left out take the preset of the scope.
    pub struct AimSettings {
        /// Preset: version 3 | versions 1 and 2.
        pub scope: Scope = Scope::Each => by_type(), "ours: the version described last";
        /// How fast strength grows with imbalance.
        pub alpha: f64 = 3. => between(0., 100.), "ours";
        /// How fast the auxiliary block shrinks with imbalance.
        pub gamma: Option<f64> = None => between(0., 100.).shown("1 (dominant: 2)"), "ours";
        /// Share of units kept at balance.
        pub k_0: Option<f64> = None => between(0., 1.).shown("0.1 (dominant: 1)"), "ours";
        /// Smallest share of units kept.
        pub k_min: f64 = 0.02 => between(0., 1.), "ours";
        /// Smallest strength.
        pub lambda_min: Option<f64> = None => between(0., 1.).shown("1 (dominant: 0)"), "ours";
        /// Weight of the auxiliary losses; 0 is joint training.
        pub beta: f64 = 1. => between(0., 100.), "ours";
        /// Sharpness of the prototype classifier.
        pub tau: f64 = 10. => above(0.), "ours";
        /// Share of the old imbalance in its moving average.
        pub ema: f64 = 0.9 => between(0., 1.), "ours";
        /// An auxiliary pass a modality, one for all, or one random modality a step.
        pub passes: Option<Passes> = None => by_type().shown("separate (dominant: joint)"), "ours";
        /// T0: joint training before the first prototypes.
        pub warmup: usize = 1 => at_least(0).unit("epochs"), "ours";
        /// R: epochs between prototypes.
        pub refresh: usize = 3 => at_least(1).unit("epochs"), "ours";
        /// S: Adam steps that make the prototypes.
        pub dap_steps: usize = 60 => at_least(1), "ours";
        /// Their learning rate.
        pub dap_lr: f64 = 0.05 => above(0.), "ours";
        /// r: steps between saliency updates.
        pub saliency_every: usize = 1 => at_least(1).unit("steps"), "ours";
        /// Share of the batch in auxiliary passes.
        pub aux_fraction: f64 = 1. => above_to(0., 1.), "ours";
        /// Learnt inputs or class means of training activations.
        pub prototypes: Prototypes = Prototypes::Dap => by_type(), "paper";
        /// Which units count as under-optimized.
        pub criterion: Criterion = Criterion::TaylorLow => by_type(), "ours";
        /// Whole output units or single weights.
        pub granularity: Granularity = Granularity::Unit => by_type(), "ours";
        /// Constant: strength 1 wherever a modality is degraded.
        pub strength: Mode = Mode::Adaptive => by_type(), "ours";
        /// Constant: always k_0.
        pub keep: Mode = Mode::Adaptive => by_type(), "ours";
        /// Depths that are modulated.
        pub depths: Depths = Depths::All => by_type(), "ours";
        /// Plain and auxiliary loss; a random half of the samples auxiliary; auxiliary alone.
        pub reliance: Reliance = Reliance::Dual => by_type(), "ours";
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

impl MethodSettings for AimSettings {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }

    fn build(&self, net: &NetSpec) -> Result<Built> {
        Ok(Built::grads(Aim::new(self.clone(), net)))
    }
}
