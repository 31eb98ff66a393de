//! Networks: encoders, a fusion, and what a method can know of them.

use std::collections::BTreeMap;

use candle_core::Tensor;

use crate::{Batch, Capabilities, Inner, Input, Params, Pass, Result, Staged};

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
    /// Number of frames or tokens that stand side by side in each feature: 1 unless the encoder keeps the time axis or
    /// was unpooled ([`Encoder::unpool`]).
    pub frames: Vec<usize>,
    /// Number of classes.
    pub classes: usize,
    /// What it can give beyond fused logits.
    pub capabilities: Capabilities,
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

/// Buffer of a fusion that reads one modality after the other: their indices (u32) in order. A view may show it a part
/// of the order; the fused logits are then those after that part.
pub const ORDER: &str = "memory.order";

/// Buffer of a fusion whose classifiers grow in number: how many each modality has in use (u32), 1 or more.
pub const CLASSIFIERS: &str = "aug_head.classifiers";

/// Extra `[B, n, classes]`: logits of every classifier in use ([`CLASSIFIERS`]), those of the first modality first.
pub const STAGES: &str = "stages";

/// Extra `[B, M, classes]`: logits of the one head that reads any modality, on each feature.
pub const ALIGNED: &str = "aligned";

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
    /// The feature `[B, width]`; visits [`Site::Stage`](crate::Site::Stage) after each block. An encoder of sequences
    /// leaves out the positions that are not valid; one whose input has no sequences need not look.
    ///
    /// # Errors
    /// If the input does not fit.
    fn forward(&self, x: &Input, pass: &mut Pass<'_>) -> Result<Tensor>;
    /// The same encoder block by block, if it can be run so ([`capability::STAGED`](crate::capability::STAGED)).
    fn staged(&self) -> Option<&dyn Staged> {
        None
    }
    /// Shape of a sample of numbers that gradients can change, for one whose input has this shape: the same, or that of
    /// embedded words where the input is ids. [`forward`](Self::forward) takes both.
    fn learnable(&self, input: &[usize]) -> Vec<usize> {
        input.to_vec()
    }
    /// Makes of an encoder whose feature is made of tokens one whose feature is these side by side,
    /// `[B, tokens * width]`, zeros where one is padding, and gives their number
    /// ([`capability::UNPOOLED`](crate::capability::UNPOOLED)). `None` of one that has none, which stays as it is.
    fn unpool(&mut self) -> Option<usize> {
        None
    }
    /// Number of blocks.
    fn depth(&self) -> usize;
    /// Width of the feature.
    fn width(&self) -> usize;
    /// Capabilities that it gives a network; those of views and sites only count if every encoder has them.
    fn capabilities(&self) -> Capabilities;
}

/// A fusion with its head.
pub trait Fusion {
    /// Fused logits, the unimodal ones where they are defined, and extras.
    ///
    /// # Errors
    /// If the features do not fit.
    fn forward(&self, features: &[Tensor], pass: &mut Pass<'_>) -> Result<Joined>;
    /// Its part inside the encoders, which gives a network [`capability::INNER`](crate::capability::INNER).
    fn inner(&self) -> Option<&dyn Inner> {
        None
    }
    /// Capabilities that it gives a network.
    fn capabilities(&self) -> Capabilities;
}

/// A multimodal network: a pure function of the weights that the pass shows it.
pub trait Net {
    /// What it is.
    fn spec(&self) -> &NetSpec;
    /// Its parameters and buffers.
    fn params(&self) -> &Params;
    /// The feature of one modality, all others being absent.
    ///
    /// # Errors
    /// If the input does not fit.
    fn encode(&self, modality: usize, x: &Input, pass: &mut Pass<'_>) -> Result<Tensor>;
    /// Shape of one sample of a modality whose numbers gradients can change, which [`encode`](Self::encode) takes, too:
    /// that of an input, or of embedded words where inputs are ids.
    fn learnable(&self, modality: usize) -> Vec<usize> {
        self.spec().inputs[modality].clone()
    }
    /// The feature of each modality of a batch, zeros where its encoder rests. Where encoders work without each other,
    /// that is [`encode`](Self::encode) of each; a network with [`capability::INNER`](crate::capability::INNER) runs
    /// all at once. One that wraps another hands this on.
    ///
    /// # Errors
    /// If the batch does not fit the network.
    fn features(&self, batch: &Batch, pass: &mut Pass<'_>) -> Result<Vec<Tensor>> {
        let one = |(m, x): (usize, &Input)| {
            if !batch.resting.contains(&m) {
                return self.encode(m, x, pass);
            }
            Ok(Tensor::zeros((batch.len(), self.spec().widths[m]), x.values.dtype(), x.values.device())?)
        };
        batch.inputs.iter().enumerate().map(one).collect()
    }
    /// From features to logits. Features come as [`features`](Self::features) gave them or changed by a method.
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
        let features = self.features(batch, pass)?;
        self.fuse(features, batch.present.as_ref(), pass)
    }

    /// Number of modalities.
    pub fn modalities(&self) -> usize {
        self.spec().modalities.len()
    }
}
