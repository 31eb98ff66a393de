//! A prepared set: what is kept of every row, in shards on the disk with one index.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use aim_config::serde::{Deserialize, Serialize};
use aim_core::{Error, Result};

use super::{keep::Kept, rows::Row, shown::Records};

/// Version of the index.
pub(super) const FORMAT: u32 = 2;

/// What a folder of a prepared set holds, in `index.json`.
#[derive(Serialize, Deserialize)]
#[serde(crate = "aim_config::serde")]
pub(super) struct Index {
    pub format: u32,
    /// What the set was prepared by, as a configuration has it.
    pub section: aim_config::Value,
    /// Shape of a sample of each modality.
    pub shapes: Vec<Vec<usize>>,
    /// The samples, where no manifest names them.
    pub listing: Option<Listing>,
    /// Where each row's records are, by row and modality.
    pub places: Vec<Vec<Option<Place>>>,
}

/// The samples of a set in its own folders, as its lists and its files had them.
#[derive(Clone, Serialize, Deserialize)]
#[serde(crate = "aim_config::serde")]
pub(in crate::sets) struct Listing {
    pub rows: Vec<Row>,
    /// Classes in the order of their indices, where the set's layout says so.
    pub class_names: Option<Vec<String>>,
    /// How many listed samples were left out.
    pub left_out: usize,
}

/// Where a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(crate = "aim_config::serde")]
pub(super) struct Place {
    pub shard: usize,
    /// First byte in the shard's file.
    pub offset: u64,
    pub bytes: usize,
    pub crc32: u32,
}

/// Name of the index's file, without which a set is not complete.
pub(super) const INDEX: &str = "index.json";

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
    index: Index,
}

impl Store {
    /// The set that a folder holds, if it is complete; `section` is what it should have been prepared by.
    ///
    /// # Errors
    /// If its index is damaged, another program's, or of another set.
    pub fn open(folder: &Path, section: &aim_config::Value) -> Result<Option<Self>> {
        let path = folder.join(INDEX);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io(path, e)),
        };
        // Before the rest, which another format may not have.
        let format = serde_json::from_str(&text).map(|index: aim_config::Value| index["format"].as_u64());
        if let Some(format) = format.ok().flatten().filter(|format| *format != u64::from(FORMAT)) {
            return Err(damaged(&path, &format!("has format {format}, this program reads {FORMAT}")));
        }
        let index: Index = serde_json::from_str(&text).map_err(|e| damaged(&path, &format!("is damaged ({e})")))?;
        if index.section != *section {
            return Err(damaged(&path, "is of a set that was prepared by other settings"));
        }
        Ok(Some(Self { folder: folder.into(), index }))
    }

    /// The samples, of a set that no manifest names.
    ///
    /// # Errors
    /// If the index does not say.
    pub fn listing(&mut self) -> Result<Listing> {
        self.index.listing.take().ok_or_else(|| self.unfit("names no samples"))
    }

    /// Shape of a sample of each modality.
    ///
    /// # Errors
    /// If the set does not hold as many rows and modalities.
    pub fn shapes(&self, rows: usize, modalities: usize) -> Result<&[Vec<usize>]> {
        let Index { shapes, places, .. } = &self.index;
        if places.len() != rows || shapes.len() != modalities || places.iter().any(|row| row.len() != modalities) {
            return Err(self.unfit(&format!("does not hold {rows} rows of {modalities} modalities")));
        }
        Ok(shapes)
    }

    /// Bytes of all records.
    pub(super) fn bytes(&self) -> u64 {
        self.index.places.iter().flatten().flatten().map(|place| place.bytes as u64).sum()
    }

    fn unfit(&self, problem: &str) -> Error {
        damaged(&self.folder.join(INDEX), problem)
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
    fn get(&self, modality: usize, row: usize) -> Result<Cow<'_, Kept>> {
        let place = self.index.places[row][modality];
        let place = place.ok_or_else(|| self.unfit("lacks a modality of a sample that has it"))?;
        self.read(place).map(Cow::Owned)
    }
    fn crc32(&self, modality: usize, row: usize) -> u32 {
        self.index.places[row][modality].map_or(0, |place| place.crc32)
    }
    fn has(&self, modality: usize, row: usize) -> bool {
        self.index.places[row][modality].is_some()
    }
}
