//! Networks: encoders, a fusion, and what a method can know of them.

use std::collections::BTreeMap;

use candle_core::Tensor;

use crate::{Batch, Params, Pass, Result};

/// What a network can give beyond fused logits; checked against a method's needs when a config is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offers {
    /// Unimodal logits from the fused head (head split or zero-out).
    pub unimodal: bool,
    /// Additional heads of their own for each modality.
    pub uni_heads: bool,
    /// A head for each modality, and fused logits that are the sum or mean of theirs.
    pub disjoint_heads: bool,
    /// One head that reads any modality's features.
    pub shared_head: bool,
    /// Heads that are linear in each modality's feature: one over the concatenation, or one for each modality.
    pub linear_heads: bool,
    /// One linear head over what the fusion has made of each feature, side by side: the extra [`PARTS`].
    pub parts: bool,
    /// A head of several layers for each modality.
    pub deep_heads: bool,
    /// One head of several layers that reads any modality, and a learnt rate on their sum.
    pub boosted: bool,
    /// A head for each modality and a linear layer over the classes of their sum.
    pub class_layer: bool,
    /// A gate for each modality's feature that all features set together.
    pub gates: bool,
    /// Low-rank additions in at least one encoder.
    pub adapters: bool,
    /// Weights of the modalities for each sample, learnt: the extra [`WEIGHTS`].
    pub scheduled: bool,
    /// A memory that reads modalities in the order of the buffer [`ORDER`].
    pub memory: bool,
    /// A primary modality for each sample: the extras [`SUMMARIES`] and [`PREDICTED`].
    pub primary: bool,
    /// Features that a layer norm of the network has normalised.
    pub normalised: bool,
}

/// What a network is, without its weights.
#[derive(Clone, Debug)]
pub struct NetSpec {
    /// Names of the modalities, in the order of inputs and ties.
    pub modalities: Vec<String>,
    /// Shape of one sample of each modality.
    pub inputs: Vec<Vec<usize>>,
    /// Number of blocks of each encoder.
    pub depths: Vec<usize>,
    /// Width of each encoder's feature.
    pub widths: Vec<usize>,
    /// Number of frames that stand side by side in each feature: 1 unless the encoder keeps the time axis.
    pub frames: Vec<usize>,
    /// Number of classes.
    pub classes: usize,
    /// What the fusion and heads can give.
    pub offers: Offers,
}

/// What a forward pass gives.
#[derive(Clone, Debug)]
pub struct Output {
    /// Fused logits `[B, classes]`.
    pub logits: Tensor,
    /// Logits of each modality alone `[B, classes]`; empty where the fusion cannot tell.
    pub unimodal: Vec<Tensor>,
    /// Feature of each modality `[B, width]`.
    pub features: Vec<Tensor>,
    /// What else the fusion says of the samples.
    pub extras: Extras,
}

/// What a fusion says beside its logits, by name; one row a sample.
pub type Extras = BTreeMap<&'static str, Tensor>;

/// Buffer of a fusion that reads one modality after the other: their indices (u32) in order. A view may show it a part of the
/// order; the fused logits are then those after that part.
pub const ORDER: &str = "memory.order";

/// Extra `[B, M]`: the weight of each modality in each sample's fusion.
pub const WEIGHTS: &str = "weights";

/// Extra `[B, sum of widths]`: what a linear head reads of each modality, side by side, where that is not its feature.
pub const PARTS: &str = "parts";

/// Extra `[B, M, d]`: one vector of each modality.
pub const SUMMARIES: &str = "summaries";

/// Extra `[B, M, d]`: [`SUMMARIES`] as they are predicted from the primary modality after fusion.
pub const PREDICTED: &str = "predicted";

/// What a fusion makes of the features.
#[derive(Clone, Debug)]
pub struct Joined {
    /// Fused logits `[B, classes]`.
    pub logits: Tensor,
    /// Logits of each modality alone `[B, classes]`; empty where they are not defined.
    pub unimodal: Vec<Tensor>,
    /// What else there is to say.
    pub extras: Extras,
}

impl From<(Tensor, Vec<Tensor>)> for Joined {
    fn from((logits, unimodal): (Tensor, Vec<Tensor>)) -> Self {
        Self { logits, unimodal, extras: Extras::new() }
    }
}

/// An encoder: from one modality's input to its feature, block by block.
pub trait Encoder {
    /// The feature `[B, width]`; visits [`Site::Stage`](crate::Site::Stage) after each block.
    ///
    /// # Errors
    /// If the input does not fit.
    fn forward(&self, x: &Tensor, pass: &mut Pass<'_>) -> Result<Tensor>;
    /// Number of blocks.
    fn depth(&self) -> usize;
    /// Width of the feature.
    fn width(&self) -> usize;
}

/// A fusion with its head.
pub trait Fusion {
    /// Fused logits, the unimodal ones where they are defined, and extras.
    ///
    /// # Errors
    /// If the features do not fit.
    fn forward(&self, features: &[Tensor], pass: &mut Pass<'_>) -> Result<Joined>;
}

/// A multimodal network: a pure function of the weights that the pass shows it.
pub trait Net {
    /// What it is.
    fn spec(&self) -> &NetSpec;
    /// Its parameters and buffers.
    fn params(&self) -> &Params;
    /// The feature of one modality.
    ///
    /// # Errors
    /// If the input does not fit.
    fn encode(&self, modality: usize, x: &Tensor, pass: &mut Pass<'_>) -> Result<Tensor>;
    /// From features to logits. Features come as [`encode`](Self::encode) gave them or changed by a method.
    ///
    /// # Errors
    /// If the features do not fit.
    fn fuse(&self, features: Vec<Tensor>, present: Option<&Tensor>, pass: &mut Pass<'_>) -> Result<Output>;
}

impl dyn Net + '_ {
    /// The whole network on a batch.
    ///
    /// # Errors
    /// If the batch does not fit the network.
    pub fn forward(&self, batch: &Batch, pass: &mut Pass<'_>) -> Result<Output> {
        let encode = |(m, x)| self.encode(m, x, pass);
        let features = batch.inputs.iter().enumerate().map(encode).collect::<Result<_>>()?;
        self.fuse(features, batch.present.as_ref(), pass)
    }

    /// Number of modalities.
    pub fn modalities(&self) -> usize {
        self.spec().modalities.len()
    }
}
