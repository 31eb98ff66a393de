//! The readers under attack, one function a format.

mod arrays;
mod cluster;
mod config;
mod media;
mod rows;
mod runs;
mod samples;
mod tables;
mod weights;

use std::borrow::Cow;

use aim_core::{Error, Result};

/// A reader of files.
pub struct Target {
    /// Its name.
    pub name: &'static str,
    /// What it reads.
    pub about: &'static str,
    /// Reads a file's bytes; whether they were accepted.
    ///
    /// Panics if the reader does, or if an error names no place or no remedy.
    pub run: fn(&[u8]) -> bool,
    /// Files that are accepted, made anew.
    pub samples: fn() -> Vec<Vec<u8>>,
    /// Words of the format.
    pub words: &'static [&'static str],
    /// Inputs of a quick reader that are tried in the time of one of this.
    pub cost: u32,
}

impl Target {
    /// Its share of all inputs, relative to a quick reader's.
    pub fn share(&self) -> f64 {
        1. / f64::from(self.cost)
    }
}

/// All targets.
pub fn targets() -> &'static [Target] {
    &ALL
}

/// The target of a name.
pub fn find(name: &str) -> Option<&'static Target> {
    ALL.iter().find(|target| target.name == name)
}

static ALL: [Target; 28] = [
    config::TABLE,
    config::IDENTITY,
    config::RECIPE,
    runs::CHECKPOINT,
    runs::STATE,
    runs::FOLDER,
    runs::LEDGER,
    tables::RESULTS,
    tables::PLANNED,
    tables::POWER,
    tables::GOLDEN,
    arrays::BUNDLE,
    arrays::NPY,
    arrays::NPZ,
    arrays::COLUMNS,
    arrays::IDX,
    rows::FEATURES,
    rows::MANIFEST,
    rows::SERIES,
    rows::PREPARED,
    rows::CORPUS,
    media::SOUND,
    media::PICTURE,
    media::TEXT,
    weights::WEIGHTS,
    cluster::PROFILE,
    cluster::TASKS,
    cluster::AGENDA,
];

/// The value of what was read; an error must say where something is wrong and what to do.
fn told<T>(result: Result<T>) -> Option<T> {
    match result {
        Ok(value) => Some(value),
        Err(error) => {
            check(&error);
            None
        }
    }
}

fn check(error: &Error) {
    let said = match error {
        Error::Invalid { place, problem, remedy } => {
            [place, problem, remedy].iter().all(|part| !part.trim().is_empty())
        }
        Error::At { place, source } => {
            check(source);
            !place.trim().is_empty()
        }
        other => !other.to_string().trim().is_empty(),
    };
    assert!(said, "an error without a place or a remedy: {error}");
}

/// Text of any bytes.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

/// A choice by the first byte, and the bytes behind it.
fn choice(bytes: &[u8], of: usize) -> (usize, &[u8]) {
    bytes.split_first().map_or((0, bytes), |(first, rest)| (usize::from(*first) % of, rest))
}

/// A sample with the byte of a choice before it.
fn chosen(choice: u8, bytes: &[u8]) -> Vec<u8> {
    [&[choice], bytes].concat()
}

/// A safetensors file: whole, or its header as text, a zero and its values, so that a change of the header's length
/// leaves a file.
fn safetensors(bytes: &[u8]) -> Cow<'_, [u8]> {
    if bytes.first() != Some(&b'{') {
        return bytes.into();
    }
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let values = bytes.get(end + 1..).unwrap_or_default();
    [&(end as u64).to_le_bytes(), &bytes[..end], values].concat().into()
}

/// That form of a whole file.
fn loose(file: &[u8]) -> Vec<u8> {
    let (length, rest) = file.split_first_chunk::<8>().expect("a whole file");
    let (header, values) = rest.split_at(u64::from_le_bytes(*length) as usize);
    [header, &[0], values].concat()
}
