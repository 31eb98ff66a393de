//! Accuracy where test samples lack modalities.

use aim_core::Result;
use aim_stats::table::{Cell, Column, Table};
use aim_train::{
    config::{Counts, Missing},
    experiment::Results,
    metrics::statistics,
};

use crate::{compat, tables::estimate};

/// Accuracy of every row on the whole test split and at each further rate of missing modalities; nothing where no row
/// has such rates.
///
/// # Errors
/// If a number is not finite.
pub fn lacking(results: &Results) -> Result<Option<Table>> {
    let sections = || results.rows.iter().filter_map(|row| row.runs.first()?.config.train.missing.as_ref());
    let mut rates: Vec<f64> = sections().flat_map(|missing| missing.test.clone()).collect();
    rates.sort_by(f64::total_cmp);
    rates.dedup();
    if rates.is_empty() {
        return Ok(None);
    }
    let rates: Vec<String> = rates.iter().map(ToString::to_string).collect();
    let mut columns = vec![Column::text("method"), Column::number("whole", 3)];
    columns.extend(rates.iter().map(|rate| Column::number(format!("rate {rate}"), 3)));
    let caption = format!("{}: accuracy where test samples lack modalities", results.table.title);
    let mut table = Table::new(columns).with_caption(caption);
    for row in &results.rows {
        let whole = estimate(&row.values(|run| Some(run.outcome.test.accuracy())))?;
        let mut cells = vec![Cell::text(compat::title(row)), whole];
        for rate in &rates {
            cells.push(estimate(&row.values(|run| run.outcome.lacking.get(rate).map(|test| test.accuracy())))?);
        }
        table.push(cells).map_err(statistics)?;
    }
    let mut told: Vec<String> = sections().map(note).collect();
    told.dedup();
    told.into_iter().for_each(|line| table.note(line));
    table.note("Mean ± standard deviation (n-1) over the runs of the comparison; nothing is tested here.");
    Ok(Some(table))
}

/// What a rate means, and what was missing in training.
fn note(missing: &Missing) -> String {
    let counts = match missing.counts {
        Counts::Modalities => "each modality of each sample is missing with that probability, and one stays",
        Counts::Samples => "that share of the samples lacks one modality, evenly drawn",
    };
    let which = missing.modalities.as_ref().map_or("any".to_owned(), |names| names.join(", "));
    format!(
        "Rate: {counts} (of {which}). Training and validation: rate {}. What a sample lacks is drawn once, by its name: the same \
         in every run, and what is missing at one rate is missing at every higher one.",
        missing.train
    )
}
