//! ResNets (He et al. 2016) with torchvision's names. Each stage is a block of depth; the stem belongs to the first.

use aim_config::{at_least, by_type, settings};
use aim_core::{Capabilities, Encoder, Error, Flow, Input, Part, Pass, Pool, Result, Site, Staged, through};
use aim_ops::{Act, Pool2d};
use candle_core::Tensor;

use crate::{
    BatchNorm, Build, Conv, ConvSize, EncoderInfo, EncoderSettings, Freeze, Init, LowRank, Weights,
    config::{check_frozen, check_low_rank, given, own_capabilities, with_lora, with_weights},
    frames::fold,
};

/// Most stages: each is twice as wide as the one before.
const STAGES: usize = 8;
/// How much wider a bottleneck is outside than inside.
const EXPANSION: usize = 4;

settings! {
    /// Settings of the encoder `resnet18`, and of the deeper ones.
    pub struct ResNetConfig {
        /// Residual blocks of each stage.
        pub layers: Vec<usize> = vec![2; 4] => at_least(1), "paper (18)";
        /// Whether residual blocks are bottlenecks of three convolutions.
        pub bottleneck: bool = false => by_type(), "paper (18)";
        /// Channels of the first stage.
        pub base_width: usize = 64 => at_least(1), "paper";
        /// Low-rank additions to its layers.
        pub lora: Option<LowRank> = None => by_type().shown("none"), "ours";
        /// Public weights that it starts from.
        pub weights: Option<Weights> = None => by_type().shown("none"), "ours";
        /// Blocks that are not trained.
        pub freeze: Option<Freeze> = None => by_type().shown("none"), "ours";
    }
}

static INFO: EncoderInfo = EncoderInfo {
    name: "resnet18",
    about: "ResNet with torchvision's names; each stage is a block, the stem in the first",
    input: "[C, H, W], or video [C, T, H, W] averaged over frames",
};

impl EncoderSettings for ResNetConfig {
    fn info(&self) -> &'static EncoderInfo {
        &INFO
    }

    fn build(&self, build: &mut Build, name: &str, modality: usize, input: &[usize]) -> Result<Box<dyn Encoder>> {
        let prefix = format!("encoders.{name}");
        let made = build.with_additions(&prefix, |build| ResNet::new(build, &prefix, modality, input, self))?;
        Ok(Box::new(made))
    }

    fn capabilities(&self) -> Capabilities {
        given(own_capabilities(), self.low_rank())
    }

    fn check(&self, place: &str) -> Result<()> {
        if !(1..=STAGES).contains(&self.layers.len()) {
            let problem = format!("has {} stages", self.layers.len());
            return Err(Error::invalid(format!("{place}.layers"), problem, format!("use 1 to {STAGES}")));
        }
        check_frozen(self.freeze.as_ref(), self.layers.len(), place)?;
        check_low_rank(self.lora.as_ref(), self.layers.len(), false, place)
    }

    fn feature_width(&self) -> Option<usize> {
        let doublings = u32::try_from(self.layers.len()).ok()?.checked_sub(1)?;
        let width = self.base_width.checked_mul(2_usize.checked_pow(doublings)?)?;
        if self.bottleneck { width.checked_mul(EXPANSION) } else { Some(width) }
    }

    fn first_conv(&self) -> Option<&'static str> {
        Some("conv1.weight")
    }

    with_lora!(ResNetConfig);
    with_weights!();
}

/// A convolution with its norm.
struct ConvNorm {
    conv: Conv,
    norm: BatchNorm,
}

impl ConvNorm {
    fn forward(&self, x: &Tensor, act: Act, residual: Option<&Tensor>, pass: &Pass<'_>) -> Result<Tensor> {
        self.norm.forward(&self.conv.forward(x, pass)?, act, residual, pass)
    }
}

/// What a residual block is made from: where its names begin, its part, channels in and inside, stride.
struct BlockSpec<'a> {
    prefix: &'a str,
    part: Part,
    input: usize,
    width: usize,
    stride: usize,
}

/// A residual block: convolutions one behind the other, beside a shortcut.
struct Block {
    convs: Vec<ConvNorm>,
    downsample: Option<ConvNorm>,
}

