//! Texts as ids of words or word pieces.

use std::path::{Path, PathBuf};

use aim_config::{at_least, by_type, settings, whole, words};
use aim_core::Result;
use aim_media::text::{Encoding, Vocabulary, VocabularyLimits};

use super::{
    decoding::{Cell, Decode, Decoded, Opens},
    keep::{Draw, Kept},
};
use crate::{fitted::Learnt, front::refused};

settings! {
    /// Texts as `[length]` ids, 0 for padding: of a vocabulary of the training texts' words, or of a tokenizer.
    pub struct Text {
        /// Number of words or pieces that are kept.
        pub length: usize = 32 => whole(1, 100_000), "ours";
        /// Whether cells are paths of files with the text.
        pub files: bool = false => by_type(), "ours";
        /// A `tokenizer.json` of Hugging Face, below the folder of the manifest (feature `media`).
        pub tokenizer: Option<PathBuf> = None => words("a path").shown("words of the training texts"), "ours";
        /// Whether case is ignored in a vocabulary of words.
        pub lowercase: bool = true => by_type(), "ours";
        /// Least number of times that a word of the vocabulary occurs in the training texts.
        pub at_least: usize = 2 => at_least(1), "ours";
        /// Largest number of words of the vocabulary.
        pub at_most: usize = 30_000 => at_least(1), "ours";
    }
}

impl Text {
    fn text(&self, cell: &Cell<'_>) -> Result<String> {
        if self.files { aim_media::text::read(&cell.path()?).map_err(refused) } else { Ok(cell.text.into()) }
    }

    /// Ids by the text of a `tokenizer.json`.
    #[cfg(feature = "media")]
    fn pieces(&self, json: &str) -> Result<Encode> {
        let tokenizer = aim_media::text::Tokenizer::from_json(json, "tokenizer", self.length).map_err(refused)?;
        Ok(Box::new(move |text| tokenizer.encode(text).map_err(refused)))
    }

    #[cfg(not(feature = "media"))]
    fn pieces(&self, _: &str) -> Result<Encode> {
        let remedy = "build with `--features media`, or leave the tokenizer out for a vocabulary of words";
        Err(aim_core::Error::invalid("tokenizer", "tokenizers are not built in", remedy))
    }

    /// What ids are made by: the tokenizer, or the words of the training texts.
    fn learn(&self, folder: &Path, training: &[Cell<'_>]) -> Result<Learnt> {
        if let Some(path) = &self.tokenizer {
            return aim_media::text::read(&folder.join(path)).map_err(refused).map(Learnt::Tokenizer);
        }
        let texts = training.iter().map(|cell| self.text(cell)).collect::<Result<Vec<_>>>()?;
        let Self { lowercase, at_least, at_most, .. } = *self;
        let limits = VocabularyLimits { lowercase, at_least, at_most };
        let vocabulary = Vocabulary::build(texts.iter().map(String::as_str), limits).map_err(refused)?;
        Ok(Learnt::Words(vocabulary.words().to_vec()))
    }

    /// The decoder with what ids are made by.
    ///
    /// # Errors
    /// If there is nothing, or it is no vocabulary or tokenizer.
    pub(super) fn open_fitted(&self, learnt: Learnt) -> Result<Box<dyn Decode>> {
        let encode: Encode = match &learnt {
            Learnt::Tokenizer(json) => self.pieces(json)?,
            Learnt::Words(words) => {
                let vocabulary = Vocabulary::from_words(words.clone(), self.lowercase).map_err(refused)?;
                let length = self.length;
                Box::new(move |text| Ok(vocabulary.encode(text, length)))
            }
            Learnt::Nothing => {
                let remedy = "read the texts with what was stored when the network was trained";
                return Err(aim_core::Error::invalid("text", "has no vocabulary", remedy));
            }
        };
        Ok(Box::new(Words { settings: self.clone(), encode, learnt }))
    }
}

/// Turns a text into ids.
type Encode = Box<dyn Fn(&str) -> Result<Encoding> + Send + Sync>;

impl Opens for Text {
    fn open(&self, folder: &Path, training: &[Cell<'_>]) -> Result<Box<dyn Decode>> {
        self.open_fitted(self.learn(folder, training)?)
    }
}

struct Words {
    settings: Text,
    encode: Encode,
    learnt: Learnt,
}

impl Words {
    fn ids(&self, text: &str) -> Result<Decoded> {
        let encoding = (self.encode)(text)?;
        let length = encoding.mask.iter().filter(|valid| **valid).count();
        Ok(Decoded { values: encoding.ids.iter().map(|id| *id as f32).collect(), length: Some(length) })
    }
}

impl Decode for Words {
    fn shape(&self) -> Vec<usize> {
        vec![self.settings.length]
    }
    fn positions(&self) -> Option<usize> {
        Some(self.settings.length)
    }
    fn fitted(&self) -> Learnt {
        self.learnt.clone()
    }
    fn decode(&self, cell: &Cell<'_>) -> Result<Decoded> {
        self.ids(&self.settings.text(cell)?)
    }
    fn keep(&self, cell: &Cell<'_>) -> Result<Kept> {
        self.settings.text(cell).map(Kept::Text)
    }
    fn show(&self, kept: &Kept, _: &Draw<'_>) -> Result<Decoded> {
        let Kept::Text(text) = kept else { return Err(kept.unfit("texts")) };
        self.ids(text)
    }
}
