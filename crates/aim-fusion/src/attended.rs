//! Fusions that attend over tokens: each modality over the others' (after MulT, Tsai et al. 2019), and all through a
//! few tokens between them (after MBT, Nagrani et al. 2021).
//!
//! By default a modality's tokens are the frames of an encoder that keeps the time axis (`sequence`), and of any other
//! encoder the feature, which is one token. With `reads: tokens` encoders hand on what their features are made of:
//!
//! | encoder | tokens |
//! |---|---|
//! | `vit` | patches, of a video those of all frames, without the class token |
//! | `transformer` | words, of which the first always counts; or vectors, without the class token |
//! | `tcn` | positions behind the last block |
//! | `sequence` | frames |
//! | any other | the feature |
//!
//! A token of zeros, padding or a modality that is masked, is none: nobody sees it, and no mean counts it.

use aim_backbones::{Build, Init, LayerNorm, Linear};
use aim_config::{at_least, below, by_type, choice, settings, whole};
use aim_core::{Capabilities, Capability, Fusion, Handle, Joined, Kind, Part, Pass, Result, Role, capability};
use candle_core::{DType, Tensor};

use crate::{
    Features, FusionInfo, FusionSettings,
    attention::{Attention, EPS, Forward, Sizes},
    heads::{apply, heads, total},
};

const OFFERS: &[Capability] = &[capability::VIEWS];
/// What is said of logits of single modalities, which these fusions have not.
const NONE: &str = "none; model.uni_heads gives some to methods that train them";

choice! {
    /// What is read of encoders whose features are made of tokens.
    pub enum Reads {
        /// The feature, as one token; that of `sequence` is its frames.
        Feature = "feature",
        /// The tokens.
        Tokens = "tokens",
    }
}

settings! {
    /// Settings of the fusion `cross-attention`.
    pub struct CrossAttentionConfig {
        /// Width of tokens.
        pub width: usize = 64 => at_least(1), "ours";
        /// Layers.
        pub layers: usize = 2 => whole(1, 1000), "ours";
        /// Heads of an attention.
        pub heads: usize = 4 => whole(1, 1000), "ours";
        /// Dropout behind attention and linear maps.
        pub dropout: f64 = 0.1 => below(0., 1.), "released";
        /// What it reads of a modality: the feature, which is one token (of `sequence`, its frames) | the tokens that
        /// the feature is made of: patches of `vit`, words or vectors of `transformer`, positions of `tcn`, frames of
        /// `sequence`; those of any other encoder are its feature.
        pub reads: Reads = Reads::Feature => by_type(), "ours";
    }
}

settings! {
    /// Settings of the fusion `bottleneck`.
    pub struct BottleneckConfig {
        /// Width of tokens.
        pub width: usize = 64 => at_least(1), "ours";
        /// Tokens through which modalities see each other.
        pub tokens: usize = 4 => whole(1, 1000), "paper";
        /// Layers.
        pub layers: usize = 2 => whole(1, 1000), "ours";
        /// Heads of an attention.
        pub heads: usize = 4 => whole(1, 1000), "ours";
        /// Dropout behind attention and linear maps.
        pub dropout: f64 = 0.1 => below(0., 1.), "ours";
        /// What it reads of a modality: the feature, which is one token (of `sequence`, its frames) | the tokens that
        /// the feature is made of: patches of `vit`, words or vectors of `transformer`, positions of `tcn`, frames of
        /// `sequence`; those of any other encoder are its feature.
        pub reads: Reads = Reads::Feature => by_type(), "ours";
    }
}

/// The settings' traits, which differ in names alone.
macro_rules! attended {
    ($settings:ident, $fusion:ident, $info:expr) => {
        impl $settings {
            fn sizes(&self) -> Sizes {
                Sizes { width: self.width, heads: self.heads, dropout: self.dropout }
            }
        }

        impl FusionSettings for $settings {
            fn info(&self) -> &'static FusionInfo {
                static INFO: FusionInfo = $info;
                &INFO
            }

            fn capabilities(&self) -> Capabilities {
                Capabilities::of(OFFERS)
            }

            fn skips_zero_frames(&self) -> bool {
                true
            }

            fn reads_tokens(&self) -> bool {
                self.reads == Reads::Tokens
            }

            fn build(&self, build: &mut Build, on: &Features<'_>) -> Result<Box<dyn Fusion>> {
                Ok(Box::new($fusion::new(build, on, self)?))
            }

            fn check(&self, place: &str) -> Result<()> {
                self.sizes().check(place)
            }
        }
    };
}

attended!(
    CrossAttentionConfig,
    CrossAttention,
    FusionInfo {
        name: "cross-attention",
        about: "tokens of each modality attend to all others', one linear head over the means (MulT-like); a feature \
            is one token, unless it is of `sequence` or `reads` says otherwise",
        unimodal: NONE,
        modalities: (2, usize::MAX),
    }
);

