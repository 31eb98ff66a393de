//! The network: an encoder a modality, then one fusion, which may also act between the encoders' blocks.

use std::collections::BTreeMap;

use aim_backbones::{Build, EncoderCard, EncoderSpec, LayerNorm, Linear};
use aim_core::{
    Batch, Capabilities, Capability, Context, Encoder, Error, Flow, Fusion, Inner, Input, Joined, Net, NetSpec, Output,
    Params, Part, Pass, Pool, Result, Site, Staged, capability,
};
use candle_core::{Device, Tensor};
use serde::Serialize;

use crate::{Features, FusionSpec, check_widths};

/// The model section of a configuration.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelConfig {
    /// Modalities that the network reads; all that have an encoder, if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modalities: Option<Vec<String>>,
    /// An encoder for each modality.
    pub encoders: BTreeMap<String, EncoderSpec>,
    /// How the features are joined.
    pub fusion: FusionSpec,
    /// Whether each modality has an additional head of its own, whose output are then its unimodal logits.
    pub uni_heads: bool,
    /// Whether a layer norm ends each encoder.
    pub feature_norm: bool,
}

impl ModelConfig {
    /// Encoders joined by a fusion, without additional heads.
    pub fn new(encoders: impl IntoIterator<Item = (String, EncoderSpec)>, fusion: FusionSpec) -> Self {
        let encoders = encoders.into_iter().collect();
        Self { modalities: None, encoders, fusion, uni_heads: false, feature_norm: false }
    }

    /// Checks what encoders, fusion and norms cannot say alone.
    ///
    /// # Errors
    /// If an encoder lacks what a fusion between its blocks needs, none has the tokens that a fusion is to read, or
    /// norms would make something of frames of zeros before a fusion that takes these for padding.
    pub fn check(&self) -> Result<()> {
        if let Some(needed) = self.fusion.of_encoders() {
            self.used().try_for_each(|(name, encoder)| self.gives(name, encoder, needed))?;
        }
        self.check_tokens()?;
        let read = self.fusion.reads_tokens();
        let unpooled = |encoder: &EncoderSpec| read && encoder.capabilities().has(capability::UNPOOLED);
        let frames = self.used().any(|(_, encoder)| encoder.keeps_time() || unpooled(encoder));
        if !(self.feature_norm && frames && self.fusion.skips_zero_frames()) {
            return Ok(());
        }
        let problem = format!("makes tokens of padded frames, which `{}` knows by their zeros", self.fusion.name());
        let other = if read { "leave `reads` of the fusion out" } else { "use encoders that keep no time axis" };
        Err(Error::invalid("model.feature_norm", problem, format!("leave it out, or {other}")))
    }

    /// Widths of the features, by modality, of those whose encoders' settings say them.
    pub fn widths(&self) -> Vec<(String, usize)> {
        // Tokens stand side by side, and a sample says how many.
        let unpooled = |encoder: &EncoderSpec| encoder.capabilities().has(capability::UNPOOLED);
        let pooled = self.used().filter(|(_, encoder)| !(self.fusion.reads_tokens() && unpooled(encoder)));
        pooled.filter_map(|(name, encoder)| Some((name.clone(), encoder.feature_width()?))).collect()
    }

    /// Checks that the fusion can join features of the [widths](Self::widths) that are known without data.
    ///
    /// # Errors
    /// If they must be equal and are not; the message names the width of each modality.
    pub fn check_widths(&self) -> Result<()> {
        let (names, widths): (Vec<_>, Vec<_>) = self.widths().into_iter().unzip();
        let frames = vec![1; names.len()];
        let known = Features { names: &names, widths: &widths, frames: &frames, stages: &[], classes: 0 };
        check_widths(&self.fusion, &known, "model.fusion")
    }

    /// Checks that a fusion that reads tokens has an encoder that hands some on.
    fn check_tokens(&self) -> Result<()> {
        let any = self.used().any(|(_, encoder)| encoder.capabilities().has(capability::UNPOOLED));
        if any || !self.fusion.reads_tokens() {
            return Ok(());
        }
        let remedy = format!("use {}, or leave it out", able(capability::UNPOOLED));
        Err(Error::invalid("model.fusion.reads", "is tokens, but no encoder has any", remedy))
    }

