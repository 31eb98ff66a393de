//! MODS (Yang et al., AAAI 2026, arXiv 2511.06328): sequences are compressed to a common length, one modality is chosen
//! as primary for each sample, and the others are gathered around it by cross attention.
//!
//! ```text
//! H_m = GDC(X_m), [tokens, width]          a linear map where X_m has that length already, as text has in the paper
//! h_m = summary of H_m,  w = softmax(MLP([h_1 .. h_M])),  p = argmax w
//! H_p = layers of PCCA over w_m H_m,  the primary one first, the others in the network's order
//! logits = MLP(summary of H_p);   F_m(summary of H_p) predicts h_m, for the loss of the method `mods`
//! ```
//! Features of a `sequence` encoder are sequences of frames. Any other feature is a sequence of one frame, of which
//! capsules make tokens: an analogue for vectors, which is ours. Sequences of a data set have one length, so that there
//! is no padding.

mod attention;
mod gdc;
mod selector;

use aim_backbones::{Build, Linear};
use aim_config::{at_least, below, by_type, settings, whole};
use aim_core::{
    Capabilities, Capability, Extras, Fusion, Joined, PREDICTED, Part, Pass, Result, SUMMARIES, WEIGHTS, capability,
};
use candle_core::Tensor;

use crate::{
    Features, FusionInfo, FusionSettings,
    attention::{Mlp, Sizes},
    config::ANY,
};

use attention::Layer;
use gdc::Gdc;
use selector::{Selector, Summary, roles};

const OFFERS: &[Capability] = &[capability::VIEWS, capability::PRIMARY];

settings! {
    /// Settings of the fusion `mods`.
    pub struct ModsConfig {
        /// Width of tokens.
        pub width: usize = 64 => at_least(1), "ours";
        /// Length that every sequence is compressed to.
        pub tokens: usize = 8 => whole(1, 1000), "ours";
        /// Layers of cross attention.
        pub layers: usize = 3 => whole(1, 1000), "ours";
        /// Heads of an attention.
        pub heads: usize = 4 => whole(1, 1000), "ours";
        /// Iterations of the routing.
        pub iterations: usize = 3 => whole(1, 1000), "ours";
        /// Dropout in selector and layers.
        pub dropout: f64 = 0.1 => below(0., 1.), "ours";
        /// Add what an auxiliary modality was to what it becomes in a layer.
        pub aux_residual: bool = false => by_type(), "ours";
    }
}

static INFO: FusionInfo = FusionInfo {
    name: "mods",
    about: "sequences compressed by capsules and a graph, a primary modality chosen for each sample, the others attended; \
            features that are no sequences (any encoder but `sequence`) count as one frame, an analogue of ours",
    unimodal: "none; model.uni_heads gives some to methods that train them",
    modalities: ANY,
};

impl FusionSettings for ModsConfig {
    fn info(&self) -> &'static FusionInfo {
        &INFO
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::of(OFFERS)
    }

    fn build(&self, build: &mut Build, on: &Features<'_>) -> Result<Box<dyn Fusion>> {
        Ok(Box::new(Mods::new(build, on.names, (on.widths, on.frames), self, on.classes)?))
    }

    fn check(&self, place: &str) -> Result<()> {
        self.sizes().check(place)
    }
}

impl ModsConfig {
    fn sizes(&self) -> Sizes {
        Sizes { width: self.width, heads: self.heads, dropout: self.dropout }
    }
}

/// Brings a sequence to the common length and width.
enum Compress {
    Linear(Linear),
    Capsules(Box<Gdc>),
}

/// What the fusion has of each modality.
struct Modality {
    frames: usize,
    compress: Compress,
    summary: Summary,
    predict: Mlp,
}

impl Modality {
    fn new(build: &mut Build, name: &str, (width, frames): (usize, usize), config: &ModsConfig) -> Result<Self> {
        let (input, d) = (width / frames, config.width);
        let compress = if frames == config.tokens {
            Compress::Linear(build.linear(&format!("project.{name}"), Part::Fusion, input, d, true)?)
        } else {
            Compress::Capsules(Box::new(Gdc::new(build, &format!("gdc.{name}"), input, config)?))
        };
        let summary = Summary::new(build, &format!("summary.{name}"), d)?;
        let predict = Mlp::new(build, &format!("predict.{name}"), Part::Fusion, [d, d, d])?;
        Ok(Self { frames, compress, summary, predict })
    }

    /// Tokens `[B, tokens, width]` of a feature `[B, frames * width of a frame]`.
    fn tokens(&self, feature: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let (batch, width) = feature.dims2()?;
        let frames = feature.reshape((batch, self.frames, width / self.frames))?;
        match &self.compress {
            Compress::Linear(linear) => linear.forward(&frames, pass),
            Compress::Capsules(gdc) => gdc.forward(&frames, pass),
        }
    }
}

/// Compression, selector and primary-centred cross attention. Modalities have no logits of their own.
pub struct Mods {
    modalities: Vec<Modality>,
    selector: Selector,
    layers: Vec<Layer>,
    summary: Summary,
    head: Mlp,
}

