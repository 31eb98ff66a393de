//! Published sets in the folders that they come in: a layout reads the set's lists, a section a modality says where its
//! files are and how they are decoded.

mod ave;
mod cremad;
mod food;
mod grid;
mod kinetics;
mod lists;
mod mosi;
mod mvsa;
mod split;
mod ucf;
mod vggsound;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use aim_config::{above, at_least, between, by_type, choice, settings, whole, words};
use aim_core::{Error, Result};

use super::manifest::{
    Decoding, Folds,
    inner::{Listing, Plan, Row, Set, Store, folder as prepared, kept_by, origin, prepare},
};
use crate::{
    Columns, Dataset, DatasetInfo, DatasetSettings, NewForm, PrepareOptions, Prepared, Reading,
    files::{broken, existing, visible},
    table::Part,
};
use lists::{Listed, Sample};

static INFO: DatasetInfo = DatasetInfo {
    name: "corpus",
    about: "a published set in its own folders: the layout of its lists, and a section a modality that says where its \
            files are and how they are decoded; recipes name all of it",
    modalities: "those of the setting, in the order of their names",
    needs_root: false,
};

choice! {
    /// How a set is laid out: where its lists are and what they say.
    pub enum Layout {
        /// CREMA-D: the lists that the field uses, of 6,698 and 744 clips; groups are actors.
        Cremad = "cremad",
        /// Kinetics-Sounds: the list of 14,799 and 2,597 clips; groups are videos.
        KineticsSounds = "kinetics-sounds",
        /// Kinetics-Sounds in a folder a class: every clip of `visual/train_img/Image-01-FPS/<class>/<clip>/` trains,
        /// every one of `visual/val_img/...` tests; groups are videos.
        KineticsFolders = "kinetics-folders",
        /// AVE: `trainSet.txt`, `valSet.txt` and `testSet.txt` in the folder; groups are videos.
        Ave = "ave",
        /// UCF-101: `ucfTrainTestlist/trainlist01.txt` and `testlist01.txt`; groups are those of its names.
        Ucf101 = "ucf101",
        /// VGGSound: `vggsound.csv`; groups are videos.
        Vggsound = "vggsound",
        /// UPMC Food-101: `texts/train_titles.csv` and `texts/test_titles.csv`.
        Food101 = "food101",
        /// MVSA-Single: `labelResultAll.txt` and `data/`; no published split.
        Mvsa = "mvsa",
        /// GRID: films `<sentence>.mpg` with the times of their words in `<sentence>.align`; a sample a word, its class
        /// the kind of word; groups are sentences. No published split.
        Grid = "grid",
        /// CMU-MOSI or MOSEI as MMSA has them: `label.csv` and `Raw/<video>/<clip>.mp4`; groups are videos.
        Mosi = "mosi",
    }
}

choice! {
    /// What becomes a class, where a set's annotations are none.
    pub enum Labels {
        /// The set's own classes.
        Given = "given",
        /// MVSA: posts whose text and picture have the same label.
        Agree = "agree",
        /// MVSA: the label that is not neutral where one is neutral; posts with both positive and negative are left
        /// out.
        Merge = "merge",
        /// MVSA: the label of the text.
        Text = "text",
        /// MOSI: negative, or not negative (`has0`).
        Has0 = "has0",
        /// MOSI: negative or positive; samples of 0 are left out (`non0`).
        Non0 = "non0",
        /// MOSI: seven classes, the annotation rounded to -3 to 3.
        Seven = "seven",
    }
}

choice! {
    /// What becomes of samples whose files are missing.
    pub enum Missing {
        /// They are faults, all of which are listed.
        Refuse = "refuse",
        /// They are left out; the set's name then says how many.
        Skip = "skip",
    }
}

choice! {
    /// What splits a set.
    pub enum By {
        /// The published lists.
        List = "list",
        /// Folds whose groups (actors, videos) stay together.
        Group = "group",
        /// Folds of samples.
        Sample = "sample",
    }
}