    /// Checks that an encoder has what the fusion needs of each.
    fn gives(&self, name: &str, encoder: &EncoderSpec, needed: Capability) -> Result<()> {
        if encoder.capabilities().has(needed) {
            return Ok(());
        }
        let problem = format!("is `{}`, and `{}` needs {}", encoder.name(), self.fusion.name(), needed.meaning());
        let remedy = format!("use {}, or a fusion behind the encoders", able(needed));
        Err(Error::invalid(format!("model.encoders.{name}"), problem, remedy))
    }

    /// The encoders of the modalities that the network reads.
    fn used(&self) -> impl Iterator<Item = (&String, &EncoderSpec)> {
        let used = |name: &String| self.modalities.as_ref().is_none_or(|used| used.contains(name));
        self.encoders.iter().filter(move |(name, _)| used(name))
    }

    /// Capabilities that the network will have, before it is built.
    pub fn capabilities(&self) -> Capabilities {
        let encoders = self.used().map(|(_, encoder)| encoder.capabilities());
        let whole = joined(encoders, &self.fusion.capabilities(), self.uni_heads);
        if self.feature_norm { whole.with(&[capability::NORMALISED]) } else { whole }
    }
}

/// The encoders that have a capability, in words.
fn able(needed: Capability) -> String {
    // Presets are the same encoders in other sizes.
    let whole = |card: &&EncoderCard| card.name() == card.defaults().info().name;
    let able = aim_backbones::builtin().iter().filter(|card| card.defaults().capabilities().has(needed));
    format!("one of {}", able.filter(whole).map(EncoderCard::name).collect::<Vec<_>>().join(", "))
}

/// Capabilities of encoders that a network has where all of them do.
const OF_ALL: [Capability; 4] = [capability::VIEWS, capability::SITES, capability::STAGED, capability::TOKENS];

/// Capabilities of a network: views and sites where every part has them, adapters where one encoder has some.
fn joined(encoders: impl Iterator<Item = Capabilities>, fusion: &Capabilities, uni_heads: bool) -> Capabilities {
    let encoders: Vec<Capabilities> = encoders.collect();
    let everywhere = |wanted: Capability| encoders.iter().all(|own| own.has(wanted));
    let mut all = Capabilities::default();
    for own in fusion.iter().filter(|c| *c != capability::VIEWS || everywhere(capability::VIEWS)) {
        all = all.with(&[own]);
    }
    for own in encoders.iter().flat_map(Capabilities::iter) {
        // Views are the fusion's as well.
        if own != capability::VIEWS && (!OF_ALL.contains(&own) || everywhere(own)) {
            all = all.with(&[own]);
        }
    }
    if uni_heads { all.with_uni_heads() } else { all }
}

/// The parts of a network, made in one [`Build`].
pub struct NetParts {
    /// The source of all parameters of the parts.
    pub build: Build,
    /// The encoders, in the order of inputs and ties.
    pub encoders: Vec<Branch>,
    /// The fusion with its head.
    pub fusion: Box<dyn Fusion>,
    /// Whether each modality has an additional head of its own, whose output are then its unimodal logits.
    pub uni_heads: bool,
    /// Number of classes.
    pub classes: usize,
}

/// The encoder of one modality.
pub struct Branch {
    /// Name of the modality.
    pub name: String,
    /// Shape of one sample.
    pub input: Vec<usize>,
    /// Number of frames side by side in the feature: 1 unless the encoder keeps the time axis or was unpooled.
    pub frames: usize,
    /// The encoder, made for this place among the modalities.
    pub encoder: Box<dyn Encoder>,
}

