//! What new samples are read with: names of the classes, shapes, and what pre-processing learnt from the training
//! split.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use aim_core::{Error, Result};
use aim_data::{Dataset, Modality};
use serde::{Deserialize, Serialize};

use super::write_atomically;

/// The file in a run's folder.
pub(super) const FILE: &str = "preprocessing.json";

/// Version of the file that this program writes, and the newest that it reads.
const VERSION: u32 = 1;

/// The content of `preprocessing.json`. How files are decoded is not in it: that is the configuration's section `data`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preprocessing {
    /// Names of the classes, in the order of logits.
    pub class_names: Vec<String>,
    /// The network's modalities, in its order.
    pub modalities: Vec<Modality>,
}

/// What every version of the file has.
#[derive(Deserialize)]
struct Head {
    version: u32,
}

#[derive(Serialize, Deserialize)]
struct Written {
    version: u32,
    /// Of the content as compact JSON.
    crc32: u32,
    #[serde(flatten)]
    content: Preprocessing,
}

impl Preprocessing {
    /// That of a network which is trained on these data.
    pub fn of(data: &Dataset) -> Self {
        Self { class_names: data.class_names.clone(), modalities: data.fitted() }
    }

    /// Name and shape of one sample of each modality, as networks are built for them.
    pub fn named_shapes(&self) -> Vec<(String, Vec<usize>)> {
        self.modalities.iter().map(|m| (m.name.clone(), m.shape.clone())).collect()
    }

    /// Stores it in a run's folder, unless it is there, or a newer program's is.
    ///
    /// # Errors
    /// If the file cannot be read or written.
    pub fn keep(&self, folder: &Path) -> Result<()> {
        let (path, bytes) = (folder.join(FILE), self.to_bytes()?);
        let newer = |stored: &[u8]| serde_json::from_slice(stored).is_ok_and(|Head { version }| version > VERSION);
        match fs::read(&path) {
            Ok(stored) if stored == bytes || newer(&stored) => Ok(()),
            Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io(path, e)),
            _ => write_atomically(&path, &bytes),
        }
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// If a value cannot be written.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>> {
        let written = Written { version: VERSION, crc32: self.crc32()?, content: self.clone() };
        serde_json::to_vec(&written).map_err(|e| unwritten(&e))
    }

    /// What a folder holds.
    ///
    /// # Errors
    /// If it holds none, one of a newer program, or a damaged one.
    pub fn load(folder: &Path) -> Result<Self> {
        let path = folder.join(FILE);
        let again = "start the run's command again, which adds it without training";
        let bytes = match fs::read(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                let problem = "is missing: an older program made this run, or it was deleted";
                return Err(Error::invalid(path.display().to_string(), problem, again));
            }
            other => other.map_err(|e| Error::io(&path, e))?,
        };
        let damaged = |how: String| Error::invalid(path.display().to_string(), format!("is damaged ({how})"), again);
        let Head { version } = serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
        if version > VERSION {
            return Err(newer(path, version));
        }
        let Written { crc32, content, .. } = serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
        if content.crc32()? == crc32 { Ok(content) } else { Err(damaged("wrong checksum".into())) }
    }

    fn crc32(&self) -> Result<u32> {
        serde_json::to_vec(self).map(|bytes| crc32fast::hash(&bytes)).map_err(|e| unwritten(&e))
    }
}

fn newer(path: PathBuf, version: u32) -> Error {
    let problem = format!("has version {version}, this program knows versions up to {VERSION}");
    Error::invalid(path.display().to_string(), problem, "use the newer program that wrote it")
}

fn unwritten(e: &serde_json::Error) -> Error {
    Error::invalid(FILE, e.to_string(), "report this fault with the command that met it")
}
