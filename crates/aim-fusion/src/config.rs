//! The fusion section of a config, and the cards that describe it.

use aim_backbones::Build;
use aim_core::{Error, Fusion, Offers, Result};
use serde::{Deserialize, Serialize};

use crate::{Boosted, Concat, Deep, Film, Gated, Mmtm, Separate, Shared, Sum, SumLinear};

/// A fusion as a config names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FusionConfig {
    /// One head over the concatenated features.
    #[default]
    Concat,
    /// Sum of a head for each modality.
    Sum,
    /// Mean of a head for each modality.
    Mean,
    /// The first modality scales and shifts the second.
    Film,
    /// The first modality gates the second.
    Gated,
    /// One head for any modality.
    Shared,
    /// A head for each modality, trained apart.
    Separate,
    /// A head of three layers for each modality.
    Deep {
        /// Widths of the hidden layers.
        hidden: [usize; 2],
    },
    /// One head of two layers for any modality, and a learnt rate on their sum.
    Boosted {
        /// Width of the hidden layer.
        hidden: usize,
    },
    /// A head for each modality, and a linear layer over the classes of their sum.
    SumLinear,
    /// Gates on the features that all features set together, and a head for each modality.
    Mmtm {
        /// Width of the layer that all features enter.
        squeeze: usize,
    },
}

impl FusionConfig {
    /// What the fusion will be able to give, before it is built.
    pub fn offers(self) -> Offers {
        let linear_each = matches!(self, Self::Sum | Self::Mean | Self::Separate);
        let disjoint_heads = linear_each || matches!(self, Self::Deep { .. });
        Offers {
            unimodal: true,
            uni_heads: false,
            disjoint_heads,
            shared_head: self == Self::Shared,
            linear_heads: linear_each || self == Self::Concat,
            deep_heads: matches!(self, Self::Deep { .. }),
            boosted: matches!(self, Self::Boosted { .. }),
            class_layer: self == Self::SumLinear,
            gates: matches!(self, Self::Mmtm { .. }),
            adapters: false,
        }
    }

    /// Checks that the fusion can join that many modalities.
    ///
    /// # Errors
    /// If it cannot.
    pub fn check(self, modalities: usize, place: &str) -> Result<()> {
        if matches!(self, Self::Film | Self::Gated) && modalities != 2 {
            let problem = format!("this fusion joins exactly two modalities, the network has {modalities}");
            return Err(Error::invalid(place, problem, "use concat, sum, mean or shared"));
        }
        if self == (Self::Mmtm { squeeze: 0 }) {
            return Err(Error::invalid(format!("{place}.mmtm.squeeze"), "is 0", "use a width of 1 or more"));
        }
        Ok(())
    }

    /// Makes the fusion over features of these widths.
    ///
    /// # Errors
    /// If it cannot join them.
    pub fn build(self, build: &mut Build, names: &[String], widths: &[usize], k: usize) -> Result<Box<dyn Fusion>> {
        Ok(match self {
            Self::Concat => Box::new(Concat::new(build, widths, k)?),
            Self::Sum => Box::new(Sum::new(build, names, widths, k, false)?),
            Self::Mean => Box::new(Sum::new(build, names, widths, k, true)?),
            Self::Film => Box::new(Film::new(build, widths, k)?),
            Self::Gated => Box::new(Gated::new(build, names, widths, k)?),
            Self::Shared => Box::new(Shared::new(build, widths, k)?),
            Self::Separate => Box::new(Separate::new(build, names, widths, k)?),
            Self::Deep { hidden } => Box::new(Deep::new(build, names, widths, hidden, k)?),
            Self::Boosted { hidden } => Box::new(Boosted::new(build, widths, hidden, k)?),
            Self::SumLinear => Box::new(SumLinear::new(build, names, widths, k)?),
            Self::Mmtm { squeeze } => Box::new(Mmtm::new(build, names, widths, squeeze, k)?),
        })
    }
}

/// What `list fusions` says of a fusion.
pub struct Card {
    /// Name in a config.
    pub name: &'static str,
    /// What it does.
    pub about: &'static str,
    /// How a modality's own logits are defined.
    pub unimodal: &'static str,
}

/// Every fusion.
pub static CARDS: &[Card] = &[
    Card {
        name: "concat",
        about: "one linear head over concatenated features",
        unimodal: "its columns of the head + b/M",
    },
    Card { name: "sum", about: "sum of one linear head a modality", unimodal: "its head" },
    Card { name: "mean", about: "mean of one linear head a modality", unimodal: "its head" },
    Card {
        name: "film",
        about: "the first modality scales and shifts the second (M = 2)",
        unimodal: "the other zeroed",
    },
    Card { name: "gated", about: "the first modality gates the second (M = 2)", unimodal: "the other zeroed" },
    Card {
        name: "shared",
        about: "one head for any modality, mean of its logits",
        unimodal: "the head on its feature",
    },
    Card {
        name: "deep: {hidden: [256, 64]}",
        about: "a head of three layers for each modality, mean of their logits",
        unimodal: "its head",
    },
    Card {
        name: "boosted: {hidden: 256}",
        about: "one head of two layers for any modality, sum of its logits times a learnt rate",
        unimodal: "the head on its feature",
    },
    Card {
        name: "sum-linear",
        about: "sum of one linear head a modality, then a linear layer over the classes",
        unimodal: "its head",
    },
    Card {
        name: "mmtm: {squeeze: 64}",
        about: "each feature gated by all through a joint layer, mean of one linear head a modality",
        unimodal: "its head, the others zeroed",
    },
    Card { name: "separate", about: "networks that share nothing, mean of their logits", unimodal: "its head" },
];
