//! What a set's lists say.

use std::{collections::BTreeMap, io::Read, path::Path};

use aim_core::{Error, Result};
use csv::{ReaderBuilder, StringRecord};
use flate2::read::MultiGzDecoder;

use crate::{
    files::{broken, bytes},
    front::refused,
    table::Part,
};

/// A sample of a list.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sample {
    /// Its name; no other sample has it.
    pub id: String,
    /// Its class.
    pub class: String,
    /// Its split; unused where there is no list of them.
    pub part: Part,
    /// What must stay together in folds.
    pub group: String,
    /// Seconds at which it begins and ends in its recordings.
    pub times: [Option<f64>; 2],
    /// Further words for paths, by name.
    pub words: BTreeMap<&'static str, String>,
}

/// All samples of a set.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Listed {
    /// In the order of the lists.
    pub samples: Vec<Sample>,
    /// Classes in the order of their indices; sorted where there is none.
    pub class_names: Option<Vec<String>>,
}

impl Sample {
    /// A sample without further words.
    pub fn new(id: &str, class: &str, part: Part, group: &str) -> Self {
        Self { id: id.into(), class: class.into(), part, group: group.into(), times: [None; 2], words: BTreeMap::new() }
    }

    /// The same with a word for paths.
    pub fn word(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.words.insert(name, value.into());
        self
    }

    /// The same as a part of its recordings, in seconds.
    pub fn during(self, start: f64, end: f64) -> Self {
        Self { times: [Some(start), Some(end)], ..self }
    }

    /// A path or text with the sample's words in place of their names in braces.
    pub fn fill(&self, template: &str, modality: &str) -> Result<String> {
        let (mut out, mut rest) = (String::new(), template);
        while let Some((before, after)) = rest.split_once('{') {
            let (name, behind) = after.split_once('}').unwrap_or((after, ""));
            let word = match name {
                "id" => Some(&self.id),
                "class" => Some(&self.class),
                other => self.words.get(other),
            };
            let word = word.ok_or_else(|| {
                let have = ["id", "class"].into_iter().chain(self.words.keys().copied()).collect::<Vec<_>>().join(", ");
                let place = format!("data.modalities.{modality}.column");
                Error::invalid(place, format!("`{{{name}}}` is no word of this layout"), format!("use {have}"))
            })?;
            out = out + before + word;
            rest = behind;
        }
        Ok(out + rest)
    }
}

/// Records of a list that comes with the program.
pub(super) fn embedded(gzip: &[u8], name: &str) -> Result<Vec<StringRecord>> {
    let mut text = String::new();
    MultiGzDecoder::new(gzip).read_to_string(&mut text).map_err(|e| Error::io(name, e))?;
    records(Path::new(name), &text, b',')
}

/// Records of a list in the set's folder; `separator` stands between their fields.
pub(super) fn read(path: &Path, separator: u8) -> Result<Vec<StringRecord>> {
    let text = aim_media::text::decode(&bytes(path)?, &path.display().to_string()).map_err(refused)?;
    records(path, &text, separator)
}

fn records(path: &Path, text: &str, separator: u8) -> Result<Vec<StringRecord>> {
    // Quotes are those of commas alone; titles and names elsewhere may hold single ones.
    let mut reader = ReaderBuilder::new();
    reader.has_headers(false).flexible(true).delimiter(separator).quoting(separator == b',');
    let all = reader.from_reader(text.as_bytes()).into_records();
    all.collect::<Result<_, _>>().map_err(|e| broken(path, e.to_string()))
}

/// A field of a record.
pub(super) fn field<'a>(record: &'a StringRecord, at: usize, path: &Path) -> Result<&'a str> {
    let line = record.position().map_or(0, |position| position.line());
    record.get(at).map(str::trim).ok_or_else(|| broken(path, format!("line {line} has no field {}", at + 1)))
}
