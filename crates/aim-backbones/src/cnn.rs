//! Small convolutional encoder: blocks of convolution (stride 2), batch norm and ReLU, then a global average.

use aim_config::{at_least, by_type, settings};
use aim_core::{Capabilities, Encoder, Error, Flow, Input, Part, Pass, Pool, Result, Site, Staged, through};
use aim_ops::Act;
use candle_core::Tensor;

use crate::{
    BatchNorm, Build, Conv, Conv1d, ConvSize, EncoderInfo, EncoderSettings, Freeze, Init, LowRank,
    config::{check_frozen, check_low_rank, given, own_capabilities, with_freeze, with_lora},
};

settings! {
    /// Settings of the encoder `cnn`.
    pub struct CnnConfig {
        /// Channels of each block.
        pub widths: Vec<usize> = Vec::new() => at_least(1).required(), "ours";
        /// Low-rank additions to its layers.
        pub lora: Option<LowRank> = None => by_type().shown("none"), "ours";
        /// Blocks that are not trained.
        pub freeze: Option<Freeze> = None => by_type().shown("none"), "ours";
    }
}

static INFO: EncoderInfo = EncoderInfo {
    name: "cnn",
    about: "convolution of stride 2, batch norm, ReLU; then a global average",
    input: "[C, H, W] (3x3), [C, L] or [L] (5)",
};

impl EncoderSettings for CnnConfig {
    fn info(&self) -> &'static EncoderInfo {
        &INFO
    }

    fn build(&self, build: &mut Build, name: &str, modality: usize, input: &[usize]) -> Result<Box<dyn Encoder>> {
        let prefix = format!("encoders.{name}");
        let made = build.with_additions(&prefix, |build| Cnn::new(build, &prefix, modality, input, &self.widths))?;
        Ok(Box::new(made))
    }

    fn capabilities(&self) -> Capabilities {
        given(own_capabilities(), self.low_rank())
    }

    fn check(&self, place: &str) -> Result<()> {
        check_frozen(self.freeze.as_ref(), self.widths.len(), place)?;
        check_low_rank(self.lora.as_ref(), self.widths.len(), false, place)
    }

    fn feature_width(&self) -> Option<usize> {
        self.widths.last().copied()
    }

    with_lora!(CnnConfig);
    with_freeze!();
}

enum AnyConv {
    Image(Conv),
    Sequence(Conv1d),
}

impl AnyConv {
    fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        match self {
            Self::Image(conv) => conv.forward(x, pass),
            Self::Sequence(conv) => conv.forward(x, pass),
        }
    }
}

/// A CNN over images or spectrograms `[C, H, W]` (3x3), sequences `[C, L]` (5), or vectors seen as one channel `[L]`.
/// Parameters: `<prefix>.blocks.<d>.conv.weight` and `.bn.*`.
pub struct Cnn {
    modality: usize,
    rank: usize,
    widths: Vec<usize>,
    width: usize,
    blocks: Vec<(AnyConv, BatchNorm)>,
}

impl Cnn {
    /// One block for each width; the feature has the last block's width.
    ///
    /// # Errors
    /// If the input is no image, sequence or vector.
    pub fn new(build: &mut Build, prefix: &str, modality: usize, input: &[usize], widths: &[usize]) -> Result<Self> {
        let mut channels = match input {
            [_] => 1,
            [c, ..] if input.len() <= 3 => *c,
            _ => return Err(Error::shape(prefix, input, "[L], [C, L] or [C, H, W]")),
        };
        let mut blocks = Vec::with_capacity(widths.len());
        for (depth, &width) in widths.iter().enumerate() {
            let (name, part) = (format!("{prefix}.blocks.{depth}"), Part::Encoder { modality, depth });
            let conv = if input.len() == 3 {
                let size = ConvSize { kernel: 3, stride: 2, padding: 1 };
                let io = (channels, width);
                AnyConv::Image(build.conv2d(&format!("{name}.conv"), part, io, size, Init::Uniform)?)
            } else {
                let size = ConvSize { kernel: 5, stride: 2, padding: 2 };
                AnyConv::Sequence(build.conv1d(&format!("{name}.conv"), part, (channels, width), size)?)
            };
            blocks.push((conv, build.batch_norm(&format!("{name}.bn"), part, width)?));
            channels = width;
        }
        Ok(Self { modality, rank: input.len(), widths: widths.to_vec(), width: channels, blocks })
    }
}

impl Encoder for Cnn {
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
        self.blocks.len()
    }
    fn width(&self) -> usize {
        self.width
    }
}

impl Staged for Cnn {
    fn begin(&self, x: &Input, _: &mut Pass<'_>) -> Result<Flow> {
        if self.rank == 2 {
            // Padding is averaged like anything else, but steps that lie where channels do are refused.
            x.valid_of(x.values.dim(2)?)?;
        }
        let h = if self.rank == 1 { x.values.unsqueeze(1)? } else { x.values.clone() };
        Ok(Flow::new(h, Pool::Mean { frames: 1 }))
    }
    fn block(&self, depth: usize, mut flow: Flow, pass: &mut Pass<'_>) -> Result<Flow> {
        let (conv, norm) = &self.blocks[depth];
        let h = norm.forward(&conv.forward(&flow.values, pass)?, Act::Relu, None, pass)?;
        flow.values = pass.visit(Site::Stage { modality: self.modality, depth }, h, flow.pool)?;
        Ok(flow)
    }
    fn finish(&self, flow: Flow, _: &mut Pass<'_>) -> Result<Tensor> {
        Ok(aim_ops::global_avg_pool(&flow.values)?)
    }
    fn channels(&self, depth: usize) -> usize {
        self.widths[depth]
    }
}
