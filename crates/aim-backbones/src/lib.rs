//! Encoders and the layers they are made of. Every parameter gets its name, role and seeded initial value from [`Build`];
//! every layer asks the [`Pass`](aim_core::Pass) for the tensors that stand for its parameters.
#![deny(missing_docs)]

mod attention;
mod build;
mod cnn;
mod config;
mod frames;
mod layers;
mod mlp;
mod resnet;
mod sequence;
mod transformer;
mod vit;

#[cfg(test)]
mod reference;

pub use build::{Build, ConvSize, Init, LowRank, Targets};
pub use cnn::Cnn;
pub use config::{CARDS, Card, EncoderConfig};
pub use layers::{BatchNorm, Conv, Conv1d, LayerNorm, Linear, blend};
pub use mlp::Mlp;
pub use resnet::ResNet18;
pub use sequence::Sequence;
pub use transformer::{Transformer, TransformerConfig};
pub use vit::{Vit, VitConfig};
