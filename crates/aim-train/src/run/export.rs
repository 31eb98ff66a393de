//! A trained network in a folder of its own, for this program and for others.
//!
//! | file | content |
//! |---|---|
//! | `weights.safetensors` | the chosen weights and buffers, under their names in the network |
//! | `method.safetensors` | what the method itself answers with, if it has any |
//! | `config.yaml` | the run's configuration |
//! | `preprocessing.json` | names of the classes, shapes, and what was learnt from the training split |
//! | `README.md` | what it is, for people: set, method, accuracy, names and shapes of the weights |
//! | `export.json` | version, epoch, and a checksum of each of the others but the card |

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
};

use aim_core::{Error, Result, State};
use candle_core::{Device, Tensor};
use serde::{Deserialize, Serialize};

use super::{
    Preprocessing, card, preprocessing,
    trained::{Parts, outside},
    write_atomically,
};
use crate::{Registries, config::Identity};

const EXPORT: &str = "export.json";
const WEIGHTS: &str = "weights.safetensors";
const METHOD: &str = "method.safetensors";
const CONFIG: &str = "config.yaml";

/// Version of the folder that this program writes, and the newest that it reads.
const VERSION: u32 = 1;

/// The content of `export.json`.
#[derive(Serialize, Deserialize)]
struct Export {
    version: u32,
    /// The epoch of the weights, counted from 0.
    epoch: usize,
    /// CRC-32 of each file.
    files: BTreeMap<String, u32>,
}

/// What every version of `export.json` has.
#[derive(Deserialize)]
struct Head {
    version: u32,
}

/// Exports the network of a run that is done into a new folder, which is there as a whole or not at all.
///
/// # Errors
/// If the run is not done or damaged, or the folder exists or cannot be written.
pub fn export(run: &Path, folder: &Path, registries: &Registries) -> Result<()> {
    let folder = new(folder, run)?;
    let (parts, outcome) = Parts::of_run(run, registries)?;
    write(&parts, &card::text(&parts, &outcome), &folder)
}

/// The same with low-rank additions in the weights that they are added to, as plain layers have them. Answers differ by
/// rounding.
///
/// # Errors
/// Those of [`export`], and if the network has no additions, or the method a state of its own.
pub fn export_merged(run: &Path, folder: &Path, registries: &Registries) -> Result<()> {
    let folder = new(folder, run)?;
    let (parts, outcome) = Parts::of_run(run, registries)?;
    let parts = parts.merged(registries)?;
    write(&parts, &card::text(&parts, &outcome), &folder)
}

/// The path of a folder that is not there yet, nor in the run's.
fn new(folder: &Path, run: &Path) -> Result<PathBuf> {
    let folder = outside(folder, run)?;
    if folder.exists() {
        let place = folder.display().to_string();
        return Err(Error::invalid(place, "exists already", "choose another folder, or remove this one"));
    }
    Ok(folder)
}

fn write(parts: &Parts, card: &str, folder: &Path) -> Result<()> {
    let mut files = vec![
        (WEIGHTS, tensors(&parts.weights)?),
        (CONFIG, parts.identity.to_yaml()?.into_bytes()),
        (preprocessing::FILE, parts.preprocessing.to_bytes()?),
    ];
    if !parts.method.0.is_empty() {
        files.push((METHOD, tensors(&parts.method.0)?));
    }
    let sums = files.iter().map(|(name, bytes)| ((*name).to_owned(), crc32fast::hash(bytes))).collect();
    let index = Export { version: VERSION, epoch: parts.epoch, files: sums };
    let index = serde_json::to_vec_pretty(&index).map_err(|e| unwritten(e.to_string()))?;
    files.extend([("README.md", card.to_owned().into_bytes()), (EXPORT, index)]);
    let part = super::disk::part(folder);
    fs::create_dir_all(&part).map_err(|e| Error::io(&part, e))?;
    files.iter().try_for_each(|(name, bytes)| write_atomically(&part.join(name), bytes))?;
    super::disk::settle(&part, folder).map_err(|e| Error::io(folder, e))
}

/// What a folder that was exported holds; none of another folder.
///
/// # Errors
/// If a file is missing or damaged, or a newer program exported it.
pub(super) fn read(folder: &Path, registries: &Registries) -> Result<Option<Parts>> {
    let path = folder.join(EXPORT);
    if !path.exists() {
        return Ok(None);
    }
    let index = fs::read(&path).map_err(|e| Error::io(&path, e))?;
    let parsed = |e: serde_json::Error| damaged(folder, EXPORT, &e.to_string());
    let Head { version } = serde_json::from_slice(&index).map_err(parsed)?;
    if version > VERSION {
        let problem = format!("has version {version}, this program knows versions up to {VERSION}");
        return Err(Error::invalid(path.display().to_string(), problem, "use the newer program that wrote it"));
    }
    let Export { epoch, files, .. } = serde_json::from_slice(&index).map_err(parsed)?;
    let bytes = |name: &str| match (fs::read(folder.join(name)), files.get(name)) {
        (Ok(bytes), Some(crc32)) if crc32fast::hash(&bytes) == *crc32 => Ok(bytes),
        (Ok(_), _) => Err(damaged(folder, name, "wrong checksum")),
        (Err(e), _) => Err(damaged(folder, name, &e.to_string())),
    };
    let load = |name: &str| -> Result<BTreeMap<String, Tensor>> {
        let tensors = candle_core::safetensors::load_buffer(&bytes(name)?, &Device::Cpu)?;
        Ok(tensors.into_iter().collect())
    };
    let (weights, method) = (load(WEIGHTS)?, if files.contains_key(METHOD) { load(METHOD)? } else { BTreeMap::new() });
    let config = String::from_utf8(bytes(CONFIG)?).map_err(|e| damaged(folder, CONFIG, &e.to_string()))?;
    bytes(preprocessing::FILE)?;
    Ok(Some(Parts {
        identity: Identity::parse(&config, registries)?,
        preprocessing: Preprocessing::load(folder)?,
        weights,
        method: State(method),
        epoch,
    }))
}

/// Tensors as a file. Its note is what PyTorch's loaders look for.
fn tensors(tensors: &BTreeMap<String, Tensor>) -> Result<Vec<u8>> {
    let note = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    safetensors::serialize(tensors.iter().map(|(k, t)| (k.as_str(), t)), Some(note))
        .map_err(|e| unwritten(e.to_string()))
}

fn damaged(folder: &Path, name: &str, how: &str) -> Error {
    let place = folder.join(name).display().to_string();
    Error::invalid(place, format!("is damaged ({how})"), "export the run again into a new folder")
}

fn unwritten(problem: String) -> Error {
    Error::invalid("export", problem, "report this fault with the command that met it")
}
