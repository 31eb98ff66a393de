//! A run's folder. Every write is atomic: a file is complete and new, or complete and old.
//!
//! | file | content |
//! |---|---|
//! | `config.yaml` | the resolved configuration with seed and the data's checksum; runs again as it is |
//! | `metrics.jsonl` | one line an epoch |
//! | `timing.jsonl` | seconds of each epoch; apart from the metrics, which are the same bits every time |
//! | `last.safetensors` | everything that a restart needs |
//! | `best.safetensors` | weights and method state of the epoch with the best validation accuracy |
//! | `predictions.csv` | prediction for every test sample |
//! | `result.json` | scores; its presence says that the run is done |

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
};

use aim_core::{Error, Result};
use serde::{Serialize, de::DeserializeOwned};

use super::{Checkpoint, EpochLog, Identity, Outcome, identity};
use crate::config::Select;

/// A run's folder, locked as long as this value lives.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Opens the folder of a run, or makes it.
    ///
    /// # Errors
    /// If the folder belongs to another configuration, seed or data set, is in use by another process, or cannot be written.
    pub fn open(path: &Path, identity: &Identity) -> Result<Self> {
        Self::open_if_free(path, identity)?.ok_or_else(|| {
            let problem = "is in use by another process";
            Error::invalid(path.display().to_string(), problem, "wait until it is done, or choose another folder")
        })
    }

    /// Opens the folder of a run, or makes it; `None` while it is in use elsewhere.
    ///
    /// # Errors
    /// If the folder belongs to another configuration, seed or data set, or cannot be written.
    pub fn open_if_free(path: &Path, identity: &Identity) -> Result<Option<Self>> {
        fs::create_dir_all(path).map_err(|e| Error::io(path, e))?;
        let Some(lock) = lock(path)? else { return Ok(None) };
        let folder = Self { path: path.into(), _lock: lock };
        let wanted = identity.to_yaml()?;
        match folder.read("config.yaml")? {
            None => folder.write("config.yaml", wanted.as_bytes())?,
            Some(found) if identity::same(&found, &wanted) => {}
            Some(_) => {
                let problem = "belongs to a run with another configuration, seed or data set";
                return Err(Error::invalid(
                    path.display().to_string(),
                    problem,
                    "choose another folder or delete this one",
                ));
            }
        }
        Ok(Some(folder))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The result, if the run is done.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn result(&self) -> Result<Option<Outcome>> {
        self.read("result.json")?.map(|text| from_json(&self.path.join("result.json"), &text)).transpose()
    }

    /// Stores the result.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn put_result(&self, outcome: &Outcome) -> Result<()> {
        let text = serde_json::to_string_pretty(outcome).map_err(|e| self.unwritten("result.json", &e))?;
        self.write("result.json", text.as_bytes())
    }

    /// The last checkpoint, if there is one.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn checkpoint(&self) -> Result<Option<Checkpoint>> {
        load(&self.path.join("last.safetensors"))
    }

    /// The checkpoint of the best epoch, if there is one.
    ///
    /// # Errors
    /// If the file is damaged.
    pub fn best(&self) -> Result<Option<Checkpoint>> {
        load(&self.path.join("best.safetensors"))
    }

    /// Stores history and checkpoints; `last` goes last, so that what it refers to is there.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn put(&self, log: &[EpochLog], seconds: &[f64], best: Option<&Checkpoint>, last: &Checkpoint) -> Result<()> {
        if let Some(best) = best {
            self.write("best.safetensors", &best.to_bytes()?)?;
        }
        self.write("metrics.jsonl", self.lines("metrics.jsonl", log)?.as_bytes())?;
        self.write("timing.jsonl", self.lines("timing.jsonl", seconds)?.as_bytes())?;
        self.write("last.safetensors", &last.to_bytes()?)
    }

    /// The logs of the first `epochs` epochs.
    ///
    /// # Errors
    /// If a line is damaged.
    pub fn log(&self, epochs: usize) -> Result<Vec<EpochLog>> {
        self.parsed("metrics.jsonl", epochs)
    }

    /// Seconds that the first `epochs` epochs took.
    ///
    /// # Errors
    /// If a line is damaged.
    pub fn seconds(&self, epochs: usize) -> Result<Vec<f64>> {
        self.parsed("timing.jsonl", epochs)
    }

    /// Stores the predictions.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn put_predictions(&self, csv: &str) -> Result<()> {
        self.write("predictions.csv", csv.as_bytes())
    }

    /// The predictions, as they were stored.
    ///
    /// # Errors
    /// If there are none.
    pub fn predictions(&self) -> Result<String> {
        let path = self.path.join("predictions.csv");
        fs::read_to_string(&path).map_err(|e| Error::io(&path, e))
    }

    fn lines<T: Serialize>(&self, name: &str, items: &[T]) -> Result<String> {
        let line = |item| serde_json::to_string(item).map(|line| line + "\n").map_err(|e| self.unwritten(name, &e));
        items.iter().map(line).collect()
    }

    fn parsed<T: DeserializeOwned>(&self, name: &str, epochs: usize) -> Result<Vec<T>> {
        let text = self.read(name)?.unwrap_or_default();
        text.lines().take(epochs).map(|line| from_json(&self.path.join(name), line)).collect()
    }

    fn unwritten(&self, name: &str, e: &serde_json::Error) -> Error {
        Error::invalid(self.path.join(name).display().to_string(), e.to_string(), "report this")
    }

    fn read(&self, name: &str) -> Result<Option<String>> {
        let path = self.path.join(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io(path, e)),
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        write_atomically(&self.path.join(name), bytes)
    }
}

/// The checkpoint that a run's test scores are made with.
///
/// # Errors
/// If the folder holds none.
pub fn chosen(folder: &Path, select: Select) -> Result<Checkpoint> {
    let path = folder.join(if select == Select::Best { "best.safetensors" } else { "last.safetensors" });
    load(&path)?.ok_or_else(|| Error::io(&path, std::io::ErrorKind::NotFound.into()))
}

fn load(path: &Path) -> Result<Option<Checkpoint>> {
    match fs::read(path) {
        Ok(bytes) => Checkpoint::from_bytes(path, &bytes).map(Some),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io(path, e)),
    }
}

/// Writes a file under another name, waits until it is on the disk and renames it.
///
/// # Errors
/// If that fails; an older file of that name is then still there.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    let part = path.with_added_extension("part");
    let write = || {
        let mut file = File::create(&part)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(&part, path)
    };
    write().map_err(|e| {
        // Best effort: what was begun is of no use, and the first error is the one to tell.
        fs::remove_file(&part).ok();
        Error::io(path, e)
    })
}

fn from_json<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T> {
    serde_json::from_str(text)
        .map_err(|e| Error::invalid(path.display().to_string(), format!("is damaged ({e})"), "delete the run's folder"))
}

/// Locks the folder, if it is not locked; the lock goes with the process, so a killed one leaves none behind.
fn lock(path: &Path) -> Result<Option<File>> {
    let file = path.join(".lock");
    let lock = File::create(&file).map_err(|e| Error::io(&file, e))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(e)) => Err(Error::io(file, e)),
    }
}
