//! The encoder section of a config, and the cards that describe it.

use aim_core::{Encoder, Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Build, Cnn, LowRank, Mlp, ResNet18, Sequence, Targets, Transformer, TransformerConfig, Vit, VitConfig};

/// An encoder as a config names it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum EncoderConfig {
    /// Multilayer perceptron.
    Mlp {
        /// Width of each block.
        widths: Vec<usize>,
        /// Low-rank additions to its layers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lora: Option<LowRank>,
    },
    /// Small convolutional network.
    Cnn {
        /// Channels of each block.
        widths: Vec<usize>,
        /// Low-rank additions to its layers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lora: Option<LowRank>,
    },
    /// Linear layers for each frame of a sequence.
    Sequence {
        /// Width of each block.
        widths: Vec<usize>,
        /// Low-rank additions to its layers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lora: Option<LowRank>,
    },
    /// ResNet-18.
    #[serde(rename = "resnet18")]
    ResNet18 {
        /// Channels of the first stage.
        #[serde(default = "resnet_width")]
        base_width: usize,
        /// Low-rank additions to its layers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lora: Option<LowRank>,
    },
    /// Vision transformer.
    Vit(VitConfig),
    /// Transformer over words or vectors.
    Transformer(TransformerConfig),
}

fn resnet_width() -> usize {
    64
}

impl EncoderConfig {
    /// Number of blocks that the encoder will have.
    pub fn depth(&self) -> usize {
        match self {
            Self::Mlp { widths, .. } | Self::Cnn { widths, .. } | Self::Sequence { widths, .. } => widths.len(),
            Self::ResNet18 { .. } => 4,
            Self::Vit(config) => config.blocks,
            Self::Transformer(config) => config.blocks,
        }
    }

    /// Number of frames that stand side by side in the feature of samples of shape `input`: 1 unless it keeps the time axis.
    pub fn frames(&self, input: &[usize]) -> usize {
        match (self, input) {
            (Self::Sequence { .. }, [_, length]) => *length,
            _ => 1,
        }
    }

    /// Low-rank additions to its layers.
    pub fn low_rank(&self) -> Option<LowRank> {
        match self {
            Self::Mlp { lora, .. }
            | Self::Cnn { lora, .. }
            | Self::Sequence { lora, .. }
            | Self::ResNet18 { lora, .. } => *lora,
            Self::Vit(config) => config.lora,
            Self::Transformer(config) => config.lora,
        }
    }

    /// The same encoder without low-rank additions.
    #[must_use]
    pub fn without_low_rank(mut self) -> Self {
        match &mut self {
            Self::Mlp { lora, .. }
            | Self::Cnn { lora, .. }
            | Self::Sequence { lora, .. }
            | Self::ResNet18 { lora, .. } => *lora = None,
            Self::Vit(config) => config.lora = None,
            Self::Transformer(config) => config.lora = None,
        }
        self
    }

    /// Checks the values; `place` names the section in messages.
    ///
    /// # Errors
    /// If a width is 0, there is no block, or values do not fit together.
    pub fn check(&self, place: &str) -> Result<()> {
        if self.low_rank().is_some_and(|l| l.rank == 0 || !l.scale.is_finite()) {
            return Err(Error::invalid(
                format!("{place}.lora"),
                "has rank 0 or no finite scale",
                "use a rank of at least 1",
            ));
        }
        if let Some(LowRank { targets, first_block, .. }) = self.low_rank() {
            if targets == Targets::Attention && !matches!(self, Self::Vit(_) | Self::Transformer(_)) {
                let problem = "is attention, which this encoder has not";
                return Err(Error::invalid(format!("{place}.lora.targets"), problem, "use all"));
            }
            if first_block > 0 && first_block >= self.depth() {
                let (problem, last) = (format!("is {first_block}"), self.depth().saturating_sub(1));
                let remedy = format!("use a block from 0 to {last}");
                return Err(Error::invalid(format!("{place}.lora.first_block"), problem, remedy));
            }
        }
        let bad = match self {
            Self::Mlp { widths, .. } | Self::Cnn { widths, .. } | Self::Sequence { widths, .. } => {
                widths.is_empty() || widths.contains(&0)
            }
            Self::ResNet18 { base_width, .. } => *base_width == 0,
            Self::Vit(config) => return config.check(place),
            Self::Transformer(config) => return config.check(place),
        };
        if bad {
            return Err(Error::invalid(place, "has no width or a width of 0", "give each block at least one unit"));
        }
        Ok(())
    }

    /// Makes the encoder for samples of shape `input`; its parameters are named `encoders.<modality name>.…`.
    ///
    /// # Errors
    /// If the input does not fit the encoder.
    pub fn build(&self, build: &mut Build, name: &str, index: usize, input: &[usize]) -> Result<Box<dyn Encoder>> {
        let prefix = format!("encoders.{name}");
        build.set_low_rank(self.low_rank());
        Ok(match self {
            Self::Mlp { widths, .. } => Box::new(Mlp::new(build, &prefix, index, input.iter().product(), widths)?),
            Self::Cnn { widths, .. } => Box::new(Cnn::new(build, &prefix, index, input, widths)?),
            Self::Vit(config) => Box::new(Vit::new(build, &prefix, index, input, config)?),
            Self::Transformer(config) => Box::new(Transformer::new(build, &prefix, index, input, config)?),
            Self::Sequence { widths, .. } => Box::new(Sequence::new(build, &prefix, index, input, widths)?),
            Self::ResNet18 { base_width, .. } => Box::new(ResNet18::new(build, &prefix, index, input, *base_width)?),
        })
    }
}

/// What `list backbones` says of an encoder.
pub struct Card {
    /// Name in a config.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// Inputs it takes, per sample.
    pub input: &'static str,
    /// Its settings with defaults.
    pub settings: &'static str,
}

/// Every encoder.
pub static CARDS: &[Card] = &[
    Card {
        name: "mlp",
        about: "linear layers, each with ReLU; a block is a layer",
        input: "any shape, flattened",
        settings: "widths: one number a block (required)",
    },
    Card {
        name: "cnn",
        about: "convolution of stride 2, batch norm, ReLU; then a global average",
        input: "[C, H, W] (3x3), [C, L] or [L] (5)",
        settings: "widths: channels of each block (required)",
    },
    Card {
        name: "sequence",
        about: "linear layers on each frame of a sequence, each with ReLU; keeps the time axis: frames side by side",
        input: "[C, L]",
        settings: "widths: one number a block (required)",
    },
    Card {
        name: "resnet18",
        about: "ResNet-18 with torchvision's names; 4 blocks, the stem in the first",
        input: "[C, H, W], or video [C, T, H, W] averaged over frames",
        settings: "base_width: 64, channels of the first stage",
    },
    Card {
        name: "vit",
        about: "vision transformer with Hugging Face's names; its layers form 4 blocks, the embeddings in the first",
        input: "[C, H, W] that patches fill, or video [C, T, H, W] averaged over frames",
        settings: "patch 16, width 192, layers 12, heads 3, blocks 4, dropout 0",
    },
    Card {
        name: "transformer",
        about: "transformer over a sequence with the names of Hugging Face's BERT; its layers form 4 blocks",
        input: "[T, C] vectors (zeros are padding), or [T] ids below `vocabulary` (0 is padding)",
        settings: "vocabulary: none, width 256, layers 4, heads 4, blocks 4, dropout 0.1",
    },
];