attended!(
    BottleneckConfig,
    Bottleneck,
    FusionInfo {
        name: "bottleneck",
        about: "modalities attend to themselves and to a few tokens between them, mean of one linear head each (MBT); \
            a feature is one token, unless it is of `sequence` or `reads` says otherwise",
        unimodal: NONE,
        modalities: (2, usize::MAX),
    }
);

/// The tokens of one modality.
#[derive(Clone)]
struct Tokens {
    /// `[B, T, width]`
    values: Tensor,
    /// Which of them there are, 1 or 0: `[B, T]`.
    seen: Tensor,
}

impl Tokens {
    /// The mean of those that there are, `[B, width]`; zeros if there is none.
    fn mean(&self) -> Result<Tensor> {
        let shares = self.seen.broadcast_div(&self.seen.sum_keepdim(1)?.maximum(1f32)?)?;
        Ok(shares.unsqueeze(1)?.matmul(&self.values)?.squeeze(1)?)
    }
}

/// A linear map from frames to tokens.
struct Project {
    linear: Linear,
    frames: usize,
}

impl Project {
    /// `project.<modality>.*` `[width, frame]` for each modality.
    fn all(build: &mut Build, on: &Features<'_>, width: usize) -> Result<Vec<Self>> {
        let one = |((name, feature), frames): ((&String, &usize), &usize)| {
            let linear = build.linear(&format!("project.{name}"), Part::Fusion, feature / frames, width, true)?;
            Ok(Self { linear, frames: *frames })
        };
        on.names.iter().zip(on.widths).zip(on.frames).map(one).collect()
    }

    fn forward(&self, feature: &Tensor, pass: &Pass<'_>) -> Result<Tokens> {
        let (batch, wide) = feature.dims2()?;
        let frames = feature.reshape((batch, self.frames, wide / self.frames))?;
        let seen = frames.detach().abs()?.sum(2)?.ne(0f32)?.to_dtype(DType::F32)?;
        Ok(Tokens { values: self.linear.forward(&frames, pass)?, seen })
    }
}

/// What `x` sees of tokens; zeros for samples that have none.
fn attend(attention: &Attention, x: &Tensor, of: &Tensor, seen: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
    let (batch, length) = seen.dims2()?;
    let any = seen.max_keepdim(1)?;
    // Where nothing may be seen everything is, and does not count.
    let mask = seen.broadcast_maximum(&(1. - &any)?)?.to_dtype(DType::U8)?.reshape((batch, 1, 1, length))?;
    Ok(attention.forward(x, of, Some(&mask), pass)?.broadcast_mul(&any.unsqueeze(2)?)?)
}

/// An attention with the norm before it and the linear maps behind it.
struct Layer {
    norm: LayerNorm,
    attention: Attention,
    forward: Forward,
}

impl Layer {
    /// `layers.<index>.<modality>.norm`, `.attention` and `.forward` for each modality.
    fn all(build: &mut Build, index: usize, names: &[String], sizes: Sizes) -> Result<Vec<Self>> {
        let one = |name: &String| {
            let name = format!("layers.{index}.{name}");
            Ok(Self {
                norm: build.layer_norm(&format!("{name}.norm"), Part::Fusion, sizes.width)?.eps(EPS),
                attention: Attention::new(build, &format!("{name}.attention"), sizes)?,
                forward: Forward::new(build, &format!("{name}.forward"), sizes)?,
            })
        };
        names.iter().map(one).collect()
    }
}

/// Each modality's tokens attend to those of all others, layer by layer; a head reads the means of all side by side.
pub struct CrossAttention {
    project: Vec<Project>,
    layers: Vec<Vec<Layer>>,
    head: Linear,
}

impl CrossAttention {
    /// `project.*`, `layers.<i>.<modality>.*`, and `head.*` `[classes, M * width]`.
    ///
    /// # Errors
    /// If names are taken.
    pub fn new(build: &mut Build, on: &Features<'_>, config: &CrossAttentionConfig) -> Result<Self> {
        let layers = (0..config.layers).map(|i| Layer::all(build, i, on.names, config.sizes()));
        let layers = layers.collect::<Result<_>>()?;
        let wide = on.names.len() * config.width;
        Ok(Self {
            layers,
            project: Project::all(build, on, config.width)?,
            head: build.linear("head", Part::Head { modality: None }, wide, on.classes, true)?,
        })
    }

    fn layer(layer: &[Layer], streams: &mut [Tokens], pass: &Pass<'_>) -> Result<()> {
        let normal = layer.iter().zip(&*streams).map(|(own, x)| own.norm.forward(&x.values, pass));
        let normal = normal.collect::<Result<Vec<_>>>()?;
        let seen: Vec<Tensor> = streams.iter().map(|x| x.seen.clone()).collect();
        for (m, (own, x)) in layer.iter().zip(streams).enumerate() {
            let others = |all: &[Tensor]| {
                let rest = all.iter().enumerate().filter(|(k, _)| *k != m).map(|(_, x)| x.clone());
                Tensor::cat(&rest.collect::<Vec<_>>(), 1)
            };
            let change = attend(&own.attention, &normal[m], &others(&normal)?, &others(&seen)?, pass)?;
            x.values = own.forward.forward(&(&x.values + change)?, pass)?;
        }
        Ok(())
    }
}

