//! Texts as ids of words or word pieces.

use std::path::{Path, PathBuf};

use aim_config::{at_least, by_type, settings, whole, words};
use aim_core::{Error, Result};
use aim_media::text::{Encoding, Vocabulary, VocabularyLimits};

use super::{
    decoding::{Cell, Decode, Decoded, Opens},
    keep::{Draw, Kept},
};
use crate::front::refused;

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

    #[cfg(feature = "media")]
    fn pieces(&self, path: &Path) -> Result<(Encode, u32)> {
        let json = aim_media::text::read(path).map_err(refused)?;
        let place = path.display().to_string();
        let tokenizer = aim_media::text::Tokenizer::from_json(&json, &place, self.length).map_err(refused)?;
        Ok((Box::new(move |text| tokenizer.encode(text).map_err(refused)), crc32fast::hash(json.as_bytes())))
    }

    #[cfg(not(feature = "media"))]
    fn pieces(&self, path: &Path) -> Result<(Encode, u32)> {
        let remedy = "build with `--features media`, or leave the tokenizer out for a vocabulary of words";
        Err(Error::invalid(path.display().to_string(), "tokenizers are not built in", remedy))
    }

    /// Ids by the words of these texts.
    fn vocabulary(&self, texts: &[String]) -> Result<Encode> {
        let Self { lowercase, at_least, at_most, length, .. } = *self;
        let limits = VocabularyLimits { lowercase, at_least, at_most };
        let vocabulary = Vocabulary::build(texts.iter().map(String::as_str), limits).map_err(refused)?;
        Ok(Box::new(move |text| Ok(vocabulary.encode(text, length))))
    }
}

/// Turns a text into ids.
type Encode = Box<dyn Fn(&str) -> Result<Encoding> + Send + Sync>;

impl Opens for Text {
    fn open(&self, folder: &Path) -> Result<Box<dyn Decode>> {
        let pieces = self.tokenizer.as_ref().map(|path| self.pieces(&folder.join(path))).transpose()?;
        let (encode, crc32) = pieces.unzip();
        Ok(Box::new(Words { settings: self.clone(), encode, crc32 }))
    }
}

struct Words {
    settings: Text,
    /// None as long as there is no vocabulary.
    encode: Option<Encode>,
    /// Checksum of the tokenizer.
    crc32: Option<u32>,
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
        let encode = Some(self.settings.vocabulary(&texts)?);
        Ok(Some(Box::new(Self { settings: self.settings.clone(), encode, crc32: None })))
    }
    fn crc32(&self) -> Option<u32> {
        self.crc32
    }
}
