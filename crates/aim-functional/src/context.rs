//! What a closure knows of the pass that it runs in.

use aim_core::{Norm, Pass, Pool, Result, Rng, Site};
use candle_core::Tensor;

/// The pass as an encoder's closure sees it: training or evaluation, generators, and where each block's output goes.
pub struct Context<'a, 'p> {
    pass: &'a mut Pass<'p>,
    /// `encoders.<modality>`
    prefix: &'a str,
    modality: usize,
    valid: Option<&'a Tensor>,
    blocks: usize,
}

impl<'a, 'p> Context<'a, 'p> {
    pub(crate) fn new(pass: &'a mut Pass<'p>, prefix: &'a str, modality: usize, valid: Option<&'a Tensor>) -> Self {
        Self { pass, prefix, modality, valid, blocks: 0 }
    }

    /// Number of blocks visited so far.
    pub(crate) fn blocks(&self) -> usize {
        self.blocks
    }

    /// Whether this is a training pass, in which dropout and the like are active. For norms see
    /// [`batch_statistics`](Self::batch_statistics).
    pub fn train(&self) -> bool {
        self.pass.train
    }

    /// Whether norm layers use the batch's statistics: what `candle_nn::BatchNorm::forward_t` wants to know. Some
    /// training passes use the running ones.
    pub fn batch_statistics(&self) -> bool {
        self.pass.norm != Norm::Running
    }

    /// The mask of valid positions `[B, positions]`, 1 where there is data and 0 where there is padding; `None` where
    /// every position is valid.
    pub fn valid(&self) -> Option<&'a Tensor> {
        self.valid
    }

    /// The generator of `name` in this encoder and pass. Every draw of its own needs its own name.
    pub fn rng(&self, name: &str) -> Rng {
        self.pass.rng(&format!("{}.{name}", self.prefix))
    }

    /// Inverted dropout with a mask that belongs to `name`, in place of `candle_nn::Dropout`, whose draws no seed
    /// reaches. In evaluation it does nothing. Every layer needs its own name.
    ///
    /// # Errors
    /// If `p` is not in `[0, 1)`.
    pub fn dropout(&self, x: &Tensor, p: f64, name: &str) -> Result<Tensor> {
        if !self.pass.train {
            return Ok(x.clone());
        }
        // The seed is drawn as by the layers of aim-backbones, so that equal names give equal masks.
        Ok(aim_ops::dropout(x, p, self.rng(name).below(usize::MAX) as u64)?)
    }

    /// Hands over the output of the next block and takes back what goes on: methods read and change activations here.
    /// Vectors `[B, width]` are their own summary; everything else, `[B, width, ..]`, is averaged over its positions.
    /// For tokens `[B, tokens, width]` see [`block_pooled`](Self::block_pooled).
    ///
    /// # Errors
    /// Those of the methods.
    pub fn block(&mut self, h: Tensor) -> Result<Tensor> {
        let pool = if h.rank() > 2 { Pool::Mean { frames: 1 } } else { Pool::None };
        self.block_pooled(h, pool)
    }

    /// As [`block`](Self::block) for activations that become one vector a sample in another way, such as
    /// `Pool::Token { frames: 1 }`, the first token.
    ///
    /// # Errors
    /// Those of the methods.
    pub fn block_pooled(&mut self, h: Tensor, pool: Pool) -> Result<Tensor> {
        let site = Site::Stage { modality: self.modality, depth: self.blocks };
        self.blocks += 1;
        self.pass.visit(site, h, pool)
    }
}
