//! A run's folder. Every write is atomic: a file is complete and new, or complete and old. Only logs, which are copies
//! of what the checkpoint says, are appended to, so that who reads them sees them grow.
//!
//! | file | content |
//! |---|---|
//! | `config.yaml` | the resolved configuration with seed and the data's checksum; runs again as it is |
//! | `last.safetensors` | everything that a restart needs, with a checksum |
//! | `previous.safetensors` | the one before it, used if that is damaged |
//! | `metrics.jsonl` | one line an epoch; a copy of what `last.safetensors` says |
//! | `best.safetensors` | weights and method state of the best epoch, by what `train.select` names; such a copy, too |
//! | `timing.jsonl` | seconds of each epoch, also of one that has begun; apart from the metrics, which are always the same bits |
//! | `events.out.tfevents` | the metrics for TensorBoard, and the test scores at the end |
//! | `preprocessing.json` | what new samples are read with: classes, shapes, what was learnt from the training split |
//! | `projection.json` | test samples' features in two dimensions |
//! | `predictions.csv` | prediction for every test sample |
//! | `result.json` | scores, and checksums of itself, the configuration, log, predictions and projection; its presence says that the run is done |

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use aim_core::{Error, Result};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    Checkpoint, EpochLog, Outcome, Timing,
    disk::{Lock, PART, Tried, append, lock, make_hold, settle, try_lock, write_part},
    tensorboard::{events, further, scored},
};
use crate::{
    Registries,
    config::{Identity, Select},
    metrics::Projection,
};

const LAST: &str = "last.safetensors";
const PREVIOUS: &str = "previous.safetensors";
const BEST: &str = "best.safetensors";
const METRICS: &str = "metrics.jsonl";
const TIMING: &str = "timing.jsonl";
const PREDICTIONS: &str = "predictions.csv";
const RESULT: &str = "result.json";
const EVENTS: &str = "events.out.tfevents";
const PROJECTION: &str = "projection.json";

/// Version of `result.json` that this program writes, and the newest that it reads.
const VERSION: u32 = 1;

/// What every version of `result.json` has.
#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    version: u32,
}

/// The content of `result.json`.
#[derive(Serialize, Deserialize)]
struct Done {
    /// Version of the file; the first had none.
    #[serde(default)]
    version: u32,
    #[serde(flatten)]
    outcome: Outcome,
    /// Of `predictions.csv`.
    predictions_crc32: u32,
    /// Of the other files that a table or a page reads; older programs did not say. Checkpoints have their own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    crc32: BTreeMap<String, u32>,
}

/// Files whose checksums a result holds beside that of the predictions.
const COVERED: [&str; 3] = ["config.yaml", METRICS, PROJECTION];

/// What stands before a result's checksum of its own text, and behind it.
const OWN: (&str, &str) = (",\n  \"own_crc32\": ", "\n}");

/// A run's folder, locked as long as this value lives unless it is only looked at.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    data_crc32: u32,
    /// Epochs in the logs.
    logged: AtomicUsize,
    lock: Option<Lock>,
}

impl Folder {
    /// Opens the folder of a run, or makes it.
    ///
    /// # Errors
    /// If the folder belongs to another configuration, seed or data set, is in use by another process, or cannot be
    /// written.
    pub fn open(path: &Path, identity: &Identity, registries: &Registries) -> Result<Self> {
        fs::create_dir_all(path).map_err(|e| Error::io(path, e))?;
        let lock = lock(path)?.map_err(|by| Error::InUse { path: path.into(), by })?;
        Self::locked(path, lock, identity, registries)
    }

    /// Opens the folder of a run, or makes it; `None` while it is in use elsewhere.
    ///
    /// # Errors
    /// If the folder belongs to another configuration, seed or data set, or cannot be written.
    pub fn open_if_free(path: &Path, identity: &Identity, registries: &Registries) -> Result<Option<Self>> {
        fs::create_dir_all(path).map_err(|e| Error::io(path, e))?;
        let Tried::Held(lock) = try_lock(path)? else { return Ok(None) };
        Self::locked(path, lock, identity, registries).map(Some)
    }

    fn locked(path: &Path, lock: Lock, identity: &Identity, registries: &Registries) -> Result<Self> {
        let (data_crc32, logged) = (identity.data_crc32, AtomicUsize::new(0));
        let folder = Self { path: path.into(), data_crc32, logged, lock: Some(lock) };
        folder.clear();
        let Some(found) = folder.read("config.yaml")? else {
            folder.write("config.yaml", identity.to_yaml()?.as_bytes())?;
            return Ok(folder);
        };
        let Some(difference) = identity.difference(&found, registries) else { return Ok(folder) };
        let problem =
            format!("belongs to a run with another configuration, seed or data set (its config.yaml {difference})");
        let remedy = "undo an edit of that file, choose another folder or delete this one";
        Err(Error::invalid(path.display().to_string(), problem, remedy))
    }