impl Branch {
    /// A modality whose feature has no time axis.
    pub fn new(name: impl Into<String>, input: &[usize], encoder: impl Encoder + 'static) -> Self {
        Self { name: name.into(), input: input.to_vec(), frames: 1, encoder: Box::new(encoder) }
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
    /// If a modality has no encoder in the config, shapes or widths do not fit, or norms would hide padding from the
    /// fusion.
    pub fn new(
        config: &ModelConfig,
        modalities: &[(String, Vec<usize>)],
        classes: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Self> {
        config.check()?;
        let mut build = Build::new(seed, device);
        let (mut encoders, mut norms) = (Vec::with_capacity(modalities.len()), vec![]);
        for (m, (name, input)) in modalities.iter().enumerate() {
            let settings = config.encoders.get(name).ok_or_else(|| no_encoder(name, config))?;
            build.set_low_rank(settings.low_rank());
            build.set_frozen(settings.freeze());
            let mut encoder = settings.build(&mut build, name, m, input)?;
            build.set_frozen(None);
            let tokens = if config.fusion.reads_tokens() { encoder.unpool() } else { None };
            let frames = tokens.unwrap_or_else(|| settings.frames(input));
            if config.feature_norm {
                let part = Part::Encoder { modality: m, depth: encoder.depth().saturating_sub(1) };
                norms.push(build.layer_norm(&format!("norm.{name}"), part, encoder.width())?.eps(1e-5));
            }
            encoders.push(Branch { name: name.clone(), input: input.clone(), frames, encoder });
        }
        let names: Vec<_> = encoders.iter().map(|b| b.name.clone()).collect();
        let widths: Vec<_> = encoders.iter().map(|b| b.encoder.width()).collect();
        let frames: Vec<_> = encoders.iter().map(|b| b.frames).collect();
        let stages: Vec<_> = encoders.iter().map(|b| channels(&*b.encoder)).collect();
        let features = Features { names: &names, widths: &widths, frames: &frames, stages: &stages, classes };
        check_widths(&config.fusion, &features, "model.fusion")?;
        let fusion = config.fusion.build(&mut build, &features)?;
        let mut net = Self::from_parts(NetParts { build, encoders, fusion, uni_heads: config.uni_heads, classes })?;
        // These are those of the encoders as built: settings promise them before there is an encoder.
        let built = |c: Capability| !OF_ALL.contains(&c) || net.spec.capabilities.has(c);
        let promised: Vec<Capability> = config.capabilities().iter().filter(|c| built(*c)).collect();
        net.spec.capabilities = Capabilities::of(&promised);
        Ok(Self { norms, ..net })
    }

    /// A network of parts that were made by hand.
    ///
    /// # Errors
    /// If there is no modality, two have one name, the name of a head is taken, or a fusion acts between blocks of an
    /// encoder that does not run block by block.
    pub fn from_parts(parts: NetParts) -> Result<Self> {
        let NetParts { mut build, encoders, fusion, uni_heads: own, classes } = parts;
        distinct(&encoders)?;
        if fusion.inner().is_some() {
            encoders.iter().try_for_each(|b| staged(&b.name, &*b.encoder).map(drop))?;
        }
        let capabilities = joined(encoders.iter().map(|b| b.encoder.capabilities()), &fusion.capabilities(), own);
        let spec = NetSpec {
            modalities: encoders.iter().map(|b| b.name.clone()).collect(),
            inputs: encoders.iter().map(|b| b.input.clone()).collect(),
            depths: encoders.iter().map(|b| b.encoder.depth()).collect(),
            widths: encoders.iter().map(|b| b.encoder.width()).collect(),
            frames: encoders.iter().map(|b| b.frames).collect(),
            classes,
            capabilities,
        };
        let uni_heads = if own { uni_heads(&mut build, &spec.modalities, &spec.widths, classes)? } else { vec![] };
        let encoders = encoders.into_iter().map(|b| b.encoder).collect();
        Ok(Self { spec, encoders, norms: vec![], fusion, uni_heads, params: build.finish() })
    }
}

/// Checks that there are modalities and that no two share a name.
fn distinct(encoders: &[Branch]) -> Result<()> {
    if encoders.is_empty() {
        return Err(Error::invalid("network", "has no modality", "give it at least one encoder"));
    }
    let twice =
        |(m, b): (usize, &Branch)| encoders[..m].iter().any(|other| other.name == b.name).then(|| b.name.clone());
    match encoders.iter().enumerate().find_map(twice) {
        Some(name) => {
            Err(Error::invalid(format!("modality `{name}`"), "has two encoders", "give each modality its own name"))
        }
        None => Ok(()),
    }
}

/// An encoder block by block.
fn staged<'a>(name: &str, encoder: &'a dyn Encoder) -> Result<&'a dyn Staged> {
    let missing = || {
        let problem = "does not run block by block, as the fusion needs";
        Error::invalid(format!("encoder of modality `{name}`"), problem, "use a fusion behind the encoders")
    };
    encoder.staged().ok_or_else(missing)
}

