//! The fusion section of a config, and the cards that describe it.

use aim_backbones::Build;
use aim_core::{Error, Fusion, Offers, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Boosted, Concat, Deep, Film, Gated, Memory, Mmtm, Mods, ModsConfig, Scheduled, Separate, Shared, Sum, SumLinear,
    Symmetric, Weights, symmetric::Condition,
};

/// A fusion as a config names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
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
    /// As `gated`, both brought to a width of their own.
    GatedTo {
        /// That width.
        width: usize,
    },
    /// Each of two modalities scales and shifts the other, and one head reads both.
    SymmetricFilm,
    /// Each of two modalities gates the other, and one head reads both.
    SymmetricGated,
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
    /// Weights for each sample, scheduled by entropy and agreement.
    Scheduled {
        /// Width of the scheduler's hidden layer, where `weights` are the scheduler's.
        #[serde(default = "thirty_two")]
        hidden: usize,
        /// What the weights follow.
        #[serde(default, skip_serializing_if = "Weights::are_scheduled")]
        weights: Weights,
    },
    /// A memory that reads one modality after the other.
    Memory {
        /// Width of the memory.
        hidden: usize,
        /// Smallest cosine at which samples are aligned.
        #[serde(default = "half")]
        tau: f64,
    },
    /// Compression, selector and primary-centred attention.
    Mods(ModsConfig),
}

fn thirty_two() -> usize {
    32
}

fn half() -> f64 {
    0.5
}

impl FusionConfig {
    /// What the fusion will be able to give, before it is built.
    pub fn offers(self) -> Offers {
        let linear_each = matches!(self, Self::Sum | Self::Mean | Self::Separate);
        let disjoint_heads = linear_each || matches!(self, Self::Deep { .. });
        Offers {
            unimodal: !matches!(self, Self::Mods(_)),
            uni_heads: false,
            disjoint_heads,
            shared_head: self == Self::Shared,
            linear_heads: linear_each || self == Self::Concat,
            parts: self.is_symmetric(),
            deep_heads: matches!(self, Self::Deep { .. }),
            boosted: matches!(self, Self::Boosted { .. }),
            class_layer: self == Self::SumLinear,
            gates: matches!(self, Self::Mmtm { .. }),
            adapters: false,
            scheduled: matches!(self, Self::Scheduled { .. }),
            memory: matches!(self, Self::Memory { .. }),
            primary: matches!(self, Self::Mods(_)),
            normalised: false,
        }
    }

    fn is_symmetric(self) -> bool {
        matches!(self, Self::SymmetricFilm | Self::SymmetricGated)
    }

    /// Checks that the fusion can join that many modalities.
    ///
    /// # Errors
    /// If it cannot.
    pub fn check(self, modalities: usize, place: &str) -> Result<()> {
        if (matches!(self, Self::Film | Self::Gated | Self::GatedTo { .. }) || self.is_symmetric()) && modalities != 2 {
            let problem = format!("this fusion joins exactly two modalities, the network has {modalities}");
            return Err(Error::invalid(place, problem, "use concat, sum, mean or shared"));
        }
        if self == (Self::GatedTo { width: 0 }) {
            return Err(Error::invalid(format!("{place}.gated-to.width"), "is 0", "use a width of 1 or more"));
        }
        if self == (Self::Mmtm { squeeze: 0 }) {
            return Err(Error::invalid(format!("{place}.mmtm.squeeze"), "is 0", "use a width of 1 or more"));
        }
        if matches!(self, Self::Scheduled { hidden: 0, .. } | Self::Memory { hidden: 0, .. }) {
            return Err(Error::invalid(format!("{place}.hidden"), "is 0", "use a width of at least 1"));
        }
        if let Self::Mods(config) = self {
            config.check(&format!("{place}.mods"))?;
        }
        if let Self::Memory { tau, .. } = self
            && !(0. ..=1.).contains(&tau)
        {
            return Err(Error::invalid(format!("{place}.tau"), format!("is {tau}"), "use a number from 0 to 1"));
        }
        Ok(())
    }

    /// Makes the fusion over features of these widths, made of that many frames each.
    ///
    /// # Errors
    /// If it cannot join them.
    pub fn build(
        self,
        build: &mut Build,
        names: &[String],
        (widths, frames): (&[usize], &[usize]),
        k: usize,
    ) -> Result<Box<dyn Fusion>> {
        Ok(match self {
            Self::Concat => Box::new(Concat::new(build, widths, k)?),
            Self::Sum => Box::new(Sum::new(build, names, widths, k, false)?),
            Self::Mean => Box::new(Sum::new(build, names, widths, k, true)?),
            Self::Film => Box::new(Film::new(build, widths, k)?),
            Self::Gated => Box::new(Gated::new(build, names, widths, None, k)?),
            Self::GatedTo { width } => Box::new(Gated::new(build, names, widths, Some(width), k)?),
            Self::SymmetricFilm => Box::new(Symmetric::new(build, Condition::Film, names, widths, k)?),
            Self::SymmetricGated => Box::new(Symmetric::new(build, Condition::Gate, names, widths, k)?),
            Self::Shared => Box::new(Shared::new(build, widths, k)?),
            Self::Separate => Box::new(Separate::new(build, names, widths, k)?),
            Self::Deep { hidden } => Box::new(Deep::new(build, names, widths, hidden, k)?),
            Self::Boosted { hidden } => Box::new(Boosted::new(build, widths, hidden, k)?),
            Self::SumLinear => Box::new(SumLinear::new(build, names, widths, k)?),
            Self::Mmtm { squeeze } => Box::new(Mmtm::new(build, names, widths, squeeze, k)?),
            Self::Scheduled { hidden, weights } => {
                Box::new(Scheduled::new(build, names, widths, (hidden, weights), k)?)
            }
            Self::Mods(config) => Box::new(Mods::new(build, names, (widths, frames), &config, k)?),
            Self::Memory { hidden, tau } => Box::new(Memory::new(build, widths, (hidden, tau), k)?),
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
        name: "gated-to: {width: 128}",
        about: "as gated, both brought to this width (M = 2)",
        unimodal: "the other zeroed",
    },
    Card {
        name: "symmetric-film",
        about: "each modality scales and shifts the other, one linear head on both (M = 2)",
        unimodal: "the other zeroed",
    },
    Card {
        name: "symmetric-gated",
        about: "each modality gates the other, one linear head on both (M = 2, equal widths)",
        unimodal: "the other zeroed",
    },
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
    Card {
        name: "scheduled: {hidden: 32, weights: scheduler}",
        about: "features weighted for each sample by a small network that sees entropies and agreement (or by `entropy` alone, by \
                learnt `static` weights, `equal`), one head on their sum",
        unimodal: "a head of its own",
    },
    Card {
        name: "memory: {hidden: 64, tau: 0.5}",
        about: "gates read one modality after the other into a memory, one head on what it gives at the end",
        unimodal: "the head after the memory has read the modality alone",
    },
    Card {
        name: "mods: {width: 64, tokens: 8, layers: 3, heads: 4, iterations: 3, dropout: 0.1, aux_residual: false}",
        about: "sequences compressed by capsules and a graph, a primary modality chosen for each sample, the others attended; \
                features that are no sequences (any encoder but `sequence`) count as one frame, an analogue of ours",
        unimodal: "none; model.uni_heads gives some to methods that train them",
    },
    Card { name: "separate", about: "networks that share nothing, mean of their logits", unimodal: "its head" },
];