settings! {
    /// Which samples train, validate and test.
    pub struct Split {
        /// By the published lists | folds whose groups stay together | folds of samples.
        pub by: By = By::List => by_type(), "ours";
        /// Number of folds; this, `fold` and `seed` stay as they are where nothing is dealt by them.
        pub folds: usize = 5 => whole(3, 100), "ours";
        /// The fold that is tested on, counted from 0; the next one validates, the rest trains.
        pub fold: usize = 0 => at_least(0), "ours";
        /// Seed of the order in which groups or samples are dealt to folds, or samples are held out.
        pub seed: u64 = 0 => at_least(0), "ours";
        /// Share of each class's training samples that validates, where lists name no validation split. It is drawn by
        /// sample, as published code does: a group may be in both. Folds by group keep groups apart.
        pub held_out: f64 = 0.1 => between(0.001, 0.5), "ours";
    }
}

impl Split {
    /// The folds, if it has any.
    fn folds(&self) -> Option<Folds> {
        let Self { by, folds, fold, seed, .. } = *self;
        (by != By::List).then_some(Folds { by_group: by == By::Group, folds, fold, seed })
    }

    /// Refuses lists that there are none of, and settings that nothing is split by; `listed` are the splits that the
    /// published lists name.
    fn check(&self, listed: &[Part]) -> Result<()> {
        let (idle, why): (&[&str], _) = match self.by {
            By::List if listed.is_empty() => {
                let remedy = "choose folds, for instance `split: {by: sample, folds: 5, fold: 0}`";
                return Err(Error::invalid("data.split.by", "is list, but the set has no published lists", remedy));
            }
            By::List if listed.contains(&Part::Validation) => {
                (&["folds", "fold", "seed", "held_out"], "the published lists, which have a validation split")
            }
            By::List => (&["folds", "fold"], "the published lists"),
            By::Group | By::Sample => (&["held_out"], "folds, one of which validates"),
        };
        let [own, standard] = [self, &Self::default()].map(|split| serde_json::json!(split));
        let Some(key) = idle.iter().find(|key| own[**key] != standard[**key]) else { return Ok(()) };
        let problem = format!("has no effect, as the set is split by {why}");
        let remedy = format!("leave it at its default, {}, or change data.split.by", standard[*key]);
        Err(Error::invalid(format!("data.split.{key}"), problem, remedy))
    }
}

settings! {
    /// Settings of `corpus`.
    pub struct Corpus {
        /// Layout of its lists.
        pub layout: Layout = Layout::Cremad => by_type(), "yours";
        /// Its folder; a relative path starts at the current folder or else at the data folder.
        pub folder: PathBuf = PathBuf::new() => words("a path").required(), "yours";
        /// Where each modality's files are and how they are decoded, by its name. `column` is a path below the folder
        /// with words of the list in braces, as in `AudioWAV/{id}.wav`.
        pub modalities: BTreeMap<String, Decoding> = Default::default() => by_type().required(), "yours";
        /// What becomes a class.
        pub labels: Labels = Labels::Given => by_type(), "ours";
        /// Which samples train, validate and test.
        pub split: Split = Split::default() => by_type(), "ours";
        /// Samples whose files are missing: refuse | skip.
        pub missing: Missing = Missing::Refuse => by_type(), "ours";
        /// Fewest pictures in a folder of pictures; samples with fewer are left out.
        pub least_pictures: usize = 0 => at_least(0), "ours";
        /// Most memory that samples may take; of more, each is decoded when it is needed.
        pub memory: f64 = 4. => above(0.).unit("GiB"), "ours";
        /// Folder of prepared sets.
        pub store: Option<PathBuf> = None => words("a path").shown("`prepared` in the set's folder"), "ours";
    }
}

