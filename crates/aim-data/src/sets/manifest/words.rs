//! Texts as ids of words or word pieces.

use std::path::{Path, PathBuf};

use aim_config::{at_least, by_type, settings, whole, words};
use aim_core::{Context, Error, Result};
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
        Err(Error::invalid("tokenizer", "tokenizers are not built in", remedy))
    }

    /// The words of these texts.
    fn vocabulary(&self, texts: &[String]) -> Result<Learnt> {
        let Self { lowercase, at_least, at_most, .. } = *self;
        let limits = VocabularyLimits { lowercase, at_least, at_most };
        let vocabulary = Vocabulary::build(texts.iter().map(String::as_str), limits).map_err(refused)?;
        Ok(Learnt::Words(vocabulary.words().to_vec()))
    }

    /// The decoder with what ids are made by, as far as there is anything.
    fn by(&self, learnt: Learnt) -> Result<Box<dyn Decode>> {
        let encode: Option<Encode> = match &learnt {
            Learnt::Nothing => None,
            Learnt::Tokenizer(json) => Some(self.pieces(json)?),
            Learnt::Words(words) => {
                let vocabulary = Vocabulary::from_words(words.clone(), self.lowercase).map_err(refused)?;
                let length = self.length;
                Some(Box::new(move |text| Ok(vocabulary.encode(text, length))))
            }
        };
        Ok(Box::new(Words { settings: self.clone(), encode, learnt }))
    }

    /// The decoder with what ids were made by in training.
    ///
    /// # Errors
    /// If there is nothing, or it is no vocabulary or tokenizer.
    pub(super) fn open_fitted(&self, learnt: Learnt) -> Result<Box<dyn Decode>> {
        if learnt == Learnt::Nothing {
            let remedy = "read the texts with what was stored when the network was trained";
            return Err(Error::invalid("text", "has no vocabulary", remedy));
        }
        self.by(learnt)
    }
}

/// Turns a text into ids.
type Encode = Box<dyn Fn(&str) -> Result<Encoding> + Send + Sync>;

impl Opens for Text {
    fn open(&self, folder: &Path) -> Result<Box<dyn Decode>> {
        let Some(path) = self.tokenizer.as_ref().map(|path| folder.join(path)) else { return self.by(Learnt::Nothing) };
        let json = aim_media::text::read(&path).map_err(refused)?;
        self.by(Learnt::Tokenizer(json)).at(|| path.display().to_string())
    }
}

struct Words {
    settings: Text,
    /// None as long as there is no vocabulary.
    encode: Option<Encode>,
    /// What it encodes by.
    learnt: Learnt,
}

/// A text that was kept.
fn text(kept: &Kept) -> Result<&str> {
    if let Kept::Text(text) = kept { Ok(text) } else { Err(kept.unfit("texts")) }
}

impl Decode for Words {
    fn shape(&self) -> Vec<usize> {
        vec![self.settings.length]
    }
    fn positions(&self) -> Option<usize> {
        Some(self.settings.length)
    }
    fn keep(&self, cell: &Cell<'_>) -> Result<Kept> {
        self.settings.text(cell).map(Kept::Text)
    }
    fn show(&self, kept: &Kept, _: &Draw<'_>) -> Result<Decoded> {
        let unready = || Error::invalid("text", "is shown before there is a vocabulary", "report this fault");
        let encoding = self.encode.as_ref().ok_or_else(unready)?(text(kept)?)?;
        let length = encoding.mask.iter().filter(|valid| **valid).count();
        Ok(Decoded { values: encoding.ids.iter().map(|id| *id as f32).collect(), length: Some(length) })
    }
    fn learnt(&self, training: &mut dyn Iterator<Item = Result<Kept>>) -> Result<Option<Box<dyn Decode>>> {
        if self.encode.is_some() {
            return Ok(None);
        }
        let texts = training.map(|kept| text(&kept?).map(ToOwned::to_owned)).collect::<Result<Vec<_>>>()?;
        self.settings.by(self.settings.vocabulary(&texts)?).map(Some)
    }
    fn fitted(&self) -> Learnt {
        self.learnt.clone()
    }
    fn crc32(&self) -> Option<u32> {
        if let Learnt::Tokenizer(json) = &self.learnt { Some(crc32fast::hash(json.as_bytes())) } else { None }
    }
}
