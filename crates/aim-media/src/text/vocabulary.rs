//! Vocabularies of whole words.

use super::Encoding;
use super::words::{lowercase, words};
use crate::{Error, Result};
use std::collections::HashMap;

/// Index of padding.
pub const PAD: u32 = 0;
/// Index of every word that the vocabulary does not have.
pub const UNKNOWN: u32 = 1;

/// Index of the first word.
const FIRST: usize = 2;

/// Words that enter a vocabulary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VocabularyLimits {
    /// Whether words are lowercased.
    pub lowercase: bool,
    /// Smallest number of occurrences of a word.
    pub at_least: usize,
    /// Largest number of words; the rarest are left out.
    pub at_most: usize,
}

impl Default for VocabularyLimits {
    /// Lowercased words that occur twice, at most 30,000 of them.
    fn default() -> Self {
        Self { lowercase: true, at_least: 2, at_most: 30_000 }
    }
}

/// Words with indices: 0 for padding, 1 for unknown words, and from 2 on the words themselves, by falling number of
/// occurrences in the training texts and then by alphabet (of code points).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vocabulary {
    words: Vec<String>,
    indices: HashMap<String, u32>,
    lowercase: bool,
}

impl Vocabulary {
    /// Vocabulary of texts, which should be those of the training split alone.
    ///
    /// # Errors
    /// Texts without any word that occurs often enough.
    pub fn build<'a>(texts: impl IntoIterator<Item = &'a str>, limits: VocabularyLimits) -> Result<Self> {
        let mut counts: HashMap<String, usize> = HashMap::new();
        for word in texts.into_iter().flat_map(words) {
            let word = lowercase(word, limits.lowercase);
            match counts.get_mut(word.as_ref()) {
                Some(count) => *count += 1,
                None => drop(counts.insert(word.into_owned(), 1)),
            }
        }
        let mut kept: Vec<_> = counts.into_iter().filter(|(_, count)| *count >= limits.at_least).collect();
        kept.sort_by(|(a, m), (b, n)| n.cmp(m).then_with(|| a.cmp(b)));
        kept.truncate(limits.at_most);
        Self::from_words(kept.into_iter().map(|(word, _)| word).collect(), limits.lowercase)
    }

    /// Vocabulary of words in the order of their indices, as [`Vocabulary::words`] gives them.
    ///
    /// # Errors
    /// No word, or the same word twice.
    pub fn from_words(words: Vec<String>, lowercase: bool) -> Result<Self> {
        let fault = |problem: String, remedy| Err(Error::new("vocabulary", problem, remedy));
        if words.is_empty() {
            return fault("no word is left".into(), "lower the smallest number of occurrences, or check the texts");
        }
        let indices: HashMap<_, _> = words.iter().cloned().zip(FIRST as u32..).collect();
        if indices.len() < words.len() {
            return fault("a word stands in it twice".into(), "remove one of the two");
        }
        Ok(Self { words, indices, lowercase })
    }

    /// Words, the one of index 2 first.
    #[must_use]
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// Whether words are lowercased.
    #[must_use]
    pub fn lowercase(&self) -> bool {
        self.lowercase
    }

    /// Number of indices, those of padding and of unknown words included.
    #[must_use]
    pub fn size(&self) -> usize {
        FIRST + self.words.len()
    }

    /// First words of a text, `length` of them, with padding behind.
    #[must_use]
    pub fn encode(&self, text: &str, length: usize) -> Encoding {
        let index = |word| self.indices.get(lowercase(word, self.lowercase).as_ref()).copied().unwrap_or(UNKNOWN);
        Encoding::new(words(text).map(index), PAD, length)
    }
}
