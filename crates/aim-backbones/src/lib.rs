//! Encoders and the layers they are made of. Every parameter gets its name, role and seeded initial value from
//! [`Build`]; every layer asks the [`Pass`](aim_core::Pass) for the tensors that stand for its parameters.
//!
//! An encoder is named in a configuration by its settings; one of your own implements [`EncoderSettings`] and joins a
//! registry by [`card`]. Encoders of plain candle layers are made with the crate `aim-functional`.
//!
//! ```
//! use aim_backbones::{Build, CnnConfig, encoder};
//! use aim_core::{Input, Pass};
//! use candle_core::{DType, Device, Tensor};
//!
//! let spec = encoder(CnnConfig { widths: vec![16, 32], ..CnnConfig::default() });
//! let mut build = Build::new(0, &Device::Cpu);
//! let cnn = spec.build(&mut build, "image", 0, &[1, 28, 28])?;
//! let images = Tensor::zeros((4, 1, 28, 28), DType::F32, &Device::Cpu)?;
//! assert_eq!(cnn.forward(&Input::from(images), &mut Pass::eval())?.dims(), [4, 32]);
//! # Ok::<(), aim_core::Error>(())
//! ```
#![deny(missing_docs)]

mod attention;
mod build;
mod config;
mod frames;
mod layers;
mod names;
mod positions;
mod presets;
mod weights;

#[cfg(test)]
mod reference;

pub use build::{Build, ConvSize, Freeze, Init, LowRank, Targets};
pub use config::{EncoderCard, EncoderInfo, EncoderSettings, EncoderSpec, Encoders, builtin, card, encoder};
pub use layers::{Adapter, BatchNorm, Conv, Conv1d, LayerNorm, Linear, blend, with_addition};
pub use weights::{Adopted, Starting, Tensors, Weights};

/// Declares the modules of encoders, and the settings and encoder that each exports.
macro_rules! encoders {
    ($($module:ident: $settings:ident, $encoder:ident;)+) => {
        $(
            mod $module;
            pub use $module::{$encoder, $settings};
        )+

        fn all() -> Encoders {
            let mut encoders = Encoders::new("encoder", "backbones");
            // Names differ, as a test makes sure.
            $(drop(encoders.add(card::<$settings>()));)+
            presets::all().into_iter().for_each(|card| drop(encoders.add(card)));
            encoders
        }
    };
}

pub use tcn::TcnFeature;
pub use transformer::{Family, Layout, SequenceFeature};
pub use vit::VitFeature;

// One line an encoder.
encoders! {
    mlp: MlpConfig, Mlp;
    cnn: CnnConfig, Cnn;
    sequence: SequenceConfig, Sequence;
    resnet: ResNetConfig, ResNet;
    vit: VitConfig, Vit;
    transformer: TransformerConfig, Transformer;
    tcn: TcnConfig, Tcn;
    statistics: StatisticsConfig, Statistics;
}
