//! Any set of files: a manifest says which sample is where, a section a modality how it is decoded.
//!
//! The manifest is CSV (comma, semicolon or tab; a header) or JSONL, a row a sample: `id`, `split`, `label`, a column a
//! modality with a path (relative to the manifest) or a text, and if wanted `start` and `end` in seconds, and a group
//! that must not be in two splits. An empty cell says that the sample lacks the modality.

mod assemble;
mod cached;
mod decoding;
mod faults;
mod folds;
mod keep;
#[cfg(feature = "media")]
mod media;
mod new;
mod numbers;
mod ondemand;
mod picture;
mod prepare;
mod rows;
mod shown;
mod sound;
mod store;
mod words;

use std::path::{Path, PathBuf};

use aim_config::{above, at_least, by_type, settings, whole, words as text};
use aim_core::{Error, Result};

use assemble::Plan;
pub use decoding::{Decoding, Standardise};
pub(crate) use faults::Faults;
pub(crate) use new::NewRows;
pub use numbers::{ArrayRows, Series, TimeAxis};
pub use picture::{Augment, Choose, Fit, Frames, Image, Normalise, Stack, Video};
pub use rows::Columns;
pub use sound::{Audio, Ends, Front, Length, Piece, Scale};
pub use words::Text;

/// What other sets of rows are made by.
pub(super) mod inner {
    pub(in crate::sets) use super::{
        assemble::Plan,
        folds::{deal, hold_out},
        prepare::{Set, folder, prepare},
        rows::Row,
        store::{Listing, Store},
    };
    pub(in crate::sets) use super::{kept_by, origin};
}

use crate::{
    Dataset, DatasetInfo, DatasetSettings, NewForm, PrepareOptions, Prepared, Reading,
    files::{bytes, existing},
};

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
        /// Most memory that decoded samples may take; of more, each is decoded when it is needed.
        pub memory: f64 = 4. => above(0.).unit("GiB"), "ours";
        /// Folder of prepared sets.
        pub store: Option<PathBuf> = None => text("a path").shown("`prepared` beside the manifest"), "ours";
    }
}

impl Manifest {
    fn place(&self, root: Option<&Path>) -> Result<PathBuf> {
        match root.map(|root| root.join(&self.file)) {
            Some(below) if !self.file.exists() && below.exists() => Ok(below),
            _ => existing(self.file.clone()),
        }
    }

    fn name(&self) -> String {
        self.file.file_stem().map_or("manifest".into(), |stem| stem.to_string_lossy().into_owned())
    }

    fn rows(&self, file: &Path) -> Result<Vec<rows::Row>> {
        let asked = if self.folds.is_some() { rows::Asked::Label } else { rows::Asked::Split };
        rows::read(file, &self.columns, &self.modalities, asked)
    }

    fn plan<'a>(&'a self, file: &'a Path) -> Plan<'a> {
        Plan {
            name: self.name(),
            place: file,
            folder: file.parent().unwrap_or(Path::new("")),
            modalities: &self.modalities,
            class_names: self.class_names.clone(),
            memory: self.memory,
        }
    }

    /// Folder of prepared sets, and what this one is prepared by: the manifest's content and what is kept by it. Folds
    /// have no part in it.
    fn prepared_by(&self, file: &Path) -> Result<(PathBuf, aim_config::Value)> {
        let beside = || file.parent().unwrap_or(Path::new("")).join("prepared");
        let section = serde_json::json!({
            "file": origin(self.store.as_ref(), file)?,
            "manifest": format!("{:08x}", crc32fast::hash(&bytes(file)?)),
            "columns": self.columns,
            "modalities": kept_by(&self.modalities),
        });
        Ok((self.store.clone().unwrap_or_else(beside), section))
    }

    /// The prepared set, if there is one.
    fn prepared(&self, file: &Path) -> Result<Option<store::Store>> {
        let (store, section) = self.prepared_by(file)?;
        store::Store::open(&prepare::folder(&store, &self.name(), &section), &section)
    }
}

/// How modalities are decoded, as far as what is kept depends on it: not on means over a split.
pub(in crate::sets) fn kept_by(modalities: &std::collections::BTreeMap<String, Decoding>) -> aim_config::Value {
    let mut section = serde_json::json!(modalities);
    section.as_object_mut().into_iter().flat_map(|map| map.values_mut()).filter_map(|m| m.as_object_mut()).for_each(
        |m| {
            m.remove("standardise");
        },
    );
    section
}

/// Where a set lies, if the folder of prepared sets is one that it may share with others; beside it, the data may move.
pub(in crate::sets) fn origin(store: Option<&PathBuf>, place: &Path) -> Result<Option<String>> {
    let whole = |_| place.canonicalize().map(|path| path.display().to_string()).map_err(|e| Error::io(place, e));
    store.map(whole).transpose()
}

impl Folds {
    /// Refuses a fold that there is none of.
    pub(super) fn check_fold(&self, place: &str) -> Result<()> {
        let Self { folds, fold, .. } = self;
        if fold < folds {
            return Ok(());
        }
        Err(Error::invalid(place, format!("is {fold}"), format!("use 0 to {}", folds - 1)))
    }
}

impl Manifest {
    fn read(&self, root: Option<&Path>, reading: Option<&Reading>) -> Result<Dataset> {
        let file = self.place(root)?;
        let mut rows = self.rows(&file)?;
        match &self.folds {
            Some(rule) => folds::deal(&mut rows, rule, &file)?,
            None if !self.groups_across_splits => folds::check_groups(&rows, &file)?,
            None => {}
        }
        self.plan(&file).dataset(&rows, self.prepared(&file)?, reading)
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
        self.folds.as_ref().map_or(Ok(()), |folds| folds.check_fold("data.folds.fold"))
    }
    fn load(&self, root: Option<&Path>) -> Result<Dataset> {
        self.read(root, None)
    }
    fn demand(&self, root: Option<&Path>, reading: &Reading) -> Result<Option<u64>> {
        let file = self.place(root)?;
        self.plan(&file).demand(&self.rows(&file)?, self.prepared(&file)?.as_ref(), reading).map(Some)
    }
    fn load_by(&self, root: Option<&Path>, reading: &Reading) -> Result<Dataset> {
        self.read(root, Some(reading))
    }
    fn new_form(&self) -> Option<NewForm> {
        Some(NewForm::Manifest { columns: self.columns.clone(), modalities: self.modalities.clone() })
    }
    fn prepare(&self, root: Option<&Path>, options: &PrepareOptions<'_>) -> Result<Option<Prepared>> {
        let file = self.place(root)?;
        let rows = self.rows(&file)?;
        let (store, section) = self.prepared_by(&file)?;
        let set = prepare::Set { section, store, plan: self.plan(&file), rows: &rows, listing: None };
        prepare::prepare(set, &self.name(), options).map(Some)
    }
}