impl DatasetSettings for Corpus {
    fn info(&self) -> &'static DatasetInfo {
        &INFO
    }
    fn check(&self) -> Result<()> {
        if self.modalities.is_empty() {
            let remedy = "name each modality, where its files are and how they are decoded, or name a `recipe`";
            return Err(Error::invalid("data.modalities", "is missing", remedy));
        }
        self.modalities.iter().try_for_each(|(name, decoding)| decoding.one(&format!("data.modalities.{name}")))?;
        if !self.layout.labels().contains(&self.labels) {
            let problem = "does not belong to this layout";
            return Err(Error::unknown("data.labels", problem, self.layout.labels().iter().map(word)));
        }
        self.split.check(self.layout.splits())?;
        self.split.folds().map_or(Ok(()), |folds| folds.check_fold("data.split.fold"))
    }
    fn load(&self, root: Option<&Path>) -> Result<Dataset> {
        self.read(root, None)
    }
    fn demand(&self, root: Option<&Path>, reading: &Reading) -> Result<Option<u64>> {
        let folder = self.place(root)?;
        let (store, Listing { rows, class_names, .. }) = self.samples(&folder)?;
        self.plan(&folder, String::new(), class_names).demand(&rows, store.as_ref(), reading).map(Some)
    }
    fn load_by(&self, root: Option<&Path>, reading: &Reading) -> Result<Dataset> {
        self.read(root, Some(reading))
    }
    /// A manifest with a column a modality: the set's own paths are made of its lists.
    fn new_form(&self) -> Option<NewForm> {
        let own =
            |(name, decoding): (&String, &Decoding)| (name.clone(), Decoding { column: None, ..decoding.clone() });
        Some(NewForm::Manifest { columns: Columns::default(), modalities: self.modalities.iter().map(own).collect() })
    }
    fn prepare(&self, root: Option<&Path>, options: &PrepareOptions<'_>) -> Result<Option<Prepared>> {
        let folder = self.place(root)?;
        let (store, section) = self.prepared_by(&folder)?;
        let listing = self.listing(&folder)?;
        let name = word(&self.layout);
        let plan = self.plan(&folder, name.clone(), listing.class_names.clone());
        let set = Set { section, store, plan, rows: &listing.rows, listing: Some(&listing) };
        prepare(set, &name, options).map(Some)
    }
}

impl Layout {
    /// The samples that a set's lists name.
    fn list(self, folder: &Path, labels: Labels) -> Result<Listed> {
        match self {
            Self::Cremad => cremad::list(),
            Self::KineticsSounds => kinetics::list(),
            Self::KineticsFolders => kinetics::folders(folder),
            Self::Ave => ave::list(folder),
            Self::Ucf101 => ucf::list(folder),
            Self::Vggsound => vggsound::list(folder),
            Self::Food101 => food::list(folder),
            Self::Mvsa => mvsa::list(folder, labels),
            Self::Grid => grid::list(folder),
            Self::Mosi => mosi::list(folder, labels),
        }
    }

    /// The splits that the published lists name.
    fn splits(self) -> &'static [Part] {
        match self {
            Self::Mvsa | Self::Grid => &[],
            Self::Ave | Self::Mosi => &[Part::Train, Part::Validation, Part::Test],
            _ => &[Part::Train, Part::Test],
        }
    }

    fn labels(self) -> &'static [Labels] {
        match self {
            Self::Mvsa => &[Labels::Agree, Labels::Merge, Labels::Text],
            Self::Mosi => &[Labels::Has0, Labels::Non0, Labels::Seven],
            _ => &[Labels::Given],
        }
    }
}

impl Corpus {
    fn read(&self, root: Option<&Path>, reading: Option<&Reading>) -> Result<Dataset> {
        let folder = self.place(root)?;
        let (store, Listing { mut rows, class_names, left_out }) = self.samples(&folder)?;
        split::split(&mut rows, self, &folder)?;
        let layout = word(&self.layout);
        let name = if left_out > 0 { format!("{layout} without {left_out} listed samples") } else { layout };
        self.plan(&folder, name, class_names).dataset(&rows, store, reading)
    }

