//! The settings of ARM and its card.

use aim_config::{at_least, between, by_type, choice, settings, whole};
use aim_core::{NetSpec, Result, capability};

use super::{Information, Reinforced, options::MinMax};
use crate::{Built, MethodInfo, MethodSettings, Provenance, Quantity, Requirements, Unimodal};

/// Card of [`Arm`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "arm",
    title: "ARM (analogue)",
    idea: "scale features against the information that their modality contributes",
    paper: "Gao et al., AAAI 2025 (arXiv 2501.01240); without the projections",
    cost: "1 forward and 1 backward pass of the encoders; the fusion runs twice; histograms of all feature entries, on \
    the CPU; with `resample` an epoch shows 2 to 4 times as many samples and starts with one evaluation of them",
    departs: &[
        "The fused feature is the mean of the features and the head reads scaled features directly, because a method \
        adds no parameters to a network; the released one has two projections.",
        "Conditional information is computed as defined; the released code normalises the joint distribution along a \
        wrong axis.",
        "Evaluation uses running means of the scales; the released code takes them from the labels of the test batch.",
        "Contributions have a floor and scales lie between 1/4 and 4, because contributions can be negative.",
        "Re-sampling, of an older state of the released code, computes contributions as the fusion does, because that \
        state pairs probabilities and information otherwise and does not run.",
        "Two modalities: a sample's contribution pairs a modality with the other one, and nothing readable says with \
        what it is paired among more.",
        "The Gaussian estimator is normalised as the share that one variable determines of the other, sqrt(1 - exp(-2 \
        I)), because the entropies of the released form can be negative there.",
        "`min_max` is ours and off, because the paper's min-max loss is in neither code nor readable text.",
    ],
    requires: Requirements {
        modalities: (2, 2),
        unimodal: Unimodal::Trained,
        capabilities: &[capability::SHARED_HEAD],
        ..Requirements::NONE
    },
    provenance: Provenance::Analogue,
    reports: &[
        Quantity::modality("contribution", "", "contribution of its information to the prediction"),
        Quantity::modality("scale", "", "factor on its feature"),
    ],
    revision: 1,
};

choice! {
    /// Estimate of the information.
    pub enum Estimator {
        /// By histograms.
        Histogram = "histogram",
        /// By correlations, as if draws were normal.
        Gaussian = "gaussian",
    }
}

settings! {
    /// Settings of `arm`.
    pub struct Arm {
        /// Estimate of the information: by histograms | by correlations, as if features were normal.
        pub estimator: Estimator = Estimator::Histogram => by_type(), "released code";
        /// Bins of the information.
        pub bins: usize = 30 => whole(2, 1000), "released code";
        /// Bins of the conditional information.
        pub bins_cmi: usize = 2 => whole(2, 100), "released code";
        /// Share of the old running scale.
        pub ema: f64 = 0.9 => between(0., 1.), "ours";
        /// Copies of samples by their worth.
        pub resample: bool = false => by_type(), "released code";
        /// Epochs without copies.
        pub warmup: usize = 5 => at_least(0).unit("epochs"), "released code (older)";
        /// Weight of the difference of the modalities' losses, a stand-in for the min-max loss.
        pub min_max: f64 = 0. => between(0., 100.), "ours";
    }
}

impl MethodSettings for Arm {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn build(&self, _: &NetSpec) -> Result<Built> {
        let min_max = self.min_max;
        let fuse = Built::fuse(Reinforced { settings: self.clone(), running: vec![1., 1.] });
        // Without the option another method of a stack may decide the losses.
        Ok(if min_max == 0. { fuse } else { fuse.with_objective(MinMax(min_max)) })
    }
}

impl Arm {
    /// What a feature says about the fused one, given the other.
    pub(super) fn information(&self, own: &[f64], other: &[f64], fused: &[f64]) -> Information {
        match self.estimator {
            Estimator::Histogram => Information::of(own, other, fused, self.bins, self.bins_cmi),
            Estimator::Gaussian => Information::gaussian(own, other, fused),
        }
    }
}
