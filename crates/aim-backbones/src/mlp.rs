//! Multilayer perceptron: linear layers, each followed by ReLU; a block is one layer.

use aim_core::{Encoder, Part, Pass, Pool, Result, Site};
use candle_core::Tensor;

use crate::{Build, Linear};

/// An MLP over the flattened input. Parameters: `<prefix>.blocks.<d>.weight` and `.bias`.
pub struct Mlp {
    modality: usize,
    width: usize,
    blocks: Vec<Linear>,
}

impl Mlp {
    /// Blocks of the given widths over `input` values.
    ///
    /// # Errors
    /// If names are taken.
    pub fn new(build: &mut Build, prefix: &str, modality: usize, input: usize, widths: &[usize]) -> Result<Self> {
        let inputs = std::iter::once(&input).chain(widths);
        let block = |(depth, (i, o)): (usize, (&usize, &usize))| {
            build.linear(&format!("{prefix}.blocks.{depth}"), Part::Encoder { modality, depth }, *i, *o, true)
        };
        let blocks = inputs.zip(widths).enumerate().map(block).collect::<Result<_>>()?;
        Ok(Self { modality, width: widths.last().copied().unwrap_or(input), blocks })
    }
}

impl Encoder for Mlp {
    fn forward(&self, x: &Tensor, pass: &mut Pass<'_>) -> Result<Tensor> {
        let mut h = x.flatten_from(1)?;
        for (depth, block) in self.blocks.iter().enumerate() {
            h = block.forward_relu(&h, pass)?;
            h = pass.visit(Site::Stage { modality: self.modality, depth }, h, Pool::None)?;
        }
        Ok(h)
    }
    fn depth(&self) -> usize {
        self.blocks.len()
    }
    fn width(&self) -> usize {
        self.width
    }
}
