//! A prefix whose keys and values are kept from one call to the next.

use candle_core::Tensor;

use super::{Cache, Decoder};
use crate::Result;

/// Tokens in common at the start of two sequences.
pub(crate) fn common(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// The tokens seen last, with their keys and values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prefix {
    tokens: Vec<u32>,
    /// Of all `tokens`, one row.
    pub cache: Cache,
}

impl Prefix {
    /// Goes to these tokens and returns the hidden states of those that had to be computed, the last one among them:
    /// what they have in common with the tokens before is kept.
    pub fn go_to(&mut self, decoder: &Decoder, tokens: &[u32]) -> Result<Tensor> {
        let kept = common(&self.tokens, tokens).min(tokens.len().saturating_sub(1));
        self.cache.truncate(kept)?;
        self.tokens.truncate(kept);
        let hidden = decoder.forward(&[tokens[kept..].to_vec()], &Cache::default(), &mut self.cache);
        // A pass that failed has reached some layers only.
        if hidden.is_err() {
            *self = Self::default();
        } else {
            self.tokens.extend(&tokens[kept..]);
        }
        hidden
    }
}
