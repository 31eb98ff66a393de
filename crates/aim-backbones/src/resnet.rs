//! ResNet-18 (He et al. 2016) with torchvision's names. Four blocks of depth; the stem belongs to the first.

use aim_config::{at_least, by_type, settings};
use aim_core::{Capabilities, Encoder, Error, Input, Part, Pass, Pool, Result, Site};
use aim_ops::{Act, Pool2d};
use candle_core::Tensor;

use crate::{
    BatchNorm, Build, Conv, ConvSize, EncoderInfo, EncoderSettings, Init, LowRank, Weights,
    config::{check_low_rank, own_capabilities, with_lora, with_weights},
    frames::fold,
};

settings! {
    /// Settings of the encoder `resnet18`.
    pub struct ResNet18Config {
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
    about: "ResNet-18 with torchvision's names; 4 blocks, the stem in the first",
    input: "[C, H, W], or video [C, T, H, W] averaged over frames",
};

impl EncoderSettings for ResNet18Config {
    fn info(&self) -> &'static EncoderInfo {
        &INFO
    }

    fn build(&self, build: &mut Build, name: &str, modality: usize, input: &[usize]) -> Result<Box<dyn Encoder>> {
        let prefix = format!("encoders.{name}");
        Ok(Box::new(ResNet18::new(build, &prefix, modality, input, self.base_width)?))
    }

    fn check(&self, place: &str) -> Result<()> {
        check_low_rank(self.lora.as_ref(), 4, false, place)
    }

    with_lora!(ResNet18Config);
    with_weights!();
}

/// A convolution with its norm.
struct ConvNorm {
    conv: Conv,
    norm: BatchNorm,
}

/// What a basic block is made from: where its names begin, its part, channels in and out, stride.
struct BlockSpec<'a> {
    prefix: &'a str,
    part: Part,
    io: (usize, usize),
    stride: usize,
}

struct BasicBlock {
    conv1: ConvNorm,
    conv2: ConvNorm,
    downsample: Option<ConvNorm>,
}

impl BasicBlock {
    fn new(build: &mut Build, spec: &BlockSpec<'_>) -> Result<Self> {
        let BlockSpec { prefix, part, io: (input, output), stride } = *spec;
        let mut unit = |conv: &str, norm: &str, io, kernel: usize, stride| -> Result<ConvNorm> {
            let size = ConvSize { kernel, stride, padding: kernel / 2 };
            let conv = build.conv2d(&format!("{prefix}.{conv}"), part, io, size, Init::HeFanOut)?;
            Ok(ConvNorm { conv, norm: build.batch_norm(&format!("{prefix}.{norm}"), part, output)? })
        };
        let conv1 = unit("conv1", "bn1", (input, output), 3, stride)?;
        let conv2 = unit("conv2", "bn2", (output, output), 3, 1)?;
        let shortcut = stride != 1 || input != output;
        let downsample =
            shortcut.then(|| unit("downsample.0", "downsample.1", (input, output), 1, stride)).transpose()?;
        Ok(Self { conv1, conv2, downsample })
    }

    fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let apply = |u: &ConvNorm, x: &Tensor, act, res: Option<&Tensor>| {
            u.norm.forward(&u.conv.forward(x, pass)?, act, res, pass)
        };
        let h = apply(&self.conv1, x, Act::Relu, None)?;
        let shortcut = match &self.downsample {
            Some(down) => apply(down, x, Act::None, None)?,
            None => x.clone(),
        };
        apply(&self.conv2, &h, Act::Relu, Some(&shortcut))
    }
}

/// ResNet-18 without its classifier. Video `[B, C, T, H, W]` is folded into frames and averaged over time.
pub struct ResNet18 {
    modality: usize,
    stem: ConvNorm,
    layers: Vec<Vec<BasicBlock>>,
    width: usize,
}

impl ResNet18 {
    /// Stage widths are `base`, 2, 4 and 8 times `base` (64 in the paper). `input` is `[C, H, W]` or `[C, T, H, W]`.
    ///
    /// # Errors
    /// If the input is neither an image nor a video.
    pub fn new(build: &mut Build, prefix: &str, modality: usize, input: &[usize], base: usize) -> Result<Self> {
        let channels = match input {
            [c, _, _] | [c, _, _, _] => *c,
            _ => return Err(Error::shape(prefix, input, "[C, H, W] or [C, T, H, W]")),
        };
        let part = Part::Encoder { modality, depth: 0 };
        let size = ConvSize { kernel: 7, stride: 2, padding: 3 };
        let conv = build.conv2d(&format!("{prefix}.conv1"), part, (channels, base), size, Init::HeFanOut)?;
        let stem = ConvNorm { conv, norm: build.batch_norm(&format!("{prefix}.bn1"), part, base)? };
        let mut layers = Vec::with_capacity(4);
        for depth in 0..4 {
            let width = base << depth;
            let input = if depth == 0 { base } else { width / 2 };
            layers.push(stage(build, &format!("{prefix}.layer{}", depth + 1), modality, depth, (input, width))?);
        }
        Ok(Self { modality, stem, layers, width: base * 8 })
    }
}

fn stage(
    build: &mut Build,
    prefix: &str,
    modality: usize,
    depth: usize,
    (input, width): (usize, usize),
) -> Result<Vec<BasicBlock>> {
    let part = Part::Encoder { modality, depth };
    let stride = if depth == 0 { 1 } else { 2 };
    let specs = [(input, stride), (width, 1)];
    let block = |(i, (input, stride)): (usize, (usize, usize))| {
        let prefix = &format!("{prefix}.{i}");
        BasicBlock::new(build, &BlockSpec { prefix, part, io: (input, width), stride })
    };
    specs.into_iter().enumerate().map(block).collect()
}

impl Encoder for ResNet18 {
    fn capabilities(&self) -> Capabilities {
        own_capabilities()
    }
    fn forward(&self, x: &Input, pass: &mut Pass<'_>) -> Result<Tensor> {
        let (x, frames) = fold(&x.values)?;
        let h = self.stem.norm.forward(&self.stem.conv.forward(&x, pass)?, Act::Relu, None, pass)?;
        let mut h = aim_ops::max_pool2d(&h, Pool2d { kernel: 3, stride: 2, padding: 1 })?;
        let pool = Pool::Mean { frames };
        for (depth, blocks) in self.layers.iter().enumerate() {
            for block in blocks {
                h = block.forward(&h, pass)?;
            }
            h = pass.visit(Site::Stage { modality: self.modality, depth }, h, pool)?;
        }
        pool.apply(&aim_ops::global_avg_pool(&h)?)
    }
    fn depth(&self) -> usize {
        self.layers.len()
    }
    fn width(&self) -> usize {
        self.width
    }
}