    /// Takes away what processes that were killed had begun to write; best effort, since nothing reads it.
    fn clear(&self) {
        let entries = fs::read_dir(&self.path).into_iter().flatten().flatten().map(|entry| entry.path());
        let parts = entries.filter(|path| path.extension().is_some_and(|end| end == PART));
        parts.for_each(|part| drop(fs::remove_file(part)));
    }

    /// Whether this process may write.
    fn check(&self) -> Result<()> {
        self.lock.as_ref().map_or(Ok(()), Lock::check)
    }

    /// Name of a file until it is whole, which another process that takes the folder over does not use.
    fn part(&self, name: &str) -> PathBuf {
        let token = self.lock.as_ref().map(Lock::token).unwrap_or_default();
        self.path.join(format!("{name}.{token}.{PART}"))
    }

    /// A folder that is only read.
    pub(crate) fn look(path: &Path, identity: &Identity) -> Self {
        let (data_crc32, logged) = (identity.data_crc32, AtomicUsize::new(0));
        Self { path: path.into(), data_crc32, logged, lock: None }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Checksum of the run's data.
    pub fn data_crc32(&self) -> u32 {
        self.data_crc32
    }

    /// The result, if the run is done.
    ///
    /// # Errors
    /// If the file, or one that belongs to it, is damaged.
    pub fn result(&self) -> Result<Option<Outcome>> {
        let Some(text) = self.read(RESULT)? else { return Ok(None) };
        // The version alone first: a newer program may have changed everything else.
        let Head { version } = self.parsed(RESULT, &text)?;
        if version > VERSION {
            return Err(self.newer(RESULT, version));
        }
        let Done { outcome, predictions_crc32, crc32, .. } = self.parsed(RESULT, &text)?;
        let whole = own_crc32(&text).map_or(crc32.is_empty(), |(own, found)| own == found);
        if !whole {
            return Err(self.damaged(RESULT, "wrong checksum"));
        }
        let predictions = (&PREDICTIONS.to_owned(), &predictions_crc32);
        for (name, wanted) in std::iter::once(predictions).chain(&crc32) {
            // A file that is not there is damage; one that cannot be read now may be read later.
            let bytes = self.bytes(name)?.ok_or_else(|| self.damaged(name, "it is missing"))?;
            if crc32fast::hash(&bytes) != *wanted {
                return Err(self.damaged(name, "wrong checksum"));
            }
        }
        Ok(Some(outcome))
    }

    /// Stores the result and the predictions that belong to it.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn put_result(&self, outcome: &Outcome, predictions: &str) -> Result<()> {
        self.write(PREDICTIONS, predictions.as_bytes())?;
        let mut crc32 = BTreeMap::new();
        for name in COVERED {
            if let Some(bytes) = self.bytes(name)? {
                crc32.insert(name.to_owned(), crc32fast::hash(&bytes));
            }
        }
        let done = Done {
            version: VERSION,
            outcome: outcome.clone(),
            predictions_crc32: crc32fast::hash(predictions.as_bytes()),
            crc32,
        };
        let text = serde_json::to_string_pretty(&done).map_err(|e| self.unwritten(RESULT, &e))?;
        let text = text.strip_suffix(OWN.1).unwrap_or(&text);
        let own = crc32fast::hash(text.as_bytes());
        self.write(RESULT, format!("{text}{}{own}{}", OWN.0, OWN.1).as_bytes())
    }

