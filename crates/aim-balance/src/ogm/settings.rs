//! The settings of OGM and OGM-GE and their cards.

use aim_core::{NetSpec, Result};
use serde::{Deserialize, Serialize};

use crate::card::{About, Needs, Setting, Settings, within};
use crate::stack::Built;

const fn settings(noise: Setting) -> [Setting; 6] {
    [
        Setting::new("alpha", "0.3", "0 to 100", "strength; 0 is joint training", "released code (its gated example)"),
        Setting::new(
            "coefficient",
            "cvpr",
            "cvpr | tpami | acc | plus",
            "form of the coefficient; acc and plus raise the gradients of the modality that is behind",
            "released code; acc and plus: third party (BML)",
        ),
        Setting::new("scale", "ndim>1", "ndim>1 | conv4d", "encoder weights that are scaled", "ours; released: conv4d"),
        noise,
        Setting::new("modulation_starts", "0", "an epoch", "first epoch with modulation", "released code"),
        Setting::new("modulation_ends", "50", "an epoch", "last epoch with modulation", "released code"),
    ]
}
const NEEDS: Needs = Needs { unimodal: true, reads: true, ..Needs::NONE };
const PAPER: &str = "Peng et al., CVPR 2022 (arXiv 2203.15332); tpami form: Wei et al., TPAMI 2024";

/// What both do otherwise than their sources.
const DEPARTS: [&str; 4] = [
    "Linear and embedding weights are scaled too, so that the method acts on an MLP or transformer; the released \
    code scales convolutions alone (`scale: conv4d`).",
    "More than two modalities take the mean ratio of the journal version, because the released code has two.",
    "Where the head is not linear, unimodal logits are those with the other features at zero; the released code \
    cuts the head at a fixed column and fails with film and gated.",
    "At a ratio of exactly 1 nobody is slowed down, since nobody is ahead; the released code then slows audio.",
];

/// Card of [`Ogm`].
pub static OGM: About = About {
    name: "ogm",
    title: "OGM",
    idea: "scale down the encoder gradients of the modality that is ahead",
    paper: PAPER,
    cost: "1 forward and 1 backward pass; one product an encoder weight",
    departs: &DEPARTS,
    settings: &settings(Setting::new("noise", "false", "true | false", "add noise (GE)", "paper")),
    needs: NEEDS,
};

/// Card of [`OgmGe`].
pub static OGM_GE: About = About {
    name: "ogm-ge",
    title: "OGM-GE",
    idea: "OGM, and noise of the gradient's own spread on the encoders",
    paper: PAPER,
    cost: "1 forward and 1 backward pass; one product and one normal draw an encoder weight",
    departs: &[
        DEPARTS[0],
        DEPARTS[1],
        DEPARTS[2],
        DEPARTS[3],
        "Noise has the spread of each tensor's gradient, as released; the paper is reported to take the covariance of \
        the batch gradient.",
    ],
    settings: &settings(Setting::new("noise", "true", "true", "GE, without which this is `ogm`", "paper")),
    needs: NEEDS,
};

/// Form of the coefficient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Coefficient {
    /// `1 - tanh(alpha rho)`.
    Cvpr,
    /// `max(0, 1 - alpha tanh(rho - 1))`.
    Tpami,
    /// `1 + tanh(alpha / rho)` for the modality that is behind.
    Acc,
    /// 4 for the modality that is behind.
    Plus,
}

/// Which encoder weights are scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scale {
    /// Every weight with more than one dimension.
    #[serde(rename = "ndim>1")]
    Matrices,
    /// Convolutions with four dimensions alone.
    #[serde(rename = "conv4d")]
    Conv4d,
}

/// Settings of `ogm`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ogm {
    /// Strength.
    pub alpha: f64,
    /// Form of the coefficient.
    pub coefficient: Coefficient,
    /// Which weights are scaled.
    pub scale: Scale,
    /// Whether noise is added (GE).
    pub noise: bool,
    /// First epoch with modulation.
    pub modulation_starts: usize,
    /// Last epoch with modulation.
    pub modulation_ends: usize,
}

impl Default for Ogm {
    fn default() -> Self {
        let (coefficient, scale) = (Coefficient::Cvpr, Scale::Matrices);
        Self { alpha: 0.3, coefficient, scale, noise: false, modulation_starts: 0, modulation_ends: 50 }
    }
}

impl Settings for Ogm {
    fn check(&self) -> Result<()> {
        within("alpha", self.alpha, 0., 100.)?;
        within("modulation_ends", self.modulation_ends as f64, self.modulation_starts as f64, f64::MAX)
    }
    fn build(self, _: &NetSpec) -> Result<Built> {
        Ok(Built::op(self))
    }
}

/// Settings of `ogm-ge`: those of [`Ogm`] with noise as the default.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OgmGe(Ogm);

impl Default for OgmGe {
    fn default() -> Self {
        Self(Ogm { noise: true, ..Ogm::default() })
    }
}

impl Settings for OgmGe {
    fn check(&self) -> Result<()> {
        self.0.check()
    }
    fn build(self, net: &NetSpec) -> Result<Built> {
        // Without noise it would be OGM, whatever the section says.
        Ogm { noise: true, ..self.0 }.build(net)
    }
}
