//! Any set of files: a manifest says which sample is where, a section a modality how it is decoded.
//!
//! The manifest is CSV (comma, semicolon or tab; a header) or JSONL, a row a sample: `id`, `split`, `label`, a column a
//! modality with a path (relative to the manifest) or a text, and if wanted `start` and `end` in seconds, and a group
//! that must not be in two splits. An empty cell says that the sample lacks the modality.

mod assemble;
mod decoding;
mod faults;
mod folds;
#[cfg(feature = "media")]
mod media;
mod numbers;
mod picture;
mod rows;
mod sound;
mod words;

use std::path::{Path, PathBuf};

use aim_config::{above, at_least, by_type, settings, whole, words as text};
use aim_core::{Error, Result};

pub use decoding::{Decoding, Standardise};
pub use numbers::{ArrayRows, Series};
pub use picture::{Choose, Fit, Frames, Image, Normalise, Video};
pub use rows::Columns;
pub use sound::{Audio, Front, Length, Scale};
pub use words::Text;

use crate::{Dataset, DatasetInfo, DatasetSettings, files::existing};

static INFO: DatasetInfo = DatasetInfo {
    name: "manifest",
    about: "your own files: a CSV or JSONL manifest with a row a sample, and a section a modality that says how its \
            files are decoded",
    modalities: "those of the setting, in the order of their names",
    needs_root: false,
};

settings! {
    /// Folds in place of the manifest's own splits: fold `fold` is the test split, the next one validation, the rest
    /// training.
    pub struct Folds {
        /// What stays together: true keeps the samples of a group in one fold.
        pub by_group: bool = true => by_type(), "ours";
        /// Number of folds.
        pub folds: usize = 5 => whole(3, 100), "ours";
        /// The fold that is tested on, counted from 0.
        pub fold: usize = 0 => at_least(0), "ours";
        /// Seed of the order in which groups or samples are dealt.
        pub seed: u64 = 0 => at_least(0), "ours";
    }
}

settings! {
    /// Settings of `manifest`.
    pub struct Manifest {
        /// The manifest; a relative path starts at the current folder or else at the data folder.
        pub file: PathBuf = PathBuf::new() => text("a path").required(), "yours";
        /// How each modality is decoded, by its name.
        pub modalities: std::collections::BTreeMap<String, Decoding> = Default::default() => by_type().required(), "yours";
        /// Names of the columns.
        pub columns: Columns = Columns::default() => by_type(), "ours";
        /// Folds in place of the column of splits.
        pub folds: Option<Folds> = None => by_type().shown("the manifest's splits"), "ours";
        /// Classes in the order of their indices; a label outside them is an error.
        pub class_names: Option<Vec<String>> = None => text("names of classes").shown("those in the manifest, sorted"), "ours";
        /// Whether a group may be in two splits.
        pub groups_across_splits: bool = false => by_type(), "ours";
        /// Most memory that decoded samples may take.
        pub memory: f64 = 4. => above(0.).unit("GiB"), "ours";
    }
}

impl DatasetSettings for Manifest {
    fn info(&self) -> &'static DatasetInfo {
        &INFO
    }
    fn check(&self) -> Result<()> {
        if self.modalities.is_empty() {
            let remedy = "name each modality and how it is decoded, as in `sound: {audio: {seconds: 3}}`";
            return Err(Error::invalid("data.modalities", "is missing", remedy));
        }
        self.modalities.iter().try_for_each(|(name, decoding)| decoding.one(&format!("data.modalities.{name}")))?;
        match &self.folds {
            Some(Folds { folds, fold, .. }) if fold >= folds => {
                Err(Error::invalid("data.folds.fold", format!("is {fold}"), format!("use 0 to {}", folds - 1)))
            }
            _ => Ok(()),
        }
    }
    fn load(&self, root: Option<&Path>) -> Result<Dataset> {
        let file = match root.map(|root| root.join(&self.file)) {
            Some(below) if !self.file.exists() && below.exists() => below,
            _ => existing(self.file.clone())?,
        };
        let mut rows = rows::read(&file, &self.columns, &self.modalities, self.folds.is_some())?;
        match &self.folds {
            Some(rule) => folds::deal(&mut rows, rule, &file)?,
            None if !self.groups_across_splits => folds::check_groups(&rows, &file)?,
            None => {}
        }
        assemble::dataset(self, &file, &rows)
    }
}
