//! The settings of OGM and OGM-GE and their cards.

use aim_config::{at_least, between, by_type, choice, one_of, settings};
use aim_core::{NetSpec, Result};

use crate::{Built, MethodInfo, MethodSettings, Provenance, Quantity, Requirements, Unimodal, card::in_order};

const REQUIRES: Requirements = Requirements { unimodal: Unimodal::Read, ..Requirements::NONE };
const PAPER: &str = "Peng et al., CVPR 2022 (arXiv 2203.15332); tpami form: Wei et al., TPAMI 2024";

/// Quantities that both report.
const REPORTS: [Quantity; 3] = [
    Quantity::modality("score", "", "sum over the batch of the probability of the true class"),
    Quantity::modality("ratio", "", "mean ratio of its score to those of the others"),
    Quantity::modality("coef", "", "factor on the encoder's gradients"),
];

/// Departures of both from their sources.
const DEPARTS: [&str; 4] = [
    "Linear and embedding weights are scaled too, so that the method acts on an MLP or transformer; the released \
    code scales convolutions alone (`scale: conv4d`).",
    "More than two modalities take the mean ratio of the journal version, because the released code has two.",
    "Where the head is not linear, unimodal logits are those with the other features at zero; the released code \
    cuts the head at a fixed column and fails with film and gated.",
    "At a ratio of exactly 1 nobody is slowed down, since nobody is ahead; the released code then slows audio.",
];

/// Card of [`Ogm`].
pub static OGM: MethodInfo = MethodInfo {
    name: "ogm",
    title: "OGM",
    idea: "scale down the encoder gradients of the modality that is ahead",
    paper: PAPER,
    cost: "1 forward and 1 backward pass; one product an encoder weight",
    departs: &DEPARTS,
    requires: REQUIRES,
    provenance: Provenance::Faithful,
    reports: &REPORTS,
    revision: 1,
};

/// Card of [`OgmGe`].
pub static OGM_GE: MethodInfo = MethodInfo {
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
    requires: REQUIRES,
    provenance: Provenance::Faithful,
    reports: &REPORTS,
    revision: 1,
};

choice! {
    /// Form of the coefficient.
    pub enum Coefficient {
        /// `1 - tanh(alpha rho)`.
        Cvpr = "cvpr",
        /// `max(0, 1 - alpha tanh(rho - 1))`.
        Tpami = "tpami",
        /// `1 + tanh(alpha / rho)` for the modality that is behind.
        Acc = "acc",
        /// 4 for the modality that is behind.
        Plus = "plus",
    }
}

choice! {
    /// Encoder weights that are scaled.
    pub enum Scale {
        /// Every weight with more than one dimension.
        Matrices = "ndim>1",
        /// Convolutions with four dimensions alone.
        Conv4d = "conv4d",
    }
}

/// Declares what both have, which differ in their noise alone.
macro_rules! ogm {
    ($(#[doc = $about:literal])+ $name:ident, $noise:literal, $values:expr, $meaning:literal) => {
        settings! {
            $(#[doc = $about])+
            pub struct $name {
                /// Strength; 0 is joint training.
                pub alpha: f64 = 0.3 => between(0., 100.), "released code (its gated example)";
                /// Form of the coefficient; acc and plus raise the gradients of the modality that is behind.
                pub coefficient: Coefficient = Coefficient::Cvpr => by_type(),
                    "released code; acc and plus: third party (BML)";
                /// Encoder weights that are scaled.
                pub scale: Scale = Scale::Matrices => by_type(), "ours; released: conv4d";
                #[doc = $meaning]
                pub noise: bool = $noise => $values, "paper";
                /// First epoch with modulation.
                pub modulation_starts: usize = 0 => at_least(0), "released code";
                /// Last epoch with modulation.
                pub modulation_ends: usize = 50 => at_least(0), "released code";
            }
        }
    };
}

ogm!(/// Settings of `ogm`.
    Ogm, false, by_type(), "Addition of noise (GE).");
ogm!(/// Settings of `ogm-ge`: those of [`Ogm`] with noise.
    OgmGe, true, one_of(&["true"]), "Addition of noise (GE), without which this is `ogm`.");

impl MethodSettings for Ogm {
    fn info(&self) -> &'static MethodInfo {
        &OGM
    }
    fn check(&self) -> Result<()> {
        in_order("modulation_ends", self.modulation_starts, self.modulation_ends)
    }
    fn build(&self, _: &NetSpec) -> Result<Built> {
        Ok(Built::op(self.clone()))
    }
}

impl MethodSettings for OgmGe {
    fn info(&self) -> &'static MethodInfo {
        &OGM_GE
    }
    fn check(&self) -> Result<()> {
        in_order("modulation_ends", self.modulation_starts, self.modulation_ends)
    }
    fn build(&self, net: &NetSpec) -> Result<Built> {
        let Self { alpha, coefficient, scale, noise, modulation_starts, modulation_ends } = *self;
        Ogm { alpha, coefficient, scale, noise, modulation_starts, modulation_ends }.build(net)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_sources() {
        let Ogm { alpha, coefficient, scale, noise, modulation_starts, modulation_ends } = Ogm::default();
        assert_eq!((alpha, coefficient, scale), (0.3, Coefficient::Cvpr, Scale::Matrices));
        assert_eq!((noise, modulation_starts, modulation_ends), (false, 0, 50));
        let OgmGe { alpha, coefficient, scale, noise, modulation_starts, modulation_ends } = OgmGe::default();
        assert_eq!((alpha, coefficient, scale), (0.3, Coefficient::Cvpr, Scale::Matrices));
        assert_eq!((noise, modulation_starts, modulation_ends), (true, 0, 50));
    }
}
