//! What the runs of a table left in their folders.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use aim_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::{Choice, Declared};
use crate::{
    config::{Row, RunConfig, TableConfig},
    metrics::Projection,
    run::{EpochLog, Folder, Outcome, Preprocessing},
};

/// A table with its runs.
pub struct Results {
    /// The table.
    pub table: TableConfig,
    /// Its rows, in order.
    pub rows: Vec<RowResults>,
    /// Runs that failed, each with its error.
    pub failures: Vec<String>,
    /// What searches chose, in the order of their rows.
    pub choices: Vec<Choice>,
    /// When the planned comparisons were declared, if there are any.
    pub declared: Option<Declared>,
}

/// A row with its runs.
pub struct RowResults {
    /// Label.
    pub title: String,
    /// Name.
    pub name: String,
    /// Configuration.
    pub config: RunConfig,
    /// One entry a seed, or a seed and fold, in the order of the seeds; failed ones are missing.
    pub runs: Vec<RunResults>,
}

/// One run.
#[derive(Clone)]
pub struct RunResults {
    /// Its own configuration, which on a fold is another than its row's.
    pub config: RunConfig,
    /// Scores.
    pub outcome: Outcome,
    /// Log of every epoch.
    pub log: Vec<EpochLog>,
    /// Seconds of every epoch.
    pub seconds: Vec<f64>,
    /// What it answered for every test sample; nothing if it is from a ledger.
    pub answers: Vec<Answer>,
    /// The test split.
    pub test: TestSplit,
    /// The fold that it is on, in a table over folds.
    pub fold: Option<usize>,
    /// Checksum of its data.
    pub data_crc32: u32,
    /// Test samples' features in two dimensions, if the folder has them.
    pub projection: Option<Projection>,
    /// Names of the classes in their order; nothing if its folder has none, or it is from a ledger.
    pub class_names: Vec<String>,
    /// Where it is; none if it is from a ledger.
    pub folder: Option<PathBuf>,
}

/// What there is to know of a test split to judge an accuracy on it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TestSplit {
    /// Number of samples.
    pub samples: usize,
    /// Share of its most frequent class, which no knowledge is needed for.
    pub most_frequent: f64,
}

/// The fused prediction for a test sample.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Name of the sample.
    pub id: String,
    /// Its class.
    pub label: usize,
    /// The predicted class.
    pub predicted: usize,
}

impl Answer {
    /// Whether it is right.
    pub fn right(&self) -> bool {
        self.label == self.predicted
    }
}

/// Names of the classes, which folders of older programs lack. A disk that does not answer is an error all the same.
fn class_names(folder: &Path) -> Result<Vec<String>> {
    match Preprocessing::load(folder) {
        Err(unread @ Error::Io { .. }) => Err(unread),
        kept => Ok(kept.map_or_else(|_| Vec::new(), |kept| kept.class_names)),
    }
}

impl RunResults {
    /// Reads a run's folder, if the run of this configuration is done.
    ///
    /// # Errors
    /// If a file is missing or damaged.
    pub fn read(folder: &Folder, config: &RunConfig) -> Result<Option<Self>> {
        let Some(outcome) = folder.result()? else { return Ok(None) };
        let epochs = outcome.epochs(config.train.epochs);
        let place = || folder.path().display().to_string();
        let damaged = |file: &str, how: String| {
            let remedy = "start the run's command again, which mends its folder";
            Error::invalid(format!("{}/{file}", place()), how, remedy)
        };
        let answers = answers(&folder.predictions()?);
        let answers = answers.ok_or_else(|| damaged("predictions.csv", "is damaged".into()))?;
        let right = answers.iter().filter(|answer| answer.right()).count() as f64 / answers.len().max(1) as f64;
        if (right - outcome.test.accuracy()).abs() > 1e-9 {
            let said = outcome.test.accuracy();
            return Err(damaged(
                "result.json",
                format!("is damaged (accuracy {said}, but {right} by its predictions)"),
            ));
        }
        Ok(Some(Self {
            config: config.clone(),
            outcome,
            log: folder.log(epochs)?,
            seconds: folder.seconds(epochs)?,
            test: TestSplit::of(&answers),
            answers,
            fold: None,
            data_crc32: folder.data_crc32(),
            projection: folder.projection()?,
            class_names: class_names(folder.path())?,
            folder: Some(folder.path().to_owned()),
        }))
    }

    /// Reads a run's folder, if the run is done and whole; what is damaged is told of, and the run is no longer done.
    ///
    /// # Errors
    /// If a file cannot be read, or a newer program wrote it.
    pub fn whole(folder: &Folder, config: &RunConfig, tell: &dyn Fn(&str)) -> Result<Option<Self>> {
        match Self::read(folder, config) {
            Err(damage @ Error::Invalid { .. }) => folder.reopen(&damage, tell).map(|()| None),
            // A newer program's result, or a disk that does not answer, is no damage.
            other => other,
        }
    }
}

impl RunResults {
    /// Whether every test sample is taken for the same class although there are several. Results of older programs do
    /// not say so, the answers of runs from a ledger are not kept.
    pub fn single_class(&self) -> bool {
        let same = |of: fn(&Answer) -> usize| self.answers.iter().all(|answer| of(answer) == of(&self.answers[0]));
        self.outcome.single_class.is_some() || same(|answer| answer.predicted) && !same(|answer| answer.label)
    }
}

impl TestSplit {
    fn of(answers: &[Answer]) -> Self {
        let classes: BTreeMap<usize, usize> = answers.iter().fold(BTreeMap::new(), |mut counts, answer| {
            *counts.entry(answer.label).or_default() += 1;
            counts
        });
        let most = classes.values().max().copied().unwrap_or_default() as f64;
        Self { samples: answers.len(), most_frequent: most / answers.len().max(1) as f64 }
    }
}

/// What the predictions of a run say, line by line.
fn answers(text: &str) -> Option<Vec<Answer>> {
    let number = |cell: Option<&str>| cell?.parse().ok();
    let answer = |record: csv::Result<csv::StringRecord>| {
        let record = record.ok()?;
        let (label, predicted) = (number(record.get(1))?, number(record.get(2))?);
        Some(Answer { id: record.get(0)?.to_owned(), label, predicted })
    };
    csv::ReaderBuilder::new().flexible(true).from_reader(text.as_bytes()).into_records().map(answer).collect()
}

impl RowResults {
    /// A row without runs; its configuration is what its search chose, if it has.
    pub(super) fn new((row, config): (&Row, &Option<RunConfig>)) -> Self {
        let config = config.as_ref().unwrap_or(&row.config).clone();
        Self { title: row.title.clone(), name: config.name.clone(), config, runs: Vec::new() }
    }

    /// One number a run.
    pub fn values(&self, of: impl Fn(&RunResults) -> Option<f64>) -> Vec<f64> {
        self.runs.iter().filter_map(of).collect()
    }

    /// The runs with the same seed and fold.
    pub fn pairs<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = (&'a RunResults, &'a RunResults)> {
        let of = |run: &RunResults| (run.outcome.seed, run.fold);
        let with = move |run| other.runs.iter().find(move |r| of(r) == of(run));
        self.runs.iter().filter_map(move |run| Some((run, with(run)?)))
    }
}
