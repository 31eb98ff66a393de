//! What the runs of a table left in their folders.

use aim_core::{Error, Result};

use super::Choice;
use crate::{
    config::{Row, RunConfig, TableConfig},
    run::{EpochLog, Folder, Outcome},
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
}

/// A row with its runs.
pub struct RowResults {
    /// Label.
    pub title: String,
    /// Name.
    pub name: String,
    /// Configuration.
    pub config: RunConfig,
    /// One entry a seed, in the order of the seeds; failed ones are missing.
    pub runs: Vec<RunResults>,
}

/// One run.
pub struct RunResults {
    /// Scores.
    pub outcome: Outcome,
    /// Log of every epoch.
    pub log: Vec<EpochLog>,
    /// Seconds of every epoch.
    pub seconds: Vec<f64>,
    /// For every test sample its id and whether the fused prediction is right.
    pub correct: Vec<(String, bool)>,
}

impl RunResults {
    /// Reads a run's folder, if the run is done.
    ///
    /// # Errors
    /// If a file is missing or damaged.
    pub fn read(folder: &Folder, epochs: usize) -> Result<Option<Self>> {
        let Some(outcome) = folder.result()? else { return Ok(None) };
        let place = || folder.path().display().to_string();
        let correct = folder.predictions()?.lines().skip(1).map(correct).collect::<Option<Vec<_>>>();
        let correct = correct.ok_or_else(|| {
            Error::invalid(
                format!("{}/predictions.csv", place()),
                "is damaged",
                "start the run's command again, which mends its folder",
            )
        })?;
        Ok(Some(Self { outcome, log: folder.log(epochs)?, seconds: folder.seconds(epochs)?, correct }))
    }
}

/// Id and rightness of a line of the predictions.
fn correct(line: &str) -> Option<(String, bool)> {
    let (id, rest) = line.split_once(',')?;
    let mut cells = rest.split(',');
    let (label, predicted) = (cells.next()?, cells.next()?);
    Some((id.to_owned(), label.parse::<usize>().ok()? == predicted.parse::<usize>().ok()?))
}

impl RowResults {
    /// A row without runs; its configuration is what its search chose, if it has.
    pub(super) fn new((row, config): (&Row, &Option<RunConfig>)) -> Self {
        let config = config.as_ref().unwrap_or(&row.config).clone();
        Self { title: row.title.clone(), name: config.name.clone(), config, runs: Vec::new() }
    }

    /// One number a seed.
    pub fn values(&self, of: impl Fn(&RunResults) -> Option<f64>) -> Vec<f64> {
        self.runs.iter().filter_map(of).collect()
    }

    /// Numbers of the seeds that both rows have, pairwise.
    pub fn paired(&self, other: &Self, of: impl Fn(&RunResults) -> f64) -> (Vec<f64>, Vec<f64>) {
        self.pairs(other).map(|(a, b)| (of(a), of(b))).unzip()
    }

    /// The runs with the same seed.
    pub fn pairs<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = (&'a RunResults, &'a RunResults)> {
        let with = |seed| other.runs.iter().find(move |r| r.outcome.seed == seed);
        self.runs.iter().filter_map(move |run| Some((run, with(run.outcome.seed)?)))
    }
}
