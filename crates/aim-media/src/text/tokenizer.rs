//! Pieces of words by a `tokenizer.json` in the format of Hugging Face.

use super::Encoding;
use crate::{Error, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use tokenizers::tokenizer::{PostProcessor, Tokenizer as Inner, TruncationParams};

/// Names of padding in the usual tokenizers.
const PADDING: [&str; 4] = ["[PAD]", "<pad>", "<|padding|>", "<|endoftext|>"];

/// Largest length of an encoding.
const MAX_LENGTH: usize = 1 << 20;

/// A tokenizer with a fixed length, its special tokens included.
pub struct Tokenizer {
    inner: Inner,
    length: usize,
    padding: u32,
}

impl Tokenizer {
    /// Reads a `tokenizer.json`. Texts are cut at the side that it names (the end where it names none), and padded
    /// behind with the token that it names for that, else with the first of `[PAD]`, `<pad>`, `<|padding|>` and
    /// `<|endoftext|>` that it has, else with index 0.
    ///
    /// # Errors
    /// A file that cannot be read or is no tokenizer, a length that leaves no room beside the special tokens.
    pub fn read(path: &Path, length: usize) -> Result<Self> {
        Self::from_json(&super::read(path)?, &path.display().to_string(), length)
    }

    /// The tokenizer in the text of a `tokenizer.json`; `place` names it in errors. See [`Tokenizer::read`].
    ///
    /// # Errors
    /// As [`Tokenizer::read`].
    pub fn from_json(json: &str, place: &str, length: usize) -> Result<Self> {
        // The crate gives up on some faults by a panic, which ends this file only.
        let inner = catch_unwind(|| json.parse::<Inner>().map_err(|error| first_line(&*error)));
        let inner = inner.unwrap_or_else(|_| Err("the reader gave up".into()));
        let mut inner = inner.map_err(|problem| {
            let remedy =
                "give the `tokenizer.json` that lies beside the model's weights (not `vocab.txt` or `merges.txt`)";
            Error::new(place, format!("not a tokenizer ({problem})"), remedy)
        })?;
        let special = inner.get_post_processor().map_or(0, |processor| processor.added_tokens(false));
        if length <= special || length > MAX_LENGTH {
            let problem = format!("a length of {length} cannot hold {special} special tokens and a text");
            return Err(Error::new(place, problem, format!("choose {} to {MAX_LENGTH}", special + 1)));
        }
        let direction = inner.get_truncation().map(|given| given.direction).unwrap_or_default();
        let truncation = TruncationParams { max_length: length, direction, ..Default::default() };
        let padding = padding(&inner);
        inner.with_padding(None);
        let cut = inner.with_truncation(Some(truncation)).map(drop);
        cut.map_err(|error| Error::new(place, first_line(&*error), "choose another length"))?;
        Ok(Self { inner, length, padding })
    }

    /// Number of indices, those of added tokens included.
    #[must_use]
    pub fn size(&self) -> usize {
        let last = self.inner.get_vocab(true).into_values().max();
        last.map_or(0, |last| last as usize + 1)
    }

    /// Index of padding.
    #[must_use]
    pub fn padding(&self) -> u32 {
        self.padding
    }

    /// Pieces of a text with special tokens, cut and padded to the length.
    ///
    /// # Errors
    /// A text that the tokenizer cannot split, such as an unknown character where it has no unknown token.
    pub fn encode(&self, text: &str) -> Result<Encoding> {
        let encode = || self.inner.encode(text, true).map_err(|error| first_line(&*error));
        let pieces = catch_unwind(AssertUnwindSafe(encode)).unwrap_or_else(|_| Err("it gave up".into()));
        let pieces = pieces.map_err(|problem| {
            let remedy = "use a tokenizer with a token for what is unknown, or clean the text";
            Error::new("text", format!("the tokenizer refuses it ({problem})"), remedy)
        })?;
        Ok(Encoding::new(pieces.get_ids().iter().copied(), self.padding, self.length))
    }
}

fn padding(inner: &Inner) -> u32 {
    let named = inner.get_padding().map(|given| given.pad_id);
    named.or_else(|| PADDING.iter().find_map(|name| inner.token_to_id(name))).unwrap_or(0)
}

fn first_line(error: &dyn std::error::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