impl Block {
    /// Two convolutions of side 3, or 1, 3 and 1 around fewer channels. The stride is in the first one of side 3, as in
    /// torchvision.
    fn new(build: &mut Build, spec: &BlockSpec<'_>, bottleneck: bool) -> Result<Self> {
        let BlockSpec { prefix, part, input, width, stride } = *spec;
        let output = outside(width, bottleneck);
        let mut unit = |conv: &str, norm: &str, io: (usize, usize), kernel: usize, stride| -> Result<ConvNorm> {
            let size = ConvSize { kernel, stride, padding: kernel / 2 };
            let conv = build.conv2d(&format!("{prefix}.{conv}"), part, io, size, Init::HeFanOut)?;
            Ok(ConvNorm { conv, norm: build.batch_norm(&format!("{prefix}.{norm}"), part, io.1)? })
        };
        let convs = if bottleneck {
            vec![
                unit("conv1", "bn1", (input, width), 1, 1)?,
                unit("conv2", "bn2", (width, width), 3, stride)?,
                unit("conv3", "bn3", (width, output), 1, 1)?,
            ]
        } else {
            vec![unit("conv1", "bn1", (input, width), 3, stride)?, unit("conv2", "bn2", (width, width), 3, 1)?]
        };
        let shortcut = stride != 1 || input != output;
        let downsample =
            shortcut.then(|| unit("downsample.0", "downsample.1", (input, output), 1, stride)).transpose()?;
        Ok(Self { convs, downsample })
    }

    fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let shortcut = match &self.downsample {
            Some(down) => down.forward(x, Act::None, None, pass)?,
            None => x.clone(),
        };
        let last = self.convs.len() - 1;
        let apply = |x: Tensor, (i, conv): (usize, &ConvNorm)| {
            conv.forward(&x, Act::Relu, (i == last).then_some(&shortcut), pass)
        };
        self.convs.iter().enumerate().try_fold(x.clone(), apply)
    }
}

/// Channels of a residual block's output.
fn outside(width: usize, bottleneck: bool) -> usize {
    if bottleneck { width * EXPANSION } else { width }
}

/// A ResNet without its classifier. Video `[B, C, T, H, W]` is folded into frames and averaged over time.
pub struct ResNet {
    modality: usize,
    stem: ConvNorm,
    stages: Vec<Vec<Block>>,
    width: usize,
}

impl ResNet {
    /// Stages are `base_width`, 2, 4, ... times `base_width` wide, outside of bottlenecks four times that. `input` is
    /// `[C, H, W]` or `[C, T, H, W]`.
    ///
    /// # Errors
    /// If the input is neither an image nor a video.
    pub fn new(
        build: &mut Build,
        prefix: &str,
        modality: usize,
        input: &[usize],
        config: &ResNetConfig,
    ) -> Result<Self> {
        let ResNetConfig { base_width: base, bottleneck, .. } = *config;
        let channels = match input {
            [c, _, _] | [c, _, _, _] => *c,
            _ => return Err(Error::shape(prefix, input, "[C, H, W] or [C, T, H, W]")),
        };
        let part = |depth| Part::Encoder { modality, depth };
        let size = ConvSize { kernel: 7, stride: 2, padding: 3 };
        let conv = build.conv2d(&format!("{prefix}.conv1"), part(0), (channels, base), size, Init::HeFanOut)?;
        let stem = ConvNorm { conv, norm: build.batch_norm(&format!("{prefix}.bn1"), part(0), base)? };
        let (mut stages, mut input) = (Vec::with_capacity(config.layers.len()), base);
        for (depth, count) in config.layers.iter().enumerate() {
            let (width, mut blocks) = (base << depth, Vec::with_capacity(*count));
            for i in 0..*count {
                let stride = if i == 0 && depth > 0 { 2 } else { 1 };
                let prefix = &format!("{prefix}.layer{}.{i}", depth + 1);
                blocks.push(Block::new(
                    build,
                    &BlockSpec { prefix, part: part(depth), input, width, stride },
                    bottleneck,
                )?);
                input = outside(width, bottleneck);
            }
            stages.push(blocks);
        }
        Ok(Self { modality, stem, stages, width: input })
    }
}

impl Encoder for ResNet {
    fn capabilities(&self) -> Capabilities {
        own_capabilities()
    }
    fn forward(&self, x: &Input, pass: &mut Pass<'_>) -> Result<Tensor> {
        through(self, x, pass)
    }
    fn staged(&self) -> Option<&dyn Staged> {
        Some(self)
    }
    fn depth(&self) -> usize {
        self.stages.len()
    }
    fn width(&self) -> usize {
        self.width
    }
}

