//! A prepared set: what is kept of every row, in shards on the disk with one index.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use aim_config::serde::{Deserialize, Serialize};
use aim_core::{Error, Result};

use super::{Decoding, keep::Kept, rows::Row, shown::Records};

/// Version of the index.
const FORMAT: u32 = 1;

/// What a folder of a prepared set holds, in `index.json`.
#[derive(Serialize, Deserialize)]
#[serde(crate = "aim_config::serde")]
pub(in crate::sets) struct Index {
    format: u32,
    /// What the set was prepared by, as a configuration has it.
    pub section: aim_config::Value,
    /// Names of the modalities.
    pub modalities: Vec<String>,
    /// Classes in the order of their indices, where the set's layout says so.
    pub class_names: Option<Vec<String>>,
    /// How many listed samples were left out.
    pub left_out: usize,
    pub rows: Vec<Row>,
    /// Where each row's records are, by row and modality.
    pub places: Vec<Vec<Option<Place>>>,
}

/// Where a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(crate = "aim_config::serde")]
pub(in crate::sets) struct Place {
    pub shard: usize,
    /// First byte in the shard's file.
    pub offset: u64,
    pub bytes: usize,
    pub crc32: u32,
}

impl Index {
    /// An index of these rows.
    pub fn new(set: super::prepare::Set<'_>, modalities: Vec<String>, places: Vec<Vec<Option<Place>>>) -> Self {
        let super::prepare::Set { section, rows, class_names, left_out, .. } = set;
        Self { format: FORMAT, section, modalities, class_names, left_out, rows: rows.to_vec(), places }
    }

    /// Whether every row has a cell and a record, or none, of each modality.
    fn fits(&self, modalities: &BTreeMap<String, Decoding>) -> bool {
        let cells = |row: &Row| row.cells.keys().eq(modalities.keys());
        self.modalities.iter().eq(modalities.keys())
            && self.rows.iter().all(cells)
            && self.places.len() == self.rows.len()
            && self.places.iter().all(|places| places.len() == modalities.len())
    }
}

/// Name of a shard's file.
pub(super) fn shard(number: usize) -> String {
    format!("shard-{number:05}.safetensors")
}

/// Eight digits of what a set is prepared by.
pub(in crate::sets) fn key(section: &aim_config::Value) -> String {
    // Keys are sorted, because JSON maps are here.
    format!("{:08x}", crc32fast::hash(section.to_string().as_bytes()))
}

/// A prepared set that is complete.
pub(in crate::sets) struct Store {
    folder: PathBuf,
    pub index: Index,
}

impl Store {
    /// The set of these modalities that a folder holds, if it is complete.
    ///
    /// # Errors
    /// If its index is damaged, or another program's.
    pub fn open(folder: &Path, modalities: &BTreeMap<String, Decoding>) -> Result<Option<Self>> {
        let path = folder.join("index.json");
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(path, e)),
        };
        let index: Index = serde_json::from_str(&text).map_err(|e| damaged(&path, &format!("is damaged ({e})")))?;
        if index.format != FORMAT {
            return Err(damaged(&path, &format!("has format {}, this program reads {FORMAT}", index.format)));
        }
        if !index.fits(modalities) {
            return Err(damaged(&path, "is damaged: its rows, records and modalities do not go together"));
        }
        Ok(Some(Self { folder: folder.into(), index }))
    }

    /// It, if it has a row for each of these.
    ///
    /// # Errors
    /// If it has not.
    pub fn of(self, rows: usize) -> Result<Self> {
        let own = self.index.rows.len();
        let problem = || format!("is of {own} rows, not {rows}");
        if own == rows { Ok(self) } else { Err(damaged(&self.folder.join("index.json"), &problem())) }
    }

    fn read(&self, place: Place) -> Result<Kept> {
        let path = self.folder.join(shard(place.shard));
        let mut bytes = Vec::new();
        // Opened anew each time: a set may have more shards than a process may have open files.
        let mut read = || {
            let mut file = File::open(&path)?;
            file.seek(SeekFrom::Start(place.offset))?;
            // What the index says of its length is no reason to ask for as much memory.
            let found = file.take(place.bytes as u64).read_to_end(&mut bytes)?;
            if found == place.bytes { Ok(()) } else { Err(io::Error::from(io::ErrorKind::UnexpectedEof)) }
        };
        read().map_err(|e| damaged(&path, &format!("cannot be read ({e})")))?;
        if crc32fast::hash(&bytes) != place.crc32 {
            return Err(damaged(&path, "is damaged: a checksum is wrong"));
        }
        Kept::from_bytes(&bytes).ok_or_else(|| damaged(&path, "holds what this program does not read"))
    }
}

fn damaged(path: &Path, problem: &str) -> Error {
    Error::invalid(path.display().to_string(), problem, "prepare the set again (`data prepare`), which mends it")
}

impl Records for Store {
    fn get(&self, modality: usize, row: usize) -> Result<Kept> {
        let place = self.index.places[row][modality];
        self.read(place.ok_or_else(|| {
            Error::invalid("data", "a sample is read that lacks the modality", "report this fault with its command")
        })?)
    }
    fn crc32(&self, modality: usize, row: usize) -> u32 {
        self.index.places[row][modality].map_or(0, |place| place.crc32)
    }
    fn has(&self, modality: usize, row: usize) -> bool {
        self.index.places[row][modality].is_some()
    }
}
