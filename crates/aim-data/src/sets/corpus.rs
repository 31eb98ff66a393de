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
    inner::{Plan, Records, Row, Set, Store, folder as prepared, kept_by, prepare},
};
use crate::{
    Dataset, DatasetInfo, DatasetSettings, PrepareOptions, Prepared,
    files::{broken, existing},
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
        /// Kinetics-Sounds in a folder a class, `visual/train_img/Image-01-FPS/<class>/<clip>/` and
        /// `visual/val_img/...`.
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
        /// Number of folds.
        pub folds: usize = 5 => whole(3, 100), "ours";
        /// The fold that is tested on, counted from 0; the next one validates, the rest trains.
        pub fold: usize = 0 => at_least(0), "ours";
        /// Seed of the order in which groups or samples are dealt to folds.
        pub seed: u64 = 0 => at_least(0), "ours";
        /// Share of each class's training samples that validates, where lists name no validation split.
        pub held_out: f64 = 0.1 => between(0.001, 0.5), "ours";
    }
}

impl Split {
    /// The folds, if it has any.
    fn folds(&self) -> Option<Folds> {
        let Self { by, folds, fold, seed, .. } = *self;
        (by != By::List).then_some(Folds { by_group: by == By::Group, folds, fold, seed })
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
        /// Most memory that samples may take.
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
            let words: Vec<String> = self.layout.labels().iter().map(word).collect();
            return Err(Error::invalid("data.labels", problem, format!("use one of {}", words.join(", "))));
        }
        self.split.folds().map_or(Ok(()), |folds| folds.check_fold("data.split.fold"))
    }
    fn load(&self, root: Option<&Path>) -> Result<Dataset> {
        let folder = self.place(root)?;
        let (store, section) = self.prepared_by(&folder);
        if let Some(store) = Store::open(&prepared(&store, &word(&self.layout), &section), &self.modalities)? {
            let (rows, left_out) = (store.index.rows.clone(), store.index.left_out);
            let class_names = store.index.class_names.clone();
            return self.dataset(&folder, rows, left_out, class_names, Some(store));
        }
        let listed = self.layout.list(&folder, self.labels)?;
        let (rows, left_out) = self.rows(&folder, &listed)?;
        self.dataset(&folder, rows, left_out, listed.class_names, None)
    }
    fn prepare(&self, root: Option<&Path>, options: &PrepareOptions<'_>) -> Result<Option<Prepared>> {
        let folder = self.place(root)?;
        let (store, section) = self.prepared_by(&folder);
        let listed = self.layout.list(&folder, self.labels)?;
        let (rows, left_out) = self.rows(&folder, &listed)?;
        let (name, class_names) = (word(&self.layout), listed.class_names);
        let plan = self.plan(&folder, name.clone(), class_names.clone());
        prepare(Set { section, store, plan, rows: &rows, class_names, left_out }, &name, options).map(Some)
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

    fn labels(self) -> &'static [Labels] {
        match self {
            Self::Mvsa => &[Labels::Agree, Labels::Merge, Labels::Text],
            Self::Mosi => &[Labels::Has0, Labels::Non0, Labels::Seven],
            _ => &[Labels::Given],
        }
    }
}

impl Corpus {
    fn place(&self, root: Option<&Path>) -> Result<PathBuf> {
        match root.map(|root| root.join(&self.folder)) {
            Some(below) if !self.folder.exists() && below.exists() => Ok(below),
            _ => existing(self.folder.clone()),
        }
    }

    /// Rows of the samples whose files are there, and how many others there are.
    fn rows(&self, folder: &Path, listed: &Listed) -> Result<(Vec<Row>, usize)> {
        let all = listed.samples.iter().enumerate();
        let rows = all.map(|(i, sample)| self.row(i, sample)).collect::<Result<Vec<_>>>()?;
        let total = rows.len();
        let kept: Vec<Row> = rows.into_iter().filter(|row| self.takes(folder, row)).collect();
        let left_out = total - kept.len();
        if kept.is_empty() {
            let example = listed.samples.first().and_then(|sample| self.row(0, sample).ok());
            let paths = example.map(|row| row.cells.into_values().flatten().collect::<Vec<_>>().join(", "));
            let problem = format!("holds none of the {total} samples, such as {}", paths.unwrap_or_default());
            return Err(broken(folder, problem));
        }
        Ok((kept, left_out))
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
    fn takes(&self, folder: &Path, row: &Row) -> bool {
        self.modalities.iter().all(|(name, decoding)| {
            let Some(text) = row.cells[name].as_ref().filter(|_| decoding.reads_files()) else { return true };
            let path = folder.join(text);
            let there = self.missing == Missing::Refuse || path.exists();
            there && (self.least_pictures == 0 || !path.is_dir() || pictures(&path) >= self.least_pictures)
        })
    }

    /// Folder of prepared sets, and what this one is prepared by. Splits have no part in it.
    fn prepared_by(&self, folder: &Path) -> (PathBuf, aim_config::Value) {
        let section = serde_json::json!({
            "layout": self.layout,
            "labels": self.labels,
            "missing": self.missing,
            "least_pictures": self.least_pictures,
            "modalities": kept_by(&self.modalities),
        });
        (self.store.clone().unwrap_or_else(|| folder.join("prepared")), section)
    }

    fn plan<'a>(&'a self, folder: &'a Path, name: String, class_names: Option<Vec<String>>) -> Plan<'a> {
        Plan { name, place: folder, folder, modalities: &self.modalities, class_names, memory: self.memory }
    }

    /// Splits the rows and reads them, or what was prepared of them.
    fn dataset(
        &self,
        folder: &Path,
        mut rows: Vec<Row>,
        left_out: usize,
        classes: Option<Vec<String>>,
        store: Option<Store>,
    ) -> Result<Dataset> {
        split::split(&mut rows, self, folder)?;
        let layout = word(&self.layout);
        let name = if left_out > 0 { format!("{layout} without {left_out} listed samples") } else { layout };
        let records = store.map(|store| Box::new(store) as Box<dyn Records>);
        self.plan(folder, name, classes).dataset(&rows, records)
    }
}

/// A choice as a configuration has it.
fn word(choice: &impl aim_config::serde::Serialize) -> String {
    serde_json::to_value(choice).ok().and_then(|value| value.as_str().map(ToOwned::to_owned)).unwrap_or_default()
}

/// Number of files in a folder that are not hidden.
fn pictures(folder: &Path) -> usize {
    let visible = |entry: &std::fs::DirEntry| !entry.file_name().to_string_lossy().starts_with('.');
    std::fs::read_dir(folder).into_iter().flatten().flatten().filter(visible).count()
}
