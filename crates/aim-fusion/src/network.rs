//! The late-fusion network: an encoder a modality, then one fusion.

use std::collections::BTreeMap;

use aim_backbones::{Build, EncoderConfig, LayerNorm, Linear};
use aim_core::{
    Context, Encoder, Error, Fusion, Joined, Net, NetSpec, Offers, Output, Params, Part, Pass, Pool, Result, Site,
};
use candle_core::{Device, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::FusionConfig;

/// The model section of a config.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// Modalities that the network reads; all that have an encoder, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modalities: Option<Vec<String>>,
    /// An encoder for each modality.
    pub encoders: BTreeMap<String, EncoderConfig>,
    /// How the features are joined: a name, or one with settings, `{deep: {hidden: [256, 64]}}`.
    #[serde(default, with = "serde_yaml::with::singleton_map")]
    #[schemars(with = "FusionConfig")]
    pub fusion: FusionConfig,
    /// Whether each modality has an additional head of its own, whose output are then its unimodal logits.
    #[serde(default)]
    pub uni_heads: bool,
    /// Whether a layer norm ends each encoder.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub feature_norm: bool,
}

impl ModelConfig {
    /// What the network will be able to give, before it is built.
    pub fn offers(&self) -> Offers {
        let offers = self.fusion.offers();
        let adapters = self.encoders.values().any(|e| e.low_rank().is_some());
        let (uni_heads, unimodal) = (self.uni_heads, offers.unimodal || self.uni_heads);
        Offers { uni_heads, unimodal, adapters, normalised: self.feature_norm, ..offers }
    }
}

/// Encoders, a fusion and optional heads of their own for each modality.
pub struct LateFusion {
    spec: NetSpec,
    encoders: Vec<Box<dyn Encoder>>,
    /// One for each encoder, or none.
    norms: Vec<LayerNorm>,
    fusion: Box<dyn Fusion>,
    uni_heads: Vec<Linear>,
    params: Params,
}

impl LateFusion {
    /// Builds the network for samples of the given shapes. `modalities` gives names and order.
    ///
    /// # Errors
    /// If a modality has no encoder in the config, or shapes do not fit.
    pub fn new(
        config: &ModelConfig,
        modalities: &[(String, Vec<usize>)],
        classes: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        let mut build = Build::new(seed, device);
        let (names, inputs): (Vec<_>, Vec<_>) = modalities.iter().cloned().unzip();
        let (mut encoders, mut norms) = (Vec::with_capacity(names.len()), vec![]);
        for (m, (name, input)) in modalities.iter().enumerate() {
            let encoder = config.encoders.get(name).ok_or_else(|| no_encoder(name, config))?;
            encoder.check(&format!("model.encoders.{name}"))?;
            let encoder = encoder.build(&mut build, name, m, input)?;
            if config.feature_norm {
                let part = Part::Encoder { modality: m, depth: encoder.depth() - 1 };
                norms.push(build.layer_norm(&format!("norm.{name}"), part, encoder.width())?.eps(1e-5));
            }
            encoders.push(encoder);
        }
        let widths: Vec<_> = encoders.iter().map(|e| e.width()).collect();
        let frames = |(name, input): &(String, Vec<usize>)| config.encoders.get(name).map_or(1, |e| e.frames(input));
        let frames: Vec<_> = modalities.iter().map(frames).collect();
        let fusion = config.fusion.build(&mut build, &names, (&widths, &frames), classes)?;
        let uni_heads = if config.uni_heads { uni_heads(&mut build, &names, &widths, classes)? } else { vec![] };
        let offers = config.offers();
        let depths = encoders.iter().map(|e| e.depth()).collect();
        let spec = NetSpec { modalities: names, inputs, depths, widths, frames, classes, offers };
        Ok(Self { spec, encoders, norms, fusion, uni_heads, params: build.finish() })
    }
}

fn no_encoder(name: &str, config: &ModelConfig) -> Error {
    let known: Vec<_> = config.encoders.keys().map(String::as_str).collect();
    let problem = format!("no encoder for modality `{name}`, only for {}", known.join(", "));
    Error::invalid("model.encoders", problem, format!("add `{name}:` there"))
}

fn uni_heads(build: &mut Build, names: &[String], widths: &[usize], classes: usize) -> Result<Vec<Linear>> {
    let head = |(modality, (name, width)): (usize, (&String, &usize))| {
        build.linear(&format!("uni_head.{name}"), Part::UniHead { modality }, *width, classes, true)
    };
    names.iter().zip(widths).enumerate().map(head).collect()
}

impl Net for LateFusion {
    fn spec(&self) -> &NetSpec {
        &self.spec
    }

    fn params(&self) -> &Params {
        &self.params
    }

    fn encode(&self, modality: usize, x: &Tensor, pass: &mut Pass<'_>) -> Result<Tensor> {
        let shape = &self.spec.inputs[modality];
        if &x.dims()[1..] != shape {
            let name = format!("input of modality `{}`", self.spec.modalities[modality]);
            return Err(Error::shape(name, x.dims(), format!("[batch, {shape:?}]")));
        }
        let feature = self.encoders[modality]
            .forward(x, pass)
            .at(|| format!("encoder of modality `{}`", self.spec.modalities[modality]))?;
        let feature = self.norms.get(modality).map_or(Ok(feature.clone()), |norm| norm.forward(&feature, pass))?;
        pass.visit(Site::Feature { modality }, feature, Pool::None)
    }

    fn fuse(&self, features: Vec<Tensor>, present: Option<&Tensor>, pass: &mut Pass<'_>) -> Result<Output> {
        let features = mask(features, present, pass)?;
        let Joined { logits, mut unimodal, extras } = self.fusion.forward(&features, pass).at(|| "fusion".into())?;
        if !self.uni_heads.is_empty() {
            unimodal = self.uni_heads.iter().zip(&features).map(|(h, x)| h.forward(x, pass)).collect::<Result<_>>()?;
        }
        Ok(Output { logits, unimodal, features, extras })
    }
}

/// Zeroes features of modalities that the pass leaves out or that samples lack.
fn mask(features: Vec<Tensor>, present: Option<&Tensor>, pass: &Pass<'_>) -> Result<Vec<Tensor>> {
    let one = |(m, x): (usize, Tensor)| match present {
        _ if !pass.includes(m) => Ok(x.zeros_like()?),
        Some(present) => Ok(x.broadcast_mul(&present.narrow(1, m, 1)?)?),
        None => Ok(x),
    };
    features.into_iter().enumerate().map(one).collect()
}
