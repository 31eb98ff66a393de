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
    for (meaning, trained) in meanings(results) {
        table.note(format!("{meaning} Training and validation: {}.", trained.join("; ")));
    }
    table.note("Mean ± standard deviation (n-1) over the runs of the comparison; nothing is tested here.");
    Ok(Some(table))
}

/// Names of the rows that were trained at each rate.
type Rates<'a> = Vec<(f64, Vec<&'a str>)>;

/// What a rate means, once each, and which rows have what missing in training.
fn meanings(results: &Results) -> Vec<(String, Vec<String>)> {
    let mut all: Vec<(String, Rates<'_>)> = Vec::new();
    for row in &results.rows {
        let Some(missing) = row.runs.first().and_then(|run| run.config.train.missing.as_ref()) else { continue };
        let rates = of(&mut all, meaning(missing));
        of(rates, missing.train).push(&row.name);
    }
    let told = |(rate, rows): (f64, Vec<&str>)| format!("rate {rate} in {}", rows.join(", "));
    all.into_iter().map(|(meaning, rates)| (meaning, rates.into_iter().map(told).collect())).collect()
}

/// What belongs to a key, which is put at the end if it is not there.
fn of<K: PartialEq, V: Default>(all: &mut Vec<(K, V)>, key: K) -> &mut V {
    let place = all.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
        all.push((key, V::default()));
        all.len() - 1
    });
    &mut all[place].1
}

fn meaning(missing: &Missing) -> String {
    let counts = match missing.counts {
        Counts::Modalities => "each modality of each sample is missing with that probability, and one stays",
        Counts::Samples => "that share of the samples lacks one modality, evenly drawn",
    };
    let which = missing.modalities.as_ref().map_or("any".to_owned(), |names| names.join(", "));
    format!(
        "Rate: {counts} (of {which}). What a sample lacks is drawn once, by its name: the same in every run, and what is \
         missing at one rate is missing at every higher one."
    )
}
