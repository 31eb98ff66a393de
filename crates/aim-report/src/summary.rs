//! The same rows over several sets: one number a row, after Agarwal et al. (2021).

use std::{collections::BTreeMap, path::Path};

use aim_core::{Error, Result};
use aim_stats::{
    aggregate::{Estimate, interquartile_mean_interval, probability_of_improvement_interval},
    interval::Resampling,
    table::{Cell, Column, Table},
};
use aim_train::{
    config::{Protocol, TableConfig},
    metrics::statistics,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{compat, runs::means, sets::Sets};

/// A run, as far as summaries need it: a line of a table's `results.jsonl`.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Line {
    pub row: String,
    pub title: String,
    pub seed: u64,
    pub fold: Option<usize>,
    pub protocol: Option<Protocol>,
    #[serde(rename = "test.accuracy")]
    pub accuracy: f64,
    #[serde(rename = "test.most_frequent")]
    most_frequent: f64,
    pub baseline: String,
    /// Names of the modalities, joined by `+`.
    pub modalities: String,
    /// Everything else.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Line {
    /// The linear probe of a modality's encoder, if the run has the modality.
    pub fn probe(&self, modality: &str) -> Option<f64> {
        self.rest.get(&format!("probes.modality.{modality}"))?.as_f64()
    }

    /// A text of the record, if it is there.
    pub fn text(&self, column: &str) -> Option<&str> {
        self.rest.get(column)?.as_str()
    }

    /// A number of the record, if it is there.
    pub fn number(&self, column: &str) -> Option<f64> {
        match column {
            "test.most_frequent" => Some(self.most_frequent),
            _ => self.rest.get(column)?.as_f64(),
        }
    }

    /// Its seed, and its fold where there are several, in words.
    pub fn run(&self) -> String {
        let fold = self.fold.map_or_else(String::new, |fold| format!(", fold {fold}"));
        format!("seed {}{fold}", self.seed)
    }
}

/// The runs of a table that an earlier command left, in the order of its rows; none if it has not been made.
///
/// # Errors
/// If the file is damaged.
pub(crate) fn lines(table: &TableConfig, out: &Path) -> Result<Vec<Line>> {
    lines_in(&out.join(&table.name))
}

/// The same of the table in a folder.
pub(crate) fn lines_in(folder: &Path) -> Result<Vec<Line>> {
    let path = folder.join("results.jsonl");
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(Error::io(path, e)),
    };
    let line = |line| serde_json::from_str(line);
    text.lines()
        .map(line)
        .collect::<serde_json::Result<_>>()
        .map_err(|e| Error::invalid(path.display().to_string(), format!("is damaged ({e})"), "make the table again"))
}

/// Accuracies of the rows of one set, one a seed, rescaled: 0 is the most frequent class, 1 is perfect.
type Set = BTreeMap<String, Vec<f64>>;

/// The summary over all tables of a family whose results are there; none if these are of fewer than two sets.
///
/// # Errors
/// If a results file is damaged.
pub fn summary(family: &[TableConfig], out: &Path) -> Result<Option<Table>> {
    let (mut sets, mut names, mut rows): (Vec<Set>, Vec<String>, Vec<(String, String)>) = Default::default();
    let mut chosen = Sets::of(family, out);
    chosen.without(|table| {
        let has = lines(table, out)?.iter().any(|line| line.row == table.baseline);
        Ok((!has).then(|| format!("`{}` has no runs", table.baseline)))
    })?;
    for table in &chosen.tables {
        let lines = lines(table, out)?;
        sets.push(rescaled(&lines));
        names.push(table.set.clone().unwrap_or_else(|| table.name.clone()));
        for line in lines {
            if !rows.iter().any(|(row, _)| row == &line.row) {
                rows.push((line.row, line.title));
            }
        }
    }
    let Some(baseline) = family.first().map(|table| &table.baseline).filter(|_| sets.len() > 1) else {
        return Ok(None);
    };
    // What is trained on one modality of one set is no method on another.
    rows.retain(|(row, _)| sets.iter().filter(|set| set.contains_key(row)).count() > 1);
    let mut table = Table::new(vec![
        Column::text("method"),
        Column::number("sets", 0),
        Column::number("runs", 0),
        Column::number("interquartile mean, 95 % interval", 3),
        Column::number(format!("P(better than {baseline}), 95 % interval"), 3),
    ])
    .with_caption(format!("Over {} sets: {}", sets.len(), names.join(", ")));
    for (row, title) in &rows {
        table.push(cells(row, title, baseline, &sets)?).map_err(statistics)?;
    }
    table.note(
        "Interquartile mean: the mean of the middle half of all runs of all sets (Agarwal et al. 2021), a seed's folds counting as \
         one run with their mean; only of rows that all sets have. Accuracies are rescaled for it: 0 is what the most frequent \
         class of the test split gives, 1 is perfect.",
    );
    table.note(format!(
        "P(better than {baseline}): the chance that a run of the row beats a run of `{baseline}` on a set drawn at random from \
         those that have both; 0.5 is no difference."
    ));
    table.note(format!(
        "What varies are the seeds (see each set's table, where also stands what was chosen on which split). Intervals: \
         stratified percentile bootstrap, {} resamples of the runs within each set. The sets stay, so that the intervals say \
         nothing of other sets. Nothing is tested here, and the {} intervals are not corrected for their number.",
        Resampling::default().resamples,
        2 * rows.len() - 1
    ));
    compat::note(&mut table);
    chosen.note(&mut table);
    Ok(Some(table))
}

/// Over folds, which all seeds share, a seed's mean.
fn rescaled(lines: &[Line]) -> Set {
    let mut rows: BTreeMap<&str, Vec<(u64, [f64; 1])>> = BTreeMap::new();
    for line in lines {
        let rescaled = (line.accuracy - line.most_frequent) / (1. - line.most_frequent);
        rows.entry(&line.row).or_default().push((line.seed, [rescaled]));
    }
    let values = |runs: Vec<_>| means(runs.into_iter()).as_flattened().to_vec();
    rows.into_iter().map(|(row, runs)| (row.to_owned(), values(runs))).collect()
}

fn cells(row: &str, title: &str, baseline: &str, sets: &[Set]) -> Result<Vec<Cell>> {
    let of = |row: &str| sets.iter().filter_map(|set| set.get(row).cloned()).collect::<Vec<_>>();
    let mine = of(row);
    let (mut rng, plan) = (ChaCha8Rng::seed_from_u64(0), Resampling::default());
    let mean = if mine.len() == sets.len() {
        cell(interquartile_mean_interval(&mine, plan, &mut rng).map_err(statistics)?)
    } else {
        Cell::empty()
    };
    let both: Vec<&Set> = sets.iter().filter(|set| set.contains_key(row)).collect();
    let theirs: Vec<Vec<f64>> = both.iter().filter_map(|set| set.get(baseline).cloned()).collect();
    let better = if row == baseline {
        Cell::empty()
    } else {
        cell(probability_of_improvement_interval(&mine, &theirs, plan, &mut rng).map_err(statistics)?)
    };
    let runs = mine.iter().map(Vec::len).sum::<usize>();
    Ok(vec![Cell::text(title), Cell::number(mine.len() as f64), Cell::number(runs as f64), mean, better])
}

fn cell(estimate: Estimate) -> Cell {
    Cell::estimate(estimate.value, None, Some(estimate.interval))
}