impl Mods {
    /// `project.*` or `gdc.*`, `summary.*` and `predict.*` for each modality, `selector.*`, `layers.<i>.*`,
    /// `primary.*` and `head.*`. `frames` says of how many frames each feature is made.
    ///
    /// # Errors
    /// If names are taken.
    pub fn new(
        build: &mut Build,
        names: &[String],
        (widths, frames): (&[usize], &[usize]),
        config: &ModsConfig,
        classes: usize,
    ) -> Result<Self> {
        let d = config.width;
        let sizes = widths.iter().copied().zip(frames.iter().copied());
        let modality = |(name, size): (&String, (usize, usize))| Modality::new(build, name, size, config);
        let modalities = names.iter().zip(sizes).map(modality).collect::<Result<Vec<_>>>()?;
        let layer = |i: usize| Layer::new(build, i, names.len(), config);
        let layers = (0..config.layers).map(layer).collect::<Result<_>>()?;
        Ok(Self {
            modalities,
            selector: Selector::new(build, names.len(), config)?,
            layers,
            summary: Summary::new(build, "primary", d)?,
            head: Mlp::new(build, "head", Part::Head { modality: None }, [d, d, classes])?,
        })
    }
}

impl Fusion for Mods {
    fn capabilities(&self) -> Capabilities {
        Capabilities::of(OFFERS)
    }
    fn forward(&self, features: &[Tensor], pass: &mut Pass<'_>) -> Result<Joined> {
        let pass = &*pass;
        let own = self.modalities.iter().zip(features);
        let tokens = own.map(|(m, x)| m.tokens(x, pass)).collect::<Result<Vec<_>>>()?;
        let own = self.modalities.iter().zip(&tokens);
        let summaries = own.map(|(m, x)| m.summary.forward(x, pass)).collect::<Result<Vec<_>>>()?;
        let weights = self.selector.forward(&summaries, pass)?;
        let streams = Tensor::stack(&tokens, 1)?.broadcast_mul(&weights.unsqueeze(2)?.unsqueeze(3)?)?;
        let mut streams = roles(&streams, &weights)?;
        for layer in &self.layers {
            streams = layer.forward(&streams, pass)?;
        }
        let primary = self.summary.forward(&streams[0], pass)?;
        let predicted =
            self.modalities.iter().map(|m| m.predict.forward(&primary, pass)).collect::<Result<Vec<_>>>()?;
        let extras = Extras::from([
            (WEIGHTS, weights),
            (SUMMARIES, Tensor::stack(&summaries, 1)?),
            (PREDICTED, Tensor::stack(&predicted, 1)?),
        ]);
        Ok(Joined { logits: self.head.forward(&primary, pass)?, unimodal: vec![], extras })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aim_core::{Draws, Grads, Params, Rng};
    use candle_core::Device;

    fn fusion(frames: [usize; 3]) -> (Mods, Params, Vec<Tensor>) {
        let mut build = Build::new(0, &Device::Cpu);
        let names = ["a", "b", "c"].map(str::to_owned);
        let widths = frames.map(|n| 4 * n);
        let config = ModsConfig { width: 8, tokens: 3, layers: 2, heads: 2, ..ModsConfig::default() };
        let mods = Mods::new(&mut build, &names, (&widths, &frames), &config, 2).unwrap();
        let mut rng = Rng::keyed(0, "x");
        let features = widths.map(|w| rng.normal_tensor(&[5, w], 1., &Device::Cpu).unwrap()).to_vec();
        (mods, build.finish(), features)
    }

    #[test]
    fn sequences_of_any_length_and_vectors_are_fused_and_everything_learns() {
        let (mods, params, features) = fusion([3, 7, 1]);
        assert!(params.get("project.a.weight").is_some() && params.get("gdc.b.capsules.weight").is_some());
        let joined = mods.forward(&features, &mut Pass::train(Draws { seed: 0, epoch: 0, step: 0 })).unwrap();
        assert_eq!(joined.logits.dims(), [5, 2]);
        assert_eq!(
            [WEIGHTS, SUMMARIES, PREDICTED].map(|name| joined.extras[name].dims().to_vec()),
            [vec![5, 3], vec![5, 3, 8], vec![5, 3, 8]]
        );
        let loss = (joined.logits.sqr().unwrap().sum_all().unwrap()
            + joined.extras[PREDICTED].sqr().unwrap().sum_all().unwrap())
        .unwrap();
        let grads = Grads::of(&loss, &params).unwrap();
        let idle: Vec<_> = params.iter().filter(|(name, _)| grads.get(name).is_none()).collect();
        assert!(idle.is_empty(), "{idle:?}");
    }

    #[test]
    fn a_sample_is_fused_as_if_it_were_alone() {
        let (mods, _, features) = fusion([3, 7, 1]);
        let whole: Vec<Vec<f32>> = mods.forward(&features, &mut Pass::eval()).unwrap().logits.to_vec2().unwrap();
        for (i, row) in whole.iter().enumerate() {
            let one: Vec<Tensor> = features.iter().map(|x| x.narrow(0, i, 1).unwrap()).collect();
            let alone: Vec<Vec<f32>> = mods.forward(&one, &mut Pass::eval()).unwrap().logits.to_vec2().unwrap();
            assert!(row.iter().zip(&alone[0]).all(|(a, b)| (a - b).abs() < 1e-5), "{row:?} {alone:?}");
        }
    }
}
