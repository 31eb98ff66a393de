//! The settings of AGM and its card.

use aim_core::{NetSpec, Result};
use serde::{Deserialize, Serialize};

use super::Running;
use crate::card::{About, Needs, Setting, Settings, within};
use crate::stack::Built;

/// Card of [`Agm`].
pub static ABOUT: About = About {
    name: "agm",
    title: "AGM",
    idea: "scale the gradient that flows into each modality's Shapley-style output",
    paper: "Li et al., ICCV 2023 (arXiv 2308.07686)",
    cost: "3 forward passes of every encoder and 2^M - 1 of the fusion; the backward pass goes through all of them \
    while gradients are modulated, through one afterwards",
    departs: &[
        "One clipping rule, that of the released CREMA-D script, serves all; its MOSEI script tests the gradient's \
        smallest entry too.",
    ],
    settings: &[
        Setting::new("alpha", "1", "0 to 100", "strength; 0 modulates nothing", "released code (CREMA-D)"),
        Setting::new("cap", "10, or 7 from three modalities on", "above 0", "largest tau - r", "released code"),
        Setting::new(
            "clip_threshold",
            "1",
            "above 0",
            "largest entry of the head's gradient without clipping",
            "released code (CREMA-D)",
        ),
        Setting::new(
            "modulation_starts",
            "0",
            "an epoch",
            "first epoch with modulation, from 1",
            "released code (CREMA-D)",
        ),
        Setting::new(
            "modulation_ends",
            "20",
            "an epoch",
            "last epoch with modulation, from 1",
            "released code (CREMA-D)",
        ),
    ],
    needs: Needs::NONE,
};

/// Settings of `agm`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Agm {
    /// Strength.
    pub alpha: f64,
    /// Largest `tau - r`; by default 10 for two modalities and 7 for more.
    pub cap: Option<f64>,
    /// Largest entry of the head's gradient without clipping.
    pub clip_threshold: f64,
    /// First epoch with modulation, counted from 1.
    pub modulation_starts: usize,
    /// Last epoch with modulation, counted from 1.
    pub modulation_ends: usize,
}

impl Default for Agm {
    fn default() -> Self {
        Self { alpha: 1., cap: None, clip_threshold: 1., modulation_starts: 0, modulation_ends: 20 }
    }
}

impl Settings for Agm {
    fn check(&self) -> Result<()> {
        within("alpha", self.alpha, 0., 100.)?;
        within("cap", self.cap.unwrap_or(10.), f64::MIN_POSITIVE, f64::MAX)?;
        within("clip_threshold", self.clip_threshold, f64::MIN_POSITIVE, f64::MAX)
    }
    fn build(self, net: &NetSpec) -> Result<Built> {
        let mean = vec![0.; net.modalities.len()];
        let cap = self.cap.unwrap_or(if mean.len() > 2 { 7. } else { 10. });
        Ok(Built::grads(Running { settings: self, cap, names: net.modalities.clone(), steps: 0, mean }))
    }
}
