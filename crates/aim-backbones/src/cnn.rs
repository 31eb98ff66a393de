//! Small convolutional encoder: blocks of convolution (stride 2), batch norm and ReLU, then a global average.

use aim_core::{Encoder, Error, Part, Pass, Pool, Result, Site};
use aim_ops::Act;
use candle_core::Tensor;

use crate::{BatchNorm, Build, Conv, Conv1d, ConvSize, Init};

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
        Ok(Self { modality, rank: input.len(), width: channels, blocks })
    }
}

impl Encoder for Cnn {
    fn forward(&self, x: &Tensor, pass: &mut Pass<'_>) -> Result<Tensor> {
        let mut h = if self.rank == 1 { x.unsqueeze(1)? } else { x.clone() };
        for (depth, (conv, norm)) in self.blocks.iter().enumerate() {
            h = norm.forward(&conv.forward(&h, pass)?, Act::Relu, None, pass)?;
            h = pass.visit(Site::Stage { modality: self.modality, depth }, h, Pool::Mean { frames: 1 })?;
        }
        Ok(aim_ops::global_avg_pool(&h)?)
    }
    fn depth(&self) -> usize {
        self.blocks.len()
    }
    fn width(&self) -> usize {
        self.width
    }
}
