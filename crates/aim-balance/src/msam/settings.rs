//! The settings of M-SAM and its card.

use aim_core::{Error, NetSpec, Result};
use serde::{Deserialize, Serialize};

use super::Aware;
use crate::card::{About, Needs, Setting, Settings, within};
use crate::stack::Built;

/// Card of [`MSam`].
pub static ABOUT: About = About {
    name: "msam",
    title: "M-SAM",
    idea: "SAM for the dominant modality's share of the loss, the plain gradient for the rest",
    paper: "Nowdeh et al., NeurIPS 2025 (arXiv 2510.24919); value function and rho ours",
    cost: "2 forward and 3 backward passes; 2^M passes of the fusion without gradient",
    departs: &[
        "The value function (probability of the true class, absent features at zero), its clamping and rho are ours, \
        because only digests of the paper were readable.",
        "The perturbation has the gradient's direction, as SAM's has; one digest prints the gradient's sign \
        (`perturbation: sign`).",
        "Accuracy as the value (`value: accuracy`) is what the abstract speaks of; on one batch it is coarse and often \
        leaves modalities equal.",
        "`per_sample` and `dominant_encoder` are ours: literally taken, the method mixes SAM and the plain gradient \
        whichever modality is dominant. The dominant one is that of the whole batch in either.",
    ],
    settings: &[
        Setting::new("rho", "0.05", "0 to 100", "radius; 0 is joint training", "ours"),
        Setting::new(
            "variant",
            "literal",
            "literal | per_sample | dominant_encoder",
            "shares of the batch | of each sample | of the batch, perturbing the dominant encoder alone",
            "third party (digests of the paper)",
        ),
        Setting::new(
            "perturbation",
            "l2",
            "l2 | sign",
            "gradient of length rho | rho times its signs",
            "third party (digests)",
        ),
        Setting::new(
            "value",
            "probability",
            "probability | accuracy",
            "of a set of modalities: mean probability of the true class, or share of right predictions",
            "ours",
        ),
        Setting::new(
            "every",
            "1",
            "1 or more",
            "steps between two measurements of the shares",
            "third party (digests)",
        ),
        Setting::new("empty_value", "1 / classes", "0 to 1", "value of no modality", "ours"),
    ],
    needs: Needs::NONE,
};

/// How shares enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// Shares of the batch.
    Literal,
    /// Shares of each sample.
    PerSample,
    /// Shares of the batch; only the dominant encoder is perturbed.
    DominantEncoder,
}

/// Which neighbour is ascended to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Perturbation {
    /// Along the gradient.
    L2,
    /// Along the signs of the gradient.
    Sign,
}

/// Value of a set of modalities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Value {
    /// Probability of the true class.
    Probability,
    /// Whether the prediction is right.
    Accuracy,
}

/// Settings of `msam`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MSam {
    /// Radius.
    pub rho: f64,
    /// How shares enter.
    pub variant: Variant,
    /// Which neighbour is ascended to.
    pub perturbation: Perturbation,
    /// Value of a set of modalities.
    pub value: Value,
    /// Steps between two measurements of the shares.
    pub every: usize,
    /// Value of no modality; 1 / classes by default.
    pub empty_value: Option<f64>,
}

impl Default for MSam {
    fn default() -> Self {
        let (variant, perturbation, value) = (Variant::Literal, Perturbation::L2, Value::Probability);
        Self { rho: 0.05, variant, perturbation, value, every: 1, empty_value: None }
    }
}

impl Settings for MSam {
    fn check(&self) -> Result<()> {
        within("rho", self.rho, 0., 100.)?;
        within("every", self.every as f64, 1., f64::MAX)?;
        if self.variant == Variant::PerSample && self.every > 1 {
            let problem = format!("is {}, but shares of samples hold for one batch", self.every);
            return Err(Error::invalid("method.every", problem, "use 1, or another variant"));
        }
        within("empty_value", self.empty_value.unwrap_or(0.), 0., 1.)
    }
    fn build(self, _: &NetSpec) -> Result<Built> {
        Ok(Built::grads(Aware { settings: self, measured: None }))
    }
}
