//! How the last attempt at a run failed, noted in its folder for whoever collects it from another process.

use std::{fs, io::ErrorKind, path::Path};

use aim_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::write_atomically;

/// The file in a run's folder.
const FILE: &str = "failed.json";

/// A run's failure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// As it was told.
    pub message: String,
    /// What was not finite, if that is how it failed.
    diverged: Option<NotFinite>,
}

/// The parts of [`Error::NonFinite`] and the places around it, outermost first. The value is in words, because JSON has
/// none for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct NotFinite {
    places: Vec<String>,
    name: String,
    value: String,
    hint: String,
}

impl Failure {
    /// What an error leaves.
    pub fn of(error: &Error) -> Self {
        let (mut places, mut inner) = (Vec::new(), error);
        while let Error::At { place, source } = inner {
            places.push(place.clone());
            inner = source;
        }
        let diverged = match inner {
            Error::NonFinite { name, value, hint } => {
                Some(NotFinite { places, name: name.clone(), value: value.to_string(), hint: hint.clone() })
            }
            _ => None,
        };
        Self { message: error.to_string(), diverged }
    }

    /// Whether training left the finite numbers, as it would every time.
    pub fn is_divergence(&self) -> bool {
        self.diverged.is_some()
    }

    /// The error that the run in this folder ended with; a divergence is one again.
    pub fn error(&self, folder: &Path) -> Error {
        let Some(NotFinite { places, name, value, hint }) = self.diverged.clone() else {
            let problem = format!("failed ({})", self.message);
            return Error::invalid(folder.display().to_string(), problem, "its log.txt says what came before");
        };
        let inner = Error::NonFinite { name, value: value.parse().unwrap_or(f64::NAN), hint };
        places.into_iter().rev().fold(inner, |source, place| Error::At { place, source: Box::new(source) })
    }

    /// Notes it.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn note(&self, folder: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|e| Error::invalid(FILE, e.to_string(), "report this fault with the command that met it"))?;
        write_atomically(&folder.join(FILE), text.as_bytes())
    }

    /// Notes how an attempt at a run failed, unless it was stopped or another process has the run.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn keep<T>(made: &Result<T>, folder: &Path) -> Result<()> {
        match made {
            Err(error) if !error.is_stop() && !error.is_elsewhere() && folder.is_dir() => Self::of(error).note(folder),
            _ => Ok(()),
        }
    }

    /// What is noted in a folder, if anything; a note that cannot be read says nothing.
    pub fn read(folder: &Path) -> Option<Self> {
        serde_json::from_slice(&fs::read(folder.join(FILE)).ok()?).ok()
    }

    /// Takes the note away.
    ///
    /// # Errors
    /// If it is there and stays.
    pub fn forget(folder: &Path) -> Result<()> {
        let path = folder.join(FILE);
        match fs::remove_file(&path) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io(path, e)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_the_same_to_who_reads_the_note() {
        let folder = tempfile::tempdir().unwrap();
        let at = |place: &str, source| Error::At { place: place.into(), source: Box::new(source) };
        let inner = Error::NonFinite { name: "loss".into(), value: f64::INFINITY, hint: "lower it".into() };
        let diverged = at("preparation `joint`", at("epoch 3", inner));
        Failure::of(&diverged).note(folder.path()).unwrap();
        let read = Failure::read(folder.path()).unwrap();
        let error = read.error(folder.path());
        assert!(read.is_divergence() && error.is_divergence());
        assert_eq!(error.to_string(), diverged.to_string());

        Failure::of(&Error::invalid("a.csv", "is empty", "fill it")).note(folder.path()).unwrap();
        let read = Failure::read(folder.path()).unwrap();
        let said = read.error(Path::new("runs/x/seed0")).to_string();
        assert!(!read.is_divergence());
        assert_eq!(said, "runs/x/seed0: failed (a.csv: is empty; fill it); its log.txt says what came before");
        Failure::forget(folder.path()).unwrap();
        Failure::forget(folder.path()).unwrap();
        assert_eq!(Failure::read(folder.path()), None);
    }
}
