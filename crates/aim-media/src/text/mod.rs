//! Text as numbers: files as UTF-8, words of a plain vocabulary, pieces of a local `tokenizer.json`.

mod read;
#[cfg(feature = "decode")]
mod tokenizer;
mod vocabulary;
mod words;

pub use self::read::{decode, read};
#[cfg(feature = "decode")]
pub use self::tokenizer::Tokenizer;
pub use self::vocabulary::{PAD, UNKNOWN, Vocabulary, VocabularyLimits};
pub use self::words::{lowercase, words};

/// A text as indices, of fixed length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoding {
    /// Indices of words or pieces; behind the text, the index of padding.
    pub ids: Vec<u32>,
    /// Whether each index belongs to the text. Special tokens of a tokenizer count as text; a text without any word has
    /// none beside them.
    pub mask: Vec<bool>,
}

impl Encoding {
    /// Indices cut and padded to a length.
    fn new(ids: impl IntoIterator<Item = u32>, padding: u32, length: usize) -> Self {
        let mut ids: Vec<u32> = ids.into_iter().take(length).collect();
        let mask = (0..length).map(|i| i < ids.len()).collect();
        ids.resize(length, padding);
        Self { ids, mask }
    }
}
