//! AIM's settings, presets and ablations.

use aim_config::{above, above_to, at_least, between, by_type, choice, settings};
use aim_core::{Error, NetSpec, Result, capability};

use super::Aim;
use crate::{Built, MethodInfo, MethodSettings, Provenance, Quantity, Requirements};

/// Card of AIM.
pub static ABOUT: MethodInfo = MethodInfo {
    name: "aim",
    title: "AIM (reconstruction)",
    idea: "let joint training rely on blocks reduced to what a modality has not yet learned, as strongly as the \
    imbalance at each depth asks for",
    paper: "Shen, Chen & Zhang 2025 (arXiv 2508.19769); reconstruction, equations not public in full",
    cost: "step with every modality degraded: beside the plain one, forward and backward passes of each encoder and M of \
    the fusion over `aux_fraction` of the batch; every `saliency_every` steps another backward pass through each encoder; \
    every `refresh` epochs `dap_steps` forward and backward passes of one sample a class",
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
        Quantity::depth("s", "", "performance: mean probability of the true class by the prototypes"),
        Quantity::depth("rho", "", "imbalance: moving average of the ratio of its performance to that of the others"),
        Quantity::depth("lambda", "", "strength with which the well-optimized part is taken away"),
        Quantity::depth("keep", "", "share of units in the auxiliary block"),
    ],
    revision: 2,
};

choice! {
    /// Modalities that are degraded.
    pub enum Scope {
        /// Every modality (version 3).
        Each = "each",
        /// Modalities that lead at some depth (versions 1 and 2).
        Dominant = "dominant",
    }
}

choice! {
    /// Arrangement of auxiliary passes.
    pub enum Passes {
        /// One a degraded modality, the others plain.
        Separate = "separate",
        /// One with every degraded modality.
        Joint = "joint",
        /// One random degraded modality a step.
        One = "one",
        /// One a modality, which stays plain while every other degraded one is reduced; with two, `separate`.
        Others = "others",
    }
}

choice! {
    /// Source of prototypes.
    pub enum Prototypes {
        /// Inputs learnt under the frozen network.
        Dap = "dap",
        /// Means of each class's training activations.
        ClassMean = "class-mean",
        /// None: imbalance is not measured (1 everywhere), and saliency is that of the joint loss.
        None = "none",
    }
}

choice! {
    /// Units that count as under-optimized.
    pub enum Criterion {
        /// Lowest first-order effect on the prototype loss.
        TaylorLow = "taylor-low",
        /// Highest gradient of the prototype loss.
        GradHigh = "grad-high",
        /// Highest ratio of that gradient to the weight.
        Ratio = "ratio",
        /// Lowest squared gradient (the diagonal of the empirical Fisher information).
        FisherLow = "fisher-low",
        /// The prototype loss rises least, or falls most, to first order without them.
        LossChange = "loss-change",
        /// Random units.
        Random = "random",
    }
}

choice! {
    /// Parts that are kept or taken away.
    pub enum Granularity {
        /// Output units: rows of the weights of convolutions (channels) and of linear layers (features), each with its
        /// bias.
        Unit = "unit",
        /// Single weights.
        Element = "element",
    }
}

choice! {
    /// What the strength follows.
    pub enum Strength {
        /// The lead of a modality over the others: `tanh(alpha max(rho - 1, 0))`.
        Adaptive = "adaptive",
        /// The imbalance at a depth, whoever leads: `tanh(alpha |ln rho|)`.
        Imbalance = "imbalance",
        /// Nothing: 1 wherever a modality is degraded.
        Constant = "constant",
    }
}