    /// Stores what is only looked at: the projection, and the events with the test scores.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn put_views(
        &self,
        projection: &Projection,
        log: &[EpochLog],
        timing: &Timing,
        outcome: &Outcome,
    ) -> Result<()> {
        self.check()?;
        let text = serde_json::to_string(projection).map_err(|e| self.unwritten(PROJECTION, &e))?;
        self.write(PROJECTION, text.as_bytes())?;
        make_hold(&self.path.join(METRICS), self.lines(METRICS, log)?.as_bytes())?;
        let seconds = &timing.epochs;
        let events = [events(log, seconds, self.begun()), scored(outcome, seconds, self.begun())].concat();
        make_hold(&self.path.join(EVENTS), &events)
    }

    /// The projection, if there is one that can be read; nothing depends on it.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn projection(&self) -> Result<Option<Projection>> {
        Ok(self.read(PROJECTION)?.and_then(|text| serde_json::from_str(&text).ok()))
    }

    /// When the folder was made, in seconds since 1970; 0 if that cannot be told.
    fn begun(&self) -> f64 {
        let made = fs::metadata(self.path.join("config.yaml")).and_then(|m| m.modified()).ok();
        made.and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok()).map_or(0., |t| t.as_secs_f64())
    }

    /// The result, if the run is done and whole; what is damaged is to be made anew.
    ///
    /// # Errors
    /// If a damaged file cannot be renamed.
    pub fn done(&self, tell: &dyn Fn(&str)) -> Result<Option<Outcome>> {
        self.result().or_else(|damage| match damage {
            Error::Invalid { .. } => self.reopen(&damage, tell).map(|()| None),
            other => Err(other),
        })
    }

    /// Tells of a damaged result and puts it out of the way, so that the run is no longer taken for done.
    ///
    /// # Errors
    /// If the file cannot be renamed.
    pub fn reopen(&self, damage: &Error, tell: &dyn Fn(&str)) -> Result<()> {
        tell(&format!("{}; its result is made anew", what(damage)));
        self.set_aside(RESULT)
    }

    /// The newest whole checkpoint, if there is one. Damaged ones are told of and set aside, and the files that only
    /// copy what the checkpoint says are made anew.
    ///
    /// # Errors
    /// If a file cannot be read or written.
    pub fn restore(&self, tell: &dyn Fn(&str)) -> Result<Option<Checkpoint>> {
        let mut damaged = false;
        for name in [LAST, PREVIOUS] {
            let exists = self.path.join(name).exists();
            let Some(last) = self.whole(name, tell)? else {
                damaged |= exists;
                continue;
            };
            if damaged {
                tell(&format!("{}: goes on after {}", self.path.display(), last.place()));
            }
            self.whole(BEST, tell)?;
            self.logged.store(0, Relaxed);
            self.put_copies(&last, &self.timing(&last)?, true)?;
            return Ok(Some(last));
        }
        if damaged {
            tell(&format!("{}: has no whole checkpoint, starts anew", self.path.display()));
        }
        Ok(None)
    }

    /// A checkpoint that is whole; a damaged one is told of and set aside.
    fn whole(&self, name: &str, tell: &dyn Fn(&str)) -> Result<Option<Checkpoint>> {
        match load(&self.path.join(name)) {
            Err(damage @ Error::Invalid { .. }) => {
                tell(&format!("{}; kept as {}", what(&damage), aside(name)));
                self.set_aside(name)?;
                Ok(None)
            }
            other => other,
        }
    }

    /// Stores a checkpoint and what copies it; the one before is kept.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn put(&self, last: &Checkpoint, timing: &Timing, best_is_new: bool) -> Result<()> {
        self.put_copies(last, timing, best_is_new)?;
        let (path, part) = (self.path.join(LAST), self.part(LAST));
        write_part(&part, &path, &last.to_bytes()?)?;
        self.check()?;
        if path.exists() {
            fs::rename(&path, self.path.join(PREVIOUS)).map_err(|e| Error::io(&path, e))?;
        }
        settle(&part, &path).map_err(|e| Error::io(&path, e))
    }

    fn put_copies(&self, last: &Checkpoint, timing: &Timing, best_is_new: bool) -> Result<()> {
        self.check()?;
        if let Some(best) = last.of_best().filter(|_| best_is_new) {
            self.write(BEST, &best.to_bytes()?)?;
        }
        let first = self.logged.swap(last.log.len(), Relaxed);
        let since = |name: &str, bytes: &[u8]| {
            let path = self.path.join(name);
            if first == 0 { make_hold(&path, bytes) } else { append(&path, bytes) }
        };
        since(METRICS, self.lines(METRICS, last.log.get(first..).unwrap_or_default())?.as_bytes())?;
        make_hold(&self.path.join(TIMING), timing.to_lines().as_bytes())?;
        let (begun, seconds) = (self.begun(), &timing.epochs);
        let events =
            if first == 0 { events(&last.log, seconds, begun) } else { further(&last.log, seconds, begun, first) };
        since(EVENTS, &events)
    }

    /// The logs of a run of so many epochs that is done.
    ///
    /// # Errors
    /// If one is missing or damaged.
    pub fn log(&self, epochs: usize) -> Result<Vec<EpochLog>> {
        let text = self.read(METRICS)?.unwrap_or_default();
        let log: Vec<_> = text.lines().map(|line| self.parsed(METRICS, line)).collect::<Result<_>>()?;
        if log.len() == epochs { Ok(log) } else { Err(self.damaged(METRICS, "lines are missing")) }
    }

    /// Seconds that the first `epochs` epochs took, as far as they can be read; nothing depends on them.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn seconds(&self, epochs: usize) -> Result<Vec<f64>> {
        Ok(Timing::of(&self.read(TIMING)?.unwrap_or_default(), epochs, false).epochs)
    }

    /// How long what a checkpoint holds has taken, as far as it can be read.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn timing(&self, last: &Checkpoint) -> Result<Timing> {
        Ok(Timing::of(&self.read(TIMING)?.unwrap_or_default(), last.epochs(), last.steps() > 0))
    }

    /// The predictions, as they were stored.
    ///
    /// # Errors
    /// If there are none.
    pub fn predictions(&self) -> Result<String> {
        self.read(PREDICTIONS)?.ok_or_else(|| self.damaged(PREDICTIONS, "it is missing"))
    }

    fn lines<T: Serialize>(&self, name: &str, items: &[T]) -> Result<String> {
        let line = |item| serde_json::to_string(item).map(|line| line + "\n").map_err(|e| self.unwritten(name, &e));
        items.iter().map(line).collect()
    }

    fn parsed<T: DeserializeOwned>(&self, name: &str, text: &str) -> Result<T> {
        serde_json::from_str(text).map_err(|e| self.damaged(name, &e.to_string()))
    }

    fn damaged(&self, name: &str, how: &str) -> Error {
        let place = self.path.join(name).display().to_string();
        Error::invalid(place, format!("is damaged ({how})"), "start the run's command again, which mends its folder")
    }

    fn newer(&self, name: &str, version: u32) -> Error {
        let place = self.path.join(name).display().to_string();
        let problem = format!("has version {version}, this program knows versions up to {VERSION}");
        Error::At { place, source: Box::new(Error::invalid("result", problem, "use the newer program that wrote it")) }
    }

    fn set_aside(&self, name: &str) -> Result<()> {
        self.check()?;
        let path = self.path.join(name);
        fs::rename(&path, self.path.join(aside(name))).map_err(|e| Error::io(path, e))
    }

    fn unwritten(&self, name: &str, e: &serde_json::Error) -> Error {
        Error::invalid(
            self.path.join(name).display().to_string(),
            e.to_string(),
            "report this fault with the command that met it",
        )
    }

    fn read(&self, name: &str) -> Result<Option<String>> {
        // What is no text has been damaged, and is noticed when it is parsed.
        Ok(self.bytes(name)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// The content of a file; none if it is not there.
    fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let path = self.path.join(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io(path, e)),
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let (path, part) = (self.path.join(name), self.part(name));
        self.check()?;
        write_part(&part, &path, bytes)?;
        self.check()?;
        settle(&part, &path).map_err(|e| Error::io(&path, e))
    }
}

