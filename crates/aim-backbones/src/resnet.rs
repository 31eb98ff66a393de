//! ResNets (He et al. 2016) with torchvision's names. Each stage is a block of depth; the stem belongs to the first.

use aim_config::{at_least, by_type, settings};
use aim_core::{Capabilities, Encoder, Error, Input, Part, Pass, Pool, Result, Site};
use aim_ops::{Act, Pool2d};
use candle_core::Tensor;

use crate::{
    BatchNorm, Build, Conv, ConvSize, EncoderInfo, EncoderSettings, Init, LowRank, Weights,
    config::{check_low_rank, own_capabilities, with_lora, with_weights},
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
        pub layers: Vec<usize> = vec![2; 4] => at_least(1).required(), "paper (18)";
        /// Whether residual blocks are bottlenecks of three convolutions.
        pub bottleneck: bool = false => by_type(), "paper (18)";
        /// Channels of the first stage.
        pub base_width: usize = 64 => at_least(1), "paper";
        /// Low-rank additions to its layers.
        pub lora: Option<LowRank> = None => by_type().shown("none"), "ours";
        /// Public weights that it starts from.
        pub weights: Option<Weights> = None => by_type().shown("none"), "ours";
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
        Ok(Box::new(ResNet::new(build, &format!("encoders.{name}"), modality, input, self)?))
    }

    fn check(&self, place: &str) -> Result<()> {
        if self.layers.len() > STAGES {
            let problem = format!("has {} stages", self.layers.len());
            return Err(Error::invalid(format!("{place}.layers"), problem, format!("use at most {STAGES}")));
        }
        check_low_rank(self.lora.as_ref(), self.layers.len(), false, place)
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
                blocks.push(Block::new(build, &BlockSpec { prefix, part: part(depth), input, width, stride }, bottleneck)?);
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
        let (x, frames) = fold(&x.values)?;
        let h = self.stem.forward(&x, Act::Relu, None, pass)?;
        let mut h = aim_ops::max_pool2d(&h, Pool2d { kernel: 3, stride: 2, padding: 1 })?;
        let pool = Pool::Mean { frames };
        for (depth, blocks) in self.stages.iter().enumerate() {
            for block in blocks {
                h = block.forward(&h, pass)?;
            }
            h = pass.visit(Site::Stage { modality: self.modality, depth }, h, pool)?;
        }
        pool.apply(&aim_ops::global_avg_pool(&h)?)
    }
    fn depth(&self) -> usize {
        self.stages.len()
    }
    fn width(&self) -> usize {
        self.width
    }
}