choice! {
    /// What the size of an auxiliary block follows.
    pub enum Size {
        /// The imbalance: `k_0 rho^-gamma`.
        Adaptive = "adaptive",
        /// The modality's own performance at that depth: `k_0 (1 - s)`.
        Performance = "performance",
        /// How fast performance grows, against the others: `k_0 v^-gamma`.
        Pace = "pace",
        /// Nothing: `k_0`.
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
    /// Passes that the loss relies on.
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
        /// Preset: version 3, which degrades every modality | versions 1 and 2, which degrade those that lead.
        pub scope: Scope = Scope::Each => by_type(), "ours: the version described last";
        /// Growth of the strength with imbalance.
        pub alpha: f64 = 3. => between(0., 100.), "ours";
        /// Shrinkage of the auxiliary block with imbalance.
        pub gamma: Option<f64> = None => between(0., 100.).shown("1 (dominant: 2)"), "ours";
        /// Share of units kept at balance.
        pub k_0: Option<f64> = None => between(0., 1.).shown("0.1 (dominant: 1)"), "ours";
        /// Smallest share of units kept.
        pub k_min: f64 = 0.02 => between(0., 1.), "ours";
        /// Largest share of units kept; it counts more than the smallest.
        pub k_max: f64 = 1. => between(0., 1.), "ours";
        /// Smallest strength.
        pub lambda_min: Option<f64> = None => between(0., 1.).shown("1 (dominant: 0)"), "ours";
        /// Weight of the auxiliary losses; 0 is joint training.
        pub beta: f64 = 1. => between(0., 100.).main(), "ours";
        /// Sharpness of the prototype classifier.
        pub tau: f64 = 10. => above(0.), "ours";
        /// Share of the old imbalance in its moving average.
        pub ema: f64 = 0.9 => between(0., 1.), "ours";
        /// Auxiliary passes: one a modality that is reduced | one for all | one of a random modality a step | one a
        /// modality that stays plain.
        pub passes: Option<Passes> = None => by_type().shown("others (dominant: joint)"), "ours";
        /// Epochs T0 of joint training before the first prototypes.
        pub warmup: usize = 1 => at_least(0).unit("epochs"), "ours";
        /// Epochs R between prototypes.
        pub refresh: usize = 3 => at_least(1).unit("epochs"), "ours";
        /// Adam steps S that make the prototypes.
        pub dap_steps: usize = 60 => at_least(1), "ours";
        /// Learning rate of the prototypes.
        pub dap_lr: f64 = 0.05 => above(0.), "ours";
        /// Steps r between saliency updates.
        pub saliency_every: usize = 10 => at_least(1).unit("steps"), "ours";
        /// Share of the batch in auxiliary passes.
        pub aux_fraction: f64 = 0.5 => above_to(0., 1.), "ours";
        /// Source of the prototypes: learnt inputs | class means of training activations | none.
        pub prototypes: Prototypes = Prototypes::Dap => by_type(), "paper";
        /// Units that count as under-optimized: of low effect on the prototype loss | of high gradient | of high
        /// gradient against their weights | of low squared gradient | whose loss would rise least | random ones.
        pub criterion: Criterion = Criterion::TaylorLow => by_type(), "ours";
        /// Parts that are kept or taken away: whole output units (channels of convolutions, features of linear layers;
        /// rows of each map of attention, not heads) | single weights.
        pub granularity: Granularity = Granularity::Unit => by_type(), "ours";
        /// What the strength follows: a modality's lead | imbalance at the depth | nothing, 1 wherever one is degraded.
        pub strength: Strength = Strength::Adaptive => by_type(), "ours";
        /// What the share of units kept follows: imbalance | the modality's own performance | its relative pace |
        /// nothing, always `k_0`.
        pub keep: Option<Size> = None => by_type().shown("constant (dominant: adaptive)"), "ours";
        /// Depths that are modulated.
        pub depths: Depths = Depths::All => by_type(), "ours";
        /// Losses: plain and auxiliary | a random half of the samples auxiliary | auxiliary alone.
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
    pub(super) k_max: f64,
    pub(super) strength: Strength,
    pub(super) keep: Size,
    pub(super) depths: Depths,
}

impl AimSettings {
    /// The settings with the scope's preset filled in.
    pub fn rule(&self) -> Rule {
        let (gamma, k_0, lambda_min, passes, keep) = match self.scope {
            Scope::Each => (1., 0.1, 1., Passes::Others, Size::Constant),
            Scope::Dominant => (2., 1., 0., Passes::Joint, Size::Adaptive),
        };
        Rule {
            alpha: self.alpha,
            gamma: self.gamma.unwrap_or(gamma),
            k_0: self.k_0.unwrap_or(k_0),
            k_min: self.k_min,
            k_max: self.k_max,
            lambda_min: self.lambda_min.unwrap_or(lambda_min),
            passes: self.passes.unwrap_or(passes),
            strength: self.strength,
            keep: self.keep.unwrap_or(keep),
            depths: self.depths,
        }
    }
}

impl MethodSettings for AimSettings {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }

    fn check(&self) -> Result<()> {
        let rule = self.rule();
        let follows = |setting: &str, action: &str| {
            let problem = "follows what only prototypes measure, and there are none";
            Err(Error::invalid(format!("method.{setting}"), problem, action))
        };
        match self.prototypes {
            Prototypes::None if rule.keep != Size::Constant => follows("keep", "choose `keep: constant`"),
            // Without a measured imbalance the strength is the smallest one.
            Prototypes::None if rule.lambda_min == 0. => follows("strength", "set a `lambda_min` above 0"),
            _ => Ok(()),
        }
    }

    fn build(&self, net: &NetSpec) -> Result<Built> {
        Ok(Built::grads(Aim::new(self.clone(), net)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_that_results_were_made_with() {
        let aim = AimSettings::default();
        assert_eq!((aim.alpha, aim.k_min, aim.k_max, aim.beta, aim.tau, aim.ema), (3., 0.02, 1., 1., 10., 0.9));
        assert_eq!((aim.warmup, aim.refresh, aim.dap_steps, aim.dap_lr), (1, 3, 60, 0.05));
        assert_eq!((aim.saliency_every, aim.aux_fraction), (10, 0.5));
        assert_eq!(
            (aim.prototypes, aim.criterion, aim.granularity),
            (Prototypes::Dap, Criterion::TaylorLow, Granularity::Unit)
        );
        assert_eq!((aim.strength, aim.depths, aim.reliance), (Strength::Adaptive, Depths::All, Reliance::Dual));
        assert_eq!((aim.gamma, aim.k_0, aim.lambda_min, aim.passes, aim.keep), (None, None, None, None, None));
    }

    #[test]
    fn the_scope_is_a_preset_for_what_is_left_out() {
        let preset = |aim: AimSettings| {
            let Rule { gamma, k_0, lambda_min, passes, keep, .. } = aim.rule();
            (gamma, k_0, lambda_min, passes, keep)
        };
        let (each, dominant) =
            (AimSettings::default(), AimSettings { scope: Scope::Dominant, ..AimSettings::default() });
        assert_eq!(preset(each), (1., 0.1, 1., Passes::Others, Size::Constant));
        assert_eq!(preset(dominant.clone()), (2., 1., 0., Passes::Joint, Size::Adaptive));
        let own = AimSettings { gamma: Some(0.), passes: Some(Passes::One), ..dominant };
        assert_eq!(preset(own), (0., 1., 0., Passes::One, Size::Adaptive));
    }
}