/// Width of the map behind each block.
fn channels(encoder: &dyn Encoder) -> Vec<usize> {
    encoder.staged().map_or_else(Vec::new, |staged| (0..encoder.depth()).map(|depth| staged.channels(depth)).collect())
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

impl LateFusion {
    /// Checks the shape of an input.
    fn fits(&self, modality: usize, x: &Input) -> Result<()> {
        let (shape, given) = (&self.spec.inputs[modality], &x.values.dims()[1..]);
        if given == shape || given == self.learnable(modality) {
            return Ok(());
        }
        let name = format!("input of modality `{}`", self.spec.modalities[modality]);
        Err(Error::shape(name, x.values.dims(), format!("[batch, {shape:?}]")))
    }

    fn encoder(&self, modality: usize) -> String {
        format!("encoder of modality `{}`", self.spec.modalities[modality])
    }

    /// What an encoder gives, as the feature that the network hands on.
    fn feature(&self, modality: usize, x: Tensor, pass: &mut Pass<'_>) -> Result<Tensor> {
        let feature = self.norms.get(modality).map_or(Ok(x.clone()), |norm| norm.forward(&x, pass))?;
        // Methods take rows of features, which candle does of contiguous ones alone.
        pass.visit(Site::Feature { modality }, feature.contiguous()?, Pool::None)
    }

    /// The features of the modalities that have an input, their encoders meeting between blocks.
    fn together(
        &self,
        inner: &dyn Inner,
        inputs: &[Option<&Input>],
        present: Option<&Tensor>,
        pass: &mut Pass<'_>,
    ) -> Result<Vec<Option<Tensor>>> {
        let encoders = self.spec.modalities.iter().zip(&self.encoders).map(|(name, e)| staged(name, &**e));
        let encoders = encoders.collect::<Result<Vec<_>>>()?;
        let mut flows: Vec<Option<Flow>> = vec![None; encoders.len()];
        for (m, x) in inputs.iter().enumerate() {
            let Some(x) = x else { continue };
            self.fits(m, x)?;
            flows[m] = Some(encoders[m].begin(x, pass).at(|| self.encoder(m))?);
        }
        let fusion = || "fusion".to_owned();
        inner.meet(0, &mut flows, present, pass).at(fusion)?;
        for depth in 0..self.spec.depths.iter().copied().max().unwrap_or(0) {
            for (m, flow) in flows.iter_mut().enumerate().filter(|(m, _)| depth < self.spec.depths[*m]) {
                let Some(before) = flow.take() else { continue };
                *flow = Some(encoders[m].block(depth, before, pass).at(|| self.encoder(m))?);
            }
            inner.meet(depth + 1, &mut flows, present, pass).at(fusion)?;
        }
        let mut finish = |(m, flow): (usize, Option<Flow>)| {
            let Some(flow) = flow else { return Ok(None) };
            let x = encoders[m].finish(flow, pass).at(|| self.encoder(m))?;
            self.feature(m, x, pass).map(Some)
        };
        flows.into_iter().enumerate().map(&mut finish).collect()
    }
}

impl Net for LateFusion {
    fn spec(&self) -> &NetSpec {
        &self.spec
    }

    fn params(&self) -> &Params {
        &self.params
    }

    fn learnable(&self, modality: usize) -> Vec<usize> {
        self.encoders[modality].learnable(&self.spec.inputs[modality])
    }

    fn encode(&self, modality: usize, x: &Input, pass: &mut Pass<'_>) -> Result<Tensor> {
        if let Some(inner) = self.fusion.inner() {
            let mut inputs = vec![None; self.encoders.len()];
            inputs[modality] = Some(x);
            let mut features = self.together(inner, &inputs, None, pass)?;
            return features.swap_remove(modality).ok_or_else(|| Error::shape("features", &[0], "one"));
        }
        self.fits(modality, x)?;
        let feature = self.encoders[modality].forward(x, pass).at(|| self.encoder(modality))?;
        self.feature(modality, feature, pass)
    }

    fn features(&self, batch: &Batch, pass: &mut Pass<'_>) -> Result<Vec<Tensor>> {
        let inner = self.fusion.inner();
        let takes_part = |m: usize| !batch.resting.contains(&m) && (inner.is_none() || pass.includes(m));
        let inputs = batch.inputs.iter().enumerate().map(|(m, x)| takes_part(m).then_some(x)).collect::<Vec<_>>();
        let features = match inner {
            Some(inner) => self.together(inner, &inputs, batch.present.as_ref(), pass)?,
            None => {
                let one = |(m, x): (usize, &Option<&Input>)| x.map(|x| self.encode(m, x, pass)).transpose();
                inputs.iter().enumerate().map(one).collect::<Result<_>>()?
            }
        };
        let zeros = |(m, x): (usize, &Input)| {
            Tensor::zeros((batch.len(), self.spec.widths[m]), x.values.dtype(), x.values.device())
        };
        let filled = |(own, x): (_, Option<Tensor>)| Ok(x.map_or_else(|| zeros(own), Ok)?);
        batch.inputs.iter().enumerate().zip(features).map(filled).collect()
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

#[cfg(test)]
mod tests {
    use aim_backbones::{MlpConfig, SequenceConfig, TcnConfig, encoder};

    use super::*;
    use crate::{BottleneckConfig, ConcatConfig, CrossAttentionConfig, DetachedConfig, Reads, fusion};

    fn built(sound: EncoderSpec, fusion: FusionSpec, feature_norm: bool) -> Result<(), String> {
        let image = encoder(MlpConfig { widths: vec![4], ..MlpConfig::default() });
        let encoders = [("sound".to_owned(), sound), ("image".to_owned(), image)];
        let config = ModelConfig { feature_norm, ..ModelConfig::new(encoders, fusion) };
        let shapes = [("sound".to_owned(), vec![2, 3]), ("image".to_owned(), vec![5])];
        LateFusion::new(&config, &shapes, 2, 0, &Device::Cpu).map(drop).map_err(|e| e.to_string())
    }

    #[test]
    fn norms_that_hide_padded_frames_from_the_fusion_are_refused() {
        let frames = || encoder(SequenceConfig { widths: vec![4], ..SequenceConfig::default() });
        let whole = || encoder(MlpConfig { widths: vec![4], ..MlpConfig::default() });
        let attended = || [fusion(CrossAttentionConfig::default()), fusion(BottleneckConfig::default())];
        for attended in attended() {
            let name = attended.name().to_owned();
            let refused = built(frames(), attended, true).unwrap_err();
            assert!(refused.starts_with("model.feature_norm: makes tokens of padded frames"), "{refused}");
            assert!(refused.contains(&name) && refused.contains("leave it out"), "{refused}");
        }
        for attended in attended() {
            built(frames(), attended, false).unwrap();
        }
        for attended in attended() {
            built(whole(), attended, true).unwrap();
        }
        built(frames(), fusion(ConcatConfig::default()), true).unwrap();
    }

    #[test]
    fn widths_that_a_fusion_cannot_join_are_told_with_their_modalities() {
        let of = |width: usize| encoder(MlpConfig { widths: vec![8, width], ..MlpConfig::default() });
        let told = built(of(6), fusion(DetachedConfig {}), false).unwrap_err();
        let want = "model.fusion: `detached` joins features of equal widths, and `sound` has 6, `image` has 4; give \
                    the encoders the same last width, or use concat";
        assert_eq!(told, want);
        built(of(4), fusion(DetachedConfig {}), false).unwrap();
    }

    #[test]
    fn widths_that_settings_say_are_checked_without_data() {
        let mlp = |width: usize| encoder(MlpConfig { widths: vec![width], ..MlpConfig::default() });
        let frames = || encoder(SequenceConfig { widths: vec![4], ..SequenceConfig::default() });
        let model = |encoders: [EncoderSpec; 3], fusion| {
            ModelConfig::new(["a", "b", "c"].map(str::to_owned).into_iter().zip(encoders), fusion)
        };
        let told = model([mlp(4), frames(), mlp(6)], fusion(DetachedConfig {})).check_widths().unwrap_err();
        let want = "model.fusion: `detached` joins features of equal widths, and `a` has 4, `c` has 6; give the \
                    encoders the same last width, or use concat";
        assert_eq!(told.to_string(), want);
        model([mlp(4), frames(), mlp(4)], fusion(DetachedConfig {})).check_widths().unwrap();
        model([mlp(4), frames(), mlp(6)], fusion(ConcatConfig {})).check_widths().unwrap();
        let two = Some(vec!["a".to_owned(), "b".to_owned()]);
        let model = ModelConfig { modalities: two, ..model([mlp(4), mlp(4), mlp(6)], fusion(DetachedConfig {})) };
        model.check_widths().unwrap();
        // Tokens of an encoder are no feature of that width.
        let tcn = encoder(TcnConfig { widths: vec![4], ..TcnConfig::default() });
        let tokens = fusion(BottleneckConfig { reads: Reads::Tokens, ..BottleneckConfig::default() });
        let model = ModelConfig::new([("a".to_owned(), tcn), ("b".to_owned(), mlp(4))], tokens);
        assert_eq!(model.widths(), [("b".to_owned(), 4)]);
    }
}
