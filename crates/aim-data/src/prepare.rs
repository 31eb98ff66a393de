//! Preparing sets: from raw files to a store that is read by index.

use std::path::{Path, PathBuf};

use aim_core::{Error, Result};

use crate::{DatasetSettings, DatasetSpec};

/// How a set is prepared; nothing here changes a byte of it.
pub struct PrepareOptions<'a> {
    /// Whether nothing is written, only told how much it would be.
    pub only_estimate: bool,
    /// Is told what will be made before that begins. An error ends it.
    pub told: &'a (dyn Fn(&Prepared) -> Result<()> + Sync),
    /// Is told how far it is, before each shard and at the end. An error ends it; what is done stays.
    pub progress: &'a (dyn Fn(Preparing) -> Result<()> + Sync),
}

/// How far a preparation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preparing {
    /// Samples that are done.
    pub done: usize,
    /// All samples.
    pub samples: usize,
    /// Bytes that they take.
    pub bytes: u64,
}

/// A prepared set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// Its folder.
    pub folder: PathBuf,
    /// Number of samples.
    pub samples: usize,
    /// Bytes that it takes, about as many before it is made.
    pub bytes: u64,
    /// Whether it is made.
    pub done: bool,
}

/// Prepares a set, or goes on with it where it was stopped: decoded once, on all threads, with the same bytes whatever
/// their number. [`load`](crate::load) then reads the prepared set in place of its files, sample by sample.
///
/// # Errors
/// Settings or files that cannot be used, all of which are listed; a set without files to prepare.
pub fn prepare(spec: &DatasetSpec, root: Option<&Path>, options: &PrepareOptions<'_>) -> Result<Prepared> {
    spec.check_values("data")?;
    DatasetSettings::check(&**spec)?;
    spec.prepare(root, options)?.ok_or_else(|| {
        let problem = format!("`{}` has no raw files that are decoded", spec.name());
        Error::invalid("data", problem, "use it as it is; `manifest` and `corpus` can be prepared")
    })
}
