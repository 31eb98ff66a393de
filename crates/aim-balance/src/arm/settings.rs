//! The settings of ARM and its card.

use aim_core::{NetSpec, Result};
use serde::{Deserialize, Serialize};

use super::{Information, Reinforced, options::MinMax};
use crate::card::{About, Needs, Setting, Settings, within};
use crate::stack::Built;

/// Card of [`Arm`].
pub static ABOUT: About = About {
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
        "Two modalities: a sample's contribution pairs a modality with the other one, and nothing readable says with what \
        it is paired among more.",
        "The Gaussian estimator is normalised as the share that one variable determines of the other, sqrt(1 - exp(-2 I)), \
        because the entropies of the released form can be negative there.",
        "`min_max` is ours and off, because the paper's min-max loss is in neither code nor readable text.",
    ],
    settings: &[
        Setting::new(
            "estimator",
            "histogram",
            "histogram | gaussian",
            "of the information: histograms, or correlations as if features were normal",
            "released code",
        ),
        Setting::new("bins", "30", "2 to 1000", "bins of the information", "released code"),
        Setting::new("bins_cmi", "2", "2 to 100", "bins of the conditional information", "released code"),
        Setting::new("ema", "0.9", "0 to 1", "share of the old running scale", "ours"),
        Setting::new("resample", "false", "true | false", "copies of samples by their worth", "released code"),
        Setting::new("warmup", "5", "epochs", "epochs without copies", "released code (older)"),
        Setting::new("min_max", "0", "0 to 100", "weight of the stand-in for the min-max loss", "ours"),
    ],
    needs: Needs { at_most: Some(2), unimodal: true, shared_head: true, ..Needs::NONE },
};

/// How information is estimated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Estimator {
    /// By histograms.
    Histogram,
    /// By correlations, as if draws were normal.
    Gaussian,
}

/// Settings of `arm`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Arm {
    /// How information is estimated.
    pub estimator: Estimator,
    /// Bins of the information.
    pub bins: usize,
    /// Bins of the conditional information.
    pub bins_cmi: usize,
    /// Share of the old running scale.
    pub ema: f64,
    /// Whether samples are shown again by their worth.
    pub resample: bool,
    /// Epochs without copies.
    pub warmup: usize,
    /// Weight of the difference of the modalities' losses.
    pub min_max: f64,
}

impl Default for Arm {
    fn default() -> Self {
        let estimator = Estimator::Histogram;
        Self { estimator, bins: 30, bins_cmi: 2, ema: 0.9, resample: false, warmup: 5, min_max: 0. }
    }
}

impl Settings for Arm {
    fn check(&self) -> Result<()> {
        within("bins", self.bins as f64, 2., 1000.)?;
        within("bins_cmi", self.bins_cmi as f64, 2., 100.)?;
        within("ema", self.ema, 0., 1.)?;
        within("min_max", self.min_max, 0., 100.)
    }
    fn build(self, _: &NetSpec) -> Result<Built> {
        let min_max = self.min_max;
        let fuse = Built::fuse(Reinforced { settings: self, running: vec![1., 1.] });
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
