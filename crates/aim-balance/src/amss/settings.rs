//! The settings of AMSS and its card.

use aim_core::{NetSpec, Result};
use serde::{Deserialize, Serialize};

pub use super::draw::{Mode, Weights};
use crate::card::{About, Needs, Setting, Settings, within};
use crate::stack::Built;

/// Card of [`Amss`].
pub static ABOUT: About = About {
    name: "amss",
    title: "AMSS",
    idea: "update only a sampled part of each encoder, the smaller the more its modality says",
    paper: "Yang et al., TPAMI 2025 (arXiv 2404.08347)",
    cost: "1 forward and 1 backward pass; squared gradients and a draw a layer, on the CPU",
    departs: &[
        "H(Y) is the entropy of the labels; the released code takes a cross-entropy of the frequencies with their own \
        softmax (`compat: true`, which also leaves the head unmasked and has the released weight in AMSS+).",
        "The head is masked too where its columns belong to one modality each, as in the released text-image and three-modality scripts; the audio-visual script \
        makes the mask and does not apply it (`mask_head: false`).",
        "AMSS+ divides by the chance of a unit to be drawn, in each `sample_mode`; the released weight is no such inverse (`weights: \
        amss+official`).",
        "Units whose share of the squared gradient is below what f32 tells from 0 are never drawn, because 1 over their \
        chance has no bound; the released code stops with an error where fewer than n units have a gradient.",
        "Output units of every linear layer are masked, so that MLPs and transformers work; the released text encoder \
        masks attention heads.",
        "The audio-visual form serves any number of modalities; the released three-modality script has other \
        constants.",
    ],
    settings: &[
        Setting::new("temperature", "0.2", "above 0", "sharpness of the shares", "released code"),
        Setting::new("offset", "0.5", "0 to 100", "added to the information", "released code"),
        Setting::new("weights", "amss", "amss | amss+ | amss+official", "of drawn units", "paper (AMSS)"),
        Setting::new(
            "sample_mode",
            "adaptive",
            "adaptive | topk | random | bernoulli",
            "n without replacement with chances p | the n largest | n alike | each by itself with chance p",
            "released code (its runs)",
        ),
        Setting::new(
            "gn_mode",
            "gn",
            "gn | sqrt_gn | gn_wn",
            "p in proportion to the squared gradient | its root | the same over the squared weight",
            "released code",
        ),
        Setting::new(
            "compat",
            "false",
            "true | false",
            "as the released audio-visual code does it",
            "ours; released (audio-visual): true",
        ),
        Setting::new(
            "mask_head",
            "true",
            "true | false",
            "also mask the head; with compat never",
            "ours; released (audio-visual): false",
        ),
    ],
    needs: Needs { unimodal: true, reads: true, ..Needs::NONE },
};

/// What units are drawn by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Importance {
    /// The squared gradient.
    Gn,
    /// Its root.
    SqrtGn,
    /// The squared gradient over the squared weight.
    GnWn,
}

/// Settings of `amss`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Amss {
    /// Sharpness of the shares.
    pub temperature: f64,
    /// Added to the information.
    pub offset: f64,
    /// Weights of drawn units.
    pub weights: Weights,
    /// How units are drawn.
    pub sample_mode: Mode,
    /// What units are drawn by.
    pub gn_mode: Importance,
    /// As the released code does it.
    pub compat: bool,
    /// Also mask the head.
    pub mask_head: bool,
}

impl Default for Amss {
    fn default() -> Self {
        let (weights, sample_mode, gn_mode) = (Weights::Plain, Mode::Adaptive, Importance::Gn);
        Self { temperature: 0.2, offset: 0.5, weights, sample_mode, gn_mode, compat: false, mask_head: true }
    }
}

impl Settings for Amss {
    fn check(&self) -> Result<()> {
        within("temperature", self.temperature, f64::MIN_POSITIVE, f64::MAX)?;
        within("offset", self.offset, 0., 100.)
    }
    fn build(self, _: &NetSpec) -> Result<Built> {
        let plus = if self.weights == Weights::Plus { Weights::Official } else { self.weights };
        let released = Self { weights: plus, mask_head: false, ..self.clone() };
        Ok(Built::op(if self.compat { released } else { self }))
    }
}
