//! The whole network: embedding, layers, norm.

use candle_core::{DType, Device, Module, Tensor};
use candle_nn::{Embedding, VarBuilder};
use candle_transformers::models::with_tracing::{Linear, RmsNorm, linear_no_bias};

use super::{
    cache::Cache,
    config::Config,
    layer::{Layer, Pass, norm},
    rope::Rope,
};
use crate::{Error, Result};

/// A causal transformer. Copies share the weights.
///
/// Rows of tokens may follow one prefix, whose keys and values are held once for all of them: only what a row adds is
/// its own. Gradients flow where weights are variables.
#[derive(Clone, Debug)]
pub struct Decoder {
    embedding: Embedding,
    layers: Vec<Layer>,
    norm: RmsNorm,
    head: Option<Linear>,
    rope: Rope,
    device: Device,
    dtype: DType,
    vocabulary: usize,
}

impl Decoder {
    /// A network of the weights under `model.`; the last layer is `lm_head`, the embedding, or none, as with rewards.
    ///
    /// # Errors
    /// If the configuration asks for what is not computed here, or a weight is missing or of another shape.
    pub fn new(config: &Config, vb: &VarBuilder<'_>) -> Result<Self> {
        config.check()?;
        let (width, inner) = (config.hidden_size, vb.pp("model"));
        let embedding = candle_nn::embedding(config.vocab_size, width, inner.pp("embed_tokens"))?;
        let head = if config.tie_word_embeddings {
            Some(Linear::from_weights(embedding.embeddings().clone(), None))
        } else if vb.contains_tensor("lm_head.weight") {
            Some(linear_no_bias(width, config.vocab_size, vb.pp("lm_head"))?)
        } else {
            None
        };
        let layers = (0..config.num_hidden_layers).map(|at| Layer::new(config, &inner.pp("layers").pp(at)));
        Ok(Self {
            layers: layers.collect::<candle_core::Result<_>>()?,
            norm: RmsNorm::new(width, config.rms_norm_eps, inner.pp("norm"))?,
            rope: Rope::new(config, vb.dtype(), vb.device())?,
            device: vb.device().clone(),
            dtype: vb.dtype(),
            vocabulary: config.vocab_size,
            embedding,
            head,
        })
    }

    /// Most tokens of a text.
    pub fn positions(&self) -> usize {
        self.rope.positions()
    }

    /// Hidden states `[rows, tokens, width]` of rows of tokens that follow the positions of `shared` (one row, which
    /// all read; may be empty) and those of `own`, which takes up their keys and values.
    ///
    /// # Errors
    /// If rows differ in length, a token is unknown, or the positions are more than the model has.
    pub fn forward(&self, tokens: &[Vec<u32>], shared: &Cache, own: &mut Cache) -> Result<Tensor> {
        let len = tokens.first().map_or(0, Vec::len);
        let fits = |row: &Vec<u32>| row.len() == len && row.iter().all(|id| (*id as usize) < self.vocabulary);
        if len == 0 || !tokens.iter().all(fits) {
            let problem =
                format!("rows of tokens are empty, differ in length, or hold ids of {} or more", self.vocabulary);
            return Err(Error::invalid("tokens", problem, "use the tokenizer of the model"));
        }
        let input = Tensor::from_vec(tokens.concat(), (tokens.len(), len), &self.device)?;
        let before = own.positions();
        let turns = self.rope.at(shared.positions() + before, len)?;
        let pass = Pass { turns, mask: self.mask(before, len)?, shared };
        let mut x = self.embedding.forward(&input)?;
        for (at, layer) in self.layers.iter().enumerate() {
            x = layer.forward(&x, at, &pass, own)?;
        }
        Ok(norm(&self.norm, &x)?)
    }

    /// Logits `[rows, vocabulary]` in f32 of the next token, from the hidden states `[rows, tokens, width]`.
    ///
    /// # Errors
    /// If the model has no last layer.
    pub fn next(&self, hidden: &Tensor) -> Result<Tensor> {
        let last = hidden.narrow(1, hidden.dim(1)? - 1, 1)?.squeeze(1)?;
        self.logits(&last.contiguous()?)
    }

    /// Logits in f32 of hidden states `[..., width]`.
    ///
    /// # Errors
    /// If the model has no last layer.
    pub fn logits(&self, hidden: &Tensor) -> Result<Tensor> {
        let head = self.head.as_ref().ok_or_else(|| {
            Error::invalid("lm_head.weight", "the model has no last layer", "choose a model of language, not a reward")
        })?;
        Ok(head.forward(hidden)?.to_dtype(DType::F32)?)
    }

    /// What hides later tokens of the same pass, `[len, before + len]`; nothing is to be hidden from a single one.
    fn mask(&self, before: usize, len: usize) -> Result<Option<Tensor>> {
        if len == 1 {
            return Ok(None);
        }
        let seen = before + len;
        let hide = |at: usize| if at % seen > before + at / seen { f32::NEG_INFINITY } else { 0. };
        let mask = Tensor::from_iter((0..len * seen).map(hide), &self.device)?;
        Ok(Some(mask.reshape((len, seen))?.to_dtype(self.dtype)?))
    }
}
