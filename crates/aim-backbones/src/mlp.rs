//! Multilayer perceptron: linear layers, each followed by ReLU; a block is one layer.

use aim_config::{at_least, by_type, settings};
use aim_core::{Capabilities, Encoder, Flow, Input, Part, Pass, Pool, Result, Site, Staged, through};
use candle_core::Tensor;

use crate::{
    Build, EncoderInfo, EncoderSettings, Freeze, Linear, LowRank,
    config::{check_frozen, check_low_rank, given, own_capabilities, with_freeze, with_lora},
};

settings! {
    /// Settings of the encoder `mlp`.
    pub struct MlpConfig {
        /// Width of each block.
        pub widths: Vec<usize> = Vec::new() => at_least(1).required(), "ours";
        /// Low-rank additions to its layers.
        pub lora: Option<LowRank> = None => by_type().shown("none"), "ours";
        /// Blocks that are not trained.
        pub freeze: Option<Freeze> = None => by_type().shown("none"), "ours";
    }
}

static INFO: EncoderInfo = EncoderInfo {
    name: "mlp",
    about: "linear layers, each with ReLU; a block is a layer",
    input: "any shape, flattened",
};

impl EncoderSettings for MlpConfig {
    fn info(&self) -> &'static EncoderInfo {
        &INFO
    }

    fn build(&self, build: &mut Build, name: &str, modality: usize, input: &[usize]) -> Result<Box<dyn Encoder>> {
        let prefix = format!("encoders.{name}");
        let made = build.with_additions(&prefix, |build| {
            Mlp::new(build, &prefix, modality, input.iter().product(), &self.widths)
        })?;
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

    with_lora!(MlpConfig);
    with_freeze!();
}

/// An MLP over the flattened input. Parameters: `<prefix>.blocks.<d>.weight` and `.bias`.
pub struct Mlp {
    modality: usize,
    widths: Vec<usize>,
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
        Ok(Self { modality, widths: widths.to_vec(), width: widths.last().copied().unwrap_or(input), blocks })
    }
}

impl Encoder for Mlp {
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

impl Staged for Mlp {
    fn begin(&self, x: &Input, _: &mut Pass<'_>) -> Result<Flow> {
        Ok(Flow::new(x.values.flatten_from(1)?, Pool::None))
    }
    fn block(&self, depth: usize, mut flow: Flow, pass: &mut Pass<'_>) -> Result<Flow> {
        let h = self.blocks[depth].forward_relu(&flow.values, pass)?;
        flow.values = pass.visit(Site::Stage { modality: self.modality, depth }, h, flow.pool)?;
        Ok(flow)
    }
    fn finish(&self, flow: Flow, _: &mut Pass<'_>) -> Result<Tensor> {
        Ok(flow.values)
    }
    fn channels(&self, depth: usize) -> usize {
        self.widths[depth]
    }
}