    /// The prepared set, if there is one, and the samples that it names, or else the lists.
    fn samples(&self, folder: &Path) -> Result<(Option<Store>, Listing)> {
        let (store, section) = self.prepared_by(folder)?;
        let mut store = Store::open(&prepared(&store, &word(&self.layout), &section), &section)?;
        let listing = match &mut store {
            Some(store) => store.listing()?,
            None => self.listing(folder)?,
        };
        Ok((store, listing))
    }

    fn place(&self, root: Option<&Path>) -> Result<PathBuf> {
        match root.map(|root| root.join(&self.folder)) {
            Some(below) if !self.folder.exists() && below.exists() => Ok(below),
            _ => existing(self.folder.clone()),
        }
    }

    /// The samples whose files are there.
    fn listing(&self, folder: &Path) -> Result<Listing> {
        let listed = self.layout.list(folder, self.labels)?;
        let (total, mut rows) = (listed.samples.len(), vec![]);
        for (i, sample) in listed.samples.iter().enumerate() {
            let row = self.row(i, sample)?;
            if self.takes(folder, &row)? {
                rows.push(row);
            }
        }
        if rows.is_empty() {
            let example = listed.samples.first().and_then(|sample| self.row(0, sample).ok());
            let paths = example.map(|row| row.cells.into_values().flatten().collect::<Vec<_>>().join(", "));
            let problem = format!("holds none of the {total} samples, such as {}", paths.unwrap_or_default());
            return Err(broken(folder, problem));
        }
        Ok(Listing { left_out: total - rows.len(), rows, class_names: listed.class_names })
    }

    fn row(&self, i: usize, sample: &Sample) -> Result<Row> {
        let cell = |(name, decoding): (&String, &Decoding)| {
            let text = sample.fill(decoding.column(name), name)?;
            Ok((name.clone(), Some(text)))
        };
        Ok(Row {
            line: i + 1,
            id: sample.id.clone(),
            part: sample.part,
            label: sample.class.clone(),
            group: Some(sample.group.clone()),
            cells: self.modalities.iter().map(cell).collect::<Result<_>>()?,
            times: sample.times,
        })
    }

    /// Whether a sample is one of the set's: where files may be missing or pictures too few, that is looked at here.
    fn takes(&self, folder: &Path, row: &Row) -> Result<bool> {
        for (name, decoding) in &self.modalities {
            let Some(path) = row.cells[name].as_ref().and_then(|cell| decoding.source(folder, cell)) else { continue };
            let missing = self.missing == Missing::Skip && !path.exists();
            if missing || (self.least_pictures > 0 && path.is_dir() && visible(&path)?.len() < self.least_pictures) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Folder of prepared sets, and what this one is prepared by. Splits have no part in it.
    fn prepared_by(&self, folder: &Path) -> Result<(PathBuf, aim_config::Value)> {
        let section = serde_json::json!({
            "folder": origin(self.store.as_ref(), folder)?,
            "layout": self.layout,
            "labels": self.labels,
            "missing": self.missing,
            "least_pictures": self.least_pictures,
            "modalities": kept_by(&self.modalities),
        });
        Ok((self.store.clone().unwrap_or_else(|| folder.join("prepared")), section))
    }

    fn plan<'a>(&'a self, folder: &'a Path, name: String, class_names: Option<Vec<String>>) -> Plan<'a> {
        Plan { name, place: folder, folder, modalities: &self.modalities, class_names, memory: self.memory }
    }
}

/// A choice as a configuration has it.
fn word(choice: &impl aim_config::serde::Serialize) -> String {
    serde_json::to_value(choice).ok().and_then(|value| value.as_str().map(ToOwned::to_owned)).unwrap_or_default()
}
