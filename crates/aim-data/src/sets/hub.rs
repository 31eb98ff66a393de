//! Data sets of the Hugging Face Hub: Parquet files with pictures, recordings, texts and labels.
//!
//! The files are fetched once, into the Hub's cache on this machine, and what they hold is unpacked beside it; from
//! there on a set is read, prepared and scored as one of a manifest. Fetching and unpacking need the feature `hub`.

#[cfg(feature = "hub")]
mod snapshot;
#[cfg(feature = "hub")]
mod unpack;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use aim_config::{above, between, by_type, settings, words};
use aim_core::{Error, Result};

use super::manifest::{
    Audio, Decoding, Image, Text,
    inner::{Listing, Plan, Set, Store, folder as prepared, hold_out, kept_by, prepare},
};
use crate::{Columns, Dataset, DatasetInfo, DatasetSettings, NewForm, PrepareOptions, Prepared, Reading, table::Part};

static INFO: DatasetInfo = DatasetInfo {
    name: "hub",
    about: "a data set of the Hugging Face Hub in Parquet, with a column of pictures, recordings or texts a modality and \
            one of labels (feature `hub`)",
    modalities: "image, audio and text, as far as their sections are given",
    needs_root: false,
};

settings! {
    /// Settings of `hub`.
    pub struct Hub {
        /// The data set, as OWNER/NAME.
        pub dataset: String = String::new() => words("OWNER/NAME").required(), "yours";
        /// Its subset (the Hub's `config`), where it has several.
        pub subset: Option<String> = None => words("a name").shown("the only one"), "ours";
        /// Branch, tag or commit that holds its Parquet files.
        pub revision: String = "refs/convert/parquet".into() => words("a revision"), "the Hub's own conversion";
        /// Pictures: their column and, unless the defaults do, how they are decoded.
        pub image: Option<Decoding> = None => by_type().shown("none"), "yours";
        /// Recordings: the same.
        pub audio: Option<Decoding> = None => by_type().shown("none"), "yours";
        /// Texts: the same.
        pub text: Option<Decoding> = None => by_type().shown("none"), "yours";
        /// Column of the labels.
        pub label: String = "label".into() => words("a column"), "ours";
        /// Name of its split that trains.
        pub train: String = "train".into() => words("a split"), "ours";
        /// Name of its split that validates; where there is none, a part of training is held out.
        pub validation: String = "validation".into() => words("a split"), "ours";
        /// Name of its split that tests.
        pub test: String = "test".into() => words("a split"), "ours";
        /// Share of each class's training samples that validates, where the set has no validation split.
        pub held_out: f64 = 0.1 => between(0.001, 0.5), "ours";
        /// Most memory that samples may take; of more, each is decoded when it is needed.
        pub memory: f64 = 4. => above(0.).unit("GiB"), "ours";
    }
}

/// A data set whose content lies on this machine.
struct Unpacked {
    folder: PathBuf,
    listing: Listing,
    modalities: BTreeMap<String, Decoding>,
}

impl DatasetSettings for Hub {
    fn info(&self) -> &'static DatasetInfo {
        &INFO
    }
    fn check(&self) -> Result<()> {
        self.owner_and_name()?;
        if self.modalities().is_empty() {
            let remedy = "name the column of a modality, as in `image: {column: image}`";
            return Err(Error::invalid("data", "names no modality", remedy));
        }
        self.modalities().iter().try_for_each(|(name, decoding)| decoding.only(name))?;
        let splits = [&self.train, &self.validation, &self.test];
        if (0..3).any(|i| splits[..i].contains(&splits[i])) {
            return Err(Error::invalid("data", "names one split twice", "give each split samples of its own"));
        }
        Ok(())
    }
    fn load(&self, _: Option<&Path>) -> Result<Dataset> {
        self.read(None)
    }
    fn demand(&self, _: Option<&Path>, reading: &Reading) -> Result<Option<u64>> {
        let unpacked = self.unpacked()?;
        unpacked.plan(self).demand(&unpacked.listing.rows, unpacked.prepared()?.as_ref(), reading).map(Some)
    }
    fn load_by(&self, _: Option<&Path>, reading: &Reading) -> Result<Dataset> {
        self.read(Some(reading))
    }
    /// A manifest with a column a modality, which names files.
    fn new_form(&self) -> Option<NewForm> {
        Some(NewForm::Manifest { columns: Columns::default(), modalities: self.modalities() })
    }
    fn prepare(&self, _: Option<&Path>, options: &PrepareOptions<'_>) -> Result<Option<Prepared>> {
        let unpacked = self.unpacked()?;
        let (store, section) = unpacked.prepared_by();
        let (plan, rows) = (unpacked.plan(self), &unpacked.listing.rows);
        prepare(Set { section, store, plan, rows, listing: None }, "hub", options).map(Some)
    }
}