impl Staged for ResNet {
    fn begin(&self, x: &Input, pass: &mut Pass<'_>) -> Result<Flow> {
        let (x, frames) = fold(&x.values)?;
        let h = self.stem.forward(&x, Act::Relu, None, pass)?;
        let h = aim_ops::max_pool2d(&h, Pool2d { kernel: 3, stride: 2, padding: 1 })?;
        Ok(Flow::new(h, Pool::Mean { frames }))
    }
    fn block(&self, depth: usize, mut flow: Flow, pass: &mut Pass<'_>) -> Result<Flow> {
        for block in &self.stages[depth] {
            flow.values = block.forward(&flow.values, pass)?;
        }
        flow.values = pass.visit(Site::Stage { modality: self.modality, depth }, flow.values, flow.pool)?;
        Ok(flow)
    }
    fn finish(&self, flow: Flow, _: &mut Pass<'_>) -> Result<Tensor> {
        flow.pool.apply(&aim_ops::global_avg_pool(&flow.values)?)
    }
    fn channels(&self, depth: usize) -> usize {
        // Each stage is twice as wide as the one before.
        self.width >> (self.stages.len() - 1 - depth)
    }
}

#[cfg(test)]
mod tests {
    use aim_core::{Draws, Grads, Params};
    use candle_core::{DType, Device};

    use super::*;
    use crate::reference::{random, values};

    fn encoder(freeze: &[usize], lora: bool) -> (ResNet, Params) {
        let config = ResNetConfig { layers: vec![1, 1], base_width: 2, ..ResNetConfig::default() };
        let mut build = Build::new(0, &Device::Cpu);
        build.set_frozen(Some(&Freeze { depth: freeze.to_vec() }));
        build.set_low_rank(lora.then(|| LowRank::of(1)).as_ref());
        let net = ResNet::new(&mut build, "encoders.m", 0, &[1, 9, 9], &config).unwrap();
        (net, build.finish())
    }

    fn trained(net: &ResNet, params: &Params) -> Grads {
        let mut pass = Pass::train(Draws { seed: 0, epoch: 0, step: 0 });
        let feature = net.forward(&random(&[4, 1, 9, 9], "batch").into(), &mut pass).unwrap();
        Grads::of(&feature.sqr().unwrap().sum_all().unwrap(), params).unwrap()
    }

    #[test]
    fn frozen_blocks_are_no_parameters_and_keep_their_statistics() {
        let ((net, params), (whole, all)) = (encoder(&[0], false), encoder(&[], false));
        let (tensors, others) = (params.tensors(), all.tensors());
        assert!(tensors.keys().eq(others.keys()), "the same names are saved");
        assert!(tensors.iter().all(|(name, t)| values(t) == values(&others[name])), "with the same initial values");
        let last = |name: &str| name.contains(".layer2.");
        assert!(params.iter().all(|(name, _)| last(name)) && params.iter().count() == 9);
        let before = params.snapshot().unwrap();
        let grads = trained(&net, &params);
        assert!(grads.iter().all(|(name, _)| last(name)) && grads.iter().count() == 9);
        for (name, now) in params.tensors() {
            let statistic = name.ends_with("running_mean") || name.ends_with("running_var");
            assert_eq!(values(&now) != values(&before[&name]), statistic && last(&name), "{name}");
        }
        // What is behind them has the gradients that it has beside trained blocks, where norms use the same statistics.
        let gradients = |net: &ResNet, params: &Params| {
            let mut pass = Pass::eval();
            let feature = net.forward(&random(&[4, 1, 9, 9], "batch").into(), &mut pass).unwrap();
            Grads::of(&feature.sum_all().unwrap(), params).unwrap()
        };
        all.load(&params.tensors()).unwrap();
        let (some, every) = (gradients(&net, &params), gradients(&whole, &all));
        assert!(some.iter().all(|(name, grad)| values(grad) == values(every.get(name).unwrap())));
        assert!(every.iter().count() > some.iter().count());
    }

    #[test]
    fn additions_to_frozen_blocks_are_trained() {
        let (net, params) = encoder(&[0, 1], true);
        assert!(params.iter().all(|(_, p)| matches!(p.role.part, Part::Adapter { .. })));
        let grads = trained(&net, &params);
        let moved = |(name, grad): (&std::sync::Arc<str>, &Tensor)| {
            name.ends_with("lora_b") && values(&grad.to_dtype(DType::F32).unwrap()).iter().any(|g| *g != 0.)
        };
        // The stem, two convolutions of each block, and a shortcut.
        assert_eq!(grads.iter().filter(|entry| moved(*entry)).count(), 6);
    }

    #[test]
    fn blocks_that_are_not_there_cannot_be_frozen() {
        let config = ResNetConfig { freeze: Some(Freeze { depth: vec![4] }), ..ResNetConfig::default() };
        let refused = crate::builtin().read(&crate::encoder(config).section(), "model.encoders.eye").err().unwrap();
        assert_eq!(refused.to_string(), "model.encoders.eye.freeze.depth: names block 4; use blocks from 0 to 3");
    }
}