impl Fusion for CrossAttention {
    fn capabilities(&self) -> Capabilities {
        Capabilities::of(OFFERS)
    }
    fn forward(&self, features: &[Tensor], pass: &mut Pass<'_>) -> Result<Joined> {
        let mut streams = tokens(&self.project, features, pass)?;
        for layer in &self.layers {
            Self::layer(layer, &mut streams, pass)?;
        }
        let means = streams.iter().map(Tokens::mean).collect::<Result<Vec<_>>>()?;
        Ok((self.head.forward(&Tensor::cat(&means, 1)?, pass)?, vec![]).into())
    }
}

/// Tokens of every modality.
fn tokens(project: &[Project], features: &[Tensor], pass: &Pass<'_>) -> Result<Vec<Tokens>> {
    project.iter().zip(features).map(|(project, x)| project.forward(x, pass)).collect()
}

/// Each modality's tokens attend to themselves and to tokens that all share; what these become is averaged over the
/// modalities that a sample has. Logits are the mean of the modalities' heads on the means of their tokens.
pub struct Bottleneck {
    project: Vec<Project>,
    shared: Handle,
    layers: Vec<Vec<Layer>>,
    heads: Vec<Linear>,
}

impl Bottleneck {
    /// `project.*`, `bottleneck` `[1, tokens, width]`, `layers.<i>.<modality>.*`, and `head.<modality>.*`.
    ///
    /// # Errors
    /// If names are taken.
    pub fn new(build: &mut Build, on: &Features<'_>, config: &BottleneckConfig) -> Result<Self> {
        let BottleneckConfig { width, tokens, .. } = *config;
        let role = Role { part: Part::Fusion, kind: Kind::Embedding };
        let shared = build.param("bottleneck", role, &[1, tokens, width], Init::Normal(0.02), (width, width))?;
        let layers = (0..config.layers).map(|i| Layer::all(build, i, on.names, config.sizes()));
        let layers = layers.collect::<Result<_>>()?;
        let heads = heads(build, on.names, &vec![width; on.names.len()], on.classes)?;
        Ok(Self { project: Project::all(build, on, width)?, shared, layers, heads })
    }

    /// The shared tokens as one modality leaves them, its own being changed in place.
    fn one(own: &Layer, x: &mut Tokens, shared: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let (batch, count, _) = shared.dims3()?;
        let length = x.values.dim(1)?;
        let all = Tensor::cat(&[&x.values, shared], 1)?;
        let seen = Tensor::cat(&[x.seen.clone(), Tensor::ones((batch, count), DType::F32, shared.device())?], 1)?;
        let normal = own.norm.forward(&all, pass)?;
        let all = own.forward.forward(&(&all + attend(&own.attention, &normal, &normal, &seen, pass)?)?, pass)?;
        x.values = all.narrow(1, 0, length)?.contiguous()?;
        Ok(all.narrow(1, length, count)?.contiguous()?)
    }
}

/// Which share of a mean over modalities each has, by sample, `[B, M]`: those with a token alike.
fn shares(streams: &[Tokens]) -> Result<Tensor> {
    let there: Vec<Tensor> = streams.iter().map(|x| x.seen.max_keepdim(1)).collect::<candle_core::Result<_>>()?;
    let there = Tensor::cat(&there, 1)?;
    Ok(there.broadcast_div(&there.sum_keepdim(1)?.maximum(1f32)?)?)
}

impl Fusion for Bottleneck {
    fn capabilities(&self) -> Capabilities {
        Capabilities::of(OFFERS)
    }
    fn forward(&self, features: &[Tensor], pass: &mut Pass<'_>) -> Result<Joined> {
        let mut streams = tokens(&self.project, features, pass)?;
        let shares = shares(&streams)?;
        let weighted = |parts: Vec<Tensor>| {
            let one = |(m, x): (usize, &Tensor)| {
                let share = shares.narrow(1, m, 1)?;
                x.broadcast_mul(&if x.rank() == 3 { share.unsqueeze(2)? } else { share })
            };
            total(&parts.iter().enumerate().map(one).collect::<candle_core::Result<Vec<_>>>()?)
        };
        let (batch, shared) = (shares.dim(0)?, pass.weight(&self.shared));
        let mut shared = shared.broadcast_as((batch, shared.dim(1)?, shared.dim(2)?))?.contiguous()?;
        for layer in &self.layers {
            let left = layer.iter().zip(&mut streams).map(|(own, x)| Self::one(own, x, &shared, pass));
            shared = weighted(left.collect::<Result<_>>()?)?;
        }
        let means = streams.iter().map(Tokens::mean).collect::<Result<Vec<_>>>()?;
        Ok((weighted(apply(&self.heads, &means, pass)?)?, vec![]).into())
    }
}