/// The checkpoint that a run's test scores are made with.
///
/// # Errors
/// If the folder holds none, or it is damaged.
pub fn chosen(folder: &Path, select: Select) -> Result<Checkpoint> {
    let path = folder.join(LAST);
    let none = || Error::io(&path, std::io::ErrorKind::NotFound.into());
    match load(&folder.join(BEST)) {
        Ok(Some(best)) if select != Select::Last => Ok(best),
        _ => {
            let last = load(&path)?.ok_or_else(none)?;
            if select != Select::Last { last.of_best().ok_or_else(none) } else { Ok(last) }
        }
    }
}

fn load(path: &Path) -> Result<Option<Checkpoint>> {
    match fs::read(path) {
        Ok(bytes) => Checkpoint::from_bytes(path, &bytes).map(Some),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::io(path, e)),
    }
}

/// The checksum that a result has of its own text, and that which its text has; older ones have none.
fn own_crc32(text: &str) -> Option<(u32, u32)> {
    let (before, own) = text.rsplit_once(OWN.0)?;
    Some((own.strip_suffix(OWN.1)?.parse().ok()?, crc32fast::hash(before.as_bytes())))
}

/// An error without its remedy, where the remedy is applied at once.
fn what(error: &Error) -> String {
    match error {
        Error::Invalid { place, problem, .. } => format!("{place}: {problem}"),
        other => other.to_string(),
    }
}

/// Name of a damaged file that is out of the way.
fn aside(name: &str) -> String {
    format!("{name}.damaged")
}
