//! The run of a table that is best suited to answer for new samples.

use aim_stats::summary::mean;
use aim_train::{
    experiment::{Results, RowResults, RunResults},
    metrics::ACCURACY,
};

/// Of the row that is best in the mean, the best run; both on validation, by what all rows select by, or the accuracy
/// where they differ in it. The earlier one on a tie. Left out are rows whose validation split is not their own, and
/// runs from a ledger, whose weights are not here; none if nothing is left.
pub fn best(results: &Results) -> Option<&RunResults> {
    let selects = |row: &RowResults| row.config.train.select.metric();
    let first = results.rows.first().map(selects)?;
    let metric = if results.rows.iter().all(|row| selects(row) == first) { first } else { ACCURACY };
    let score = |run: &RunResults| run.outcome.validation.get(metric);
    let average = |row: &RowResults| mean(&row.values(score)).ok();
    let rows = results.rows.iter().filter(|row| row.config.protocol.is_clean());
    let here = |row: &&RowResults| row.runs.iter().any(|run| run.folder.is_some());
    let row = highest(rows.filter(here), average)?;
    highest(row.runs.iter().filter(|run| run.folder.is_some()), score)
}

/// The first of those with the highest score.
fn highest<'a, T>(all: impl Iterator<Item = &'a T>, score: impl Fn(&T) -> Option<f64>) -> Option<&'a T> {
    let scored = all.filter_map(|one| Some((one, score(one)?)));
    scored.reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(one, _)| one)
}