impl Hub {
    fn read(&self, reading: Option<&Reading>) -> Result<Dataset> {
        let mut unpacked = self.unpacked()?;
        let store = unpacked.prepared()?;
        let rows = &mut unpacked.listing.rows;
        if !rows.iter().any(|row| row.part == Part::Validation) {
            hold_out(rows, self.held_out, 0, "hub.held-out");
        }
        unpacked.plan(self).dataset(&unpacked.listing.rows, store, reading)
    }

    /// Its two names.
    fn owner_and_name(&self) -> Result<(&str, &str)> {
        let whole = |part: &str| !part.is_empty() && ![".", ".."].contains(&part) && !part.contains(['/', '\\']);
        let parts = self.dataset.split_once('/').filter(|(owner, name)| whole(owner) && whole(name));
        let remedy = "write OWNER/NAME, as the Hub's page of the set has it";
        parts.ok_or_else(|| Error::invalid("data.dataset", format!("`{}` names no data set", self.dataset), remedy))
    }

    /// The sections that are given, each with its own decoder; cells of what is unpacked stand under a modality's name.
    fn modalities(&self) -> BTreeMap<String, Decoding> {
        let image = |d: Decoding| Decoding { image: d.image.or_else(|| Some(Image::default())), ..d };
        let audio = |d: Decoding| Decoding { audio: d.audio.or_else(|| Some(Audio::default())), ..d };
        let text = |d: Decoding| Decoding { text: d.text.or_else(|| Some(Text::default())), ..d };
        let given = [
            ("image", self.image.clone().map(image)),
            ("audio", self.audio.clone().map(audio)),
            ("text", self.text.clone().map(text)),
        ];
        let own = |(name, decoding): (&str, Option<Decoding>)| {
            decoding.map(|decoding| (name.to_owned(), Decoding { column: None, ..decoding }))
        };
        given.into_iter().filter_map(own).collect()
    }

    #[cfg(not(feature = "hub"))]
    fn unpacked(&self) -> Result<Unpacked> {
        Err(crate::hub::without_feature(&format!("data set `{}`", self.dataset)))
    }
}

impl Unpacked {
    /// Folder of prepared sets, and what this one is prepared by: its folder is that of one state of the set.
    fn prepared_by(&self) -> (PathBuf, aim_config::Value) {
        (self.folder.join("prepared"), serde_json::json!({"modalities": kept_by(&self.modalities)}))
    }

    /// The prepared set, if there is one.
    fn prepared(&self) -> Result<Option<Store>> {
        let (folder, section) = self.prepared_by();
        Store::open(&prepared(&folder, "hub", &section), &section)
    }

    fn plan<'a>(&'a self, settings: &'a Hub) -> Plan<'a> {
        let (_, name) = settings.dataset.split_once('/').unwrap_or_default();
        Plan {
            name: name.to_owned(),
            place: &self.folder,
            folder: &self.folder,
            modalities: &self.modalities,
            class_names: self.listing.class_names.clone(),
            memory: settings.memory,
        }
    }
}
