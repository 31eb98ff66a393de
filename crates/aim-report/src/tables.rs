//! The two tables of an experiment: who is better, and why.

use std::collections::{BTreeMap, BTreeSet};

use aim_core::Result;
use aim_stats::{
    adjust::holm,
    interval::{Resampling, bootstrap_bca, t_interval},
    paired::{mcnemar, sign_flip},
    summary::{Summary, mean, median},
    table::{Cell, Column, Table},
};
use aim_train::{
    config::Select,
    experiment::{Answer, Results, RowResults, RunResults},
    metrics::{Metric, Metrics, REMOVAL, statistics},
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::{compat, recipes, searches};

/// Level of the intervals.
const LEVEL: f64 = 0.95;
/// Resamples of a bootstrap, and sign patterns of a permutation test that cannot list them all.
const DRAWS: usize = 10_000;

/// Accuracy of every row with intervals, and its tests against the baseline.
///
/// # Errors
/// If a number is not finite.
pub fn comparison(results: &Results, metrics: &Metrics) -> Result<Table> {
    let baseline = results.rows.iter().find(|r| r.name == results.table.baseline);
    let rows = &results.rows;
    let tested: Vec<_> =
        rows.iter().map(|row| baseline.filter(|b| b.name != row.name && !row.runs.is_empty())).collect();
    let seeds = adjusted(rows.iter().zip(&tested).map(|(row, b)| b.and_then(|b| over_seeds(row, b))))?;
    let samples = adjusted(rows.iter().zip(&tested).map(|(row, b)| b.and_then(|b| over_samples(row, b))))?;
    let others: Vec<(&Metric, &str)> = metrics.iter().filter_map(|metric| Some((metric, metric.column?))).collect();
    let mut columns = vec![
        Column::text("method"),
        Column::number("seeds", 0),
        Column::number("accuracy, 95 % interval (t)", 3),
        Column::text("bootstrap"),
    ];
    columns.extend(others.iter().map(|(_, heading)| Column::number(*heading, 3)));
    columns.extend([Column::number("difference", 3), Column::text("p seeds"), Column::text("p samples (networks)")]);
    let mut table = Table::new(columns).with_caption(results.table.title.clone());
    for (i, row) in rows.iter().enumerate() {
        let accuracy = row.values(|r| Some(r.outcome.test.accuracy()));
        let mut cells = vec![
            Cell::text(compat::title(row)),
            Cell::number(row.runs.len() as f64),
            with_interval(&accuracy)?,
            bootstrap(&accuracy)?,
        ];
        for (metric, _) in &others {
            cells.push(estimate(&row.values(|r| r.outcome.test.get(metric.name)))?);
        }
        cells.extend([
            tested[i].map_or(Ok(Cell::empty()), |b| difference(row, b))?,
            seeds[i].map_or_else(Cell::empty, Cell::p),
            samples[i].map_or_else(Cell::empty, Cell::p),
        ]);
        table.push(cells).map_err(statistics)?;
    }
    let count = |tests: &[Option<f64>]| tests.iter().flatten().count();
    notes(&mut table, results, count(&seeds), count(&samples));
    Ok(table)
}

/// Says what varied, what was chosen where and how many tests there are.
fn notes(table: &mut Table, results: &Results, over_seeds: usize, over_samples: usize) {
    let t = &results.table;
    let select = if results.rows.iter().all(|r| r.config.train.select == Select::Best) {
        "the epoch with the best validation accuracy"
    } else {
        "the epoch that each row's `train.select` names"
    };
    table.note(format!(
        "Mean ± standard deviation (n-1) over {} seeds, which vary initialisation, order of samples and the method's draws; \
         the data and their splits are fixed. Settings are those of the configuration; what was searched is said below.",
        t.seeds
    ));
    table.note(format!(
        "{} tests against `{}`: {over_seeds} over seeds (sign flips of the seeds' differences; with n seeds no unadjusted p \
         is below 2^(1-n) = {:.4}) and {over_samples} over the test samples (exact McNemar tests, one a seed, combined as \
         twice their median). Each of the two columns is Holm-adjusted for its own number of tests.",
        over_seeds + over_samples,
        t.baseline,
        2f64.powi(1 - i32::try_from(t.seeds).unwrap_or(i32::MAX))
    ));
    table.note(power(t.seeds, over_seeds));
    table.note(NETWORKS);
    if let Some(folds) = t.folds {
        table.note(format!(
            "Each seed was run on all {folds} folds: means and deviations are over seeds and folds, the test over seeds takes each \
             seed's mean over its folds, because the folds' training sets overlap."
        ));
    }
    recipes::note(table, results);
    let protocols = t.protocols();
    for protocol in &protocols {
        let rows = t.rows.iter().filter(|row| row.config.protocol == *protocol).map(|row| row.config.name.as_str());
        let which =
            if protocols.len() > 1 { format!("Rows {}: ", rows.collect::<Vec<_>>().join(", ")) } else { String::new() };
        let scored = format!("Scored is {select}, on the whole test split, once.");
        table.note(which + protocol.warning().unwrap_or(&scored));
    }
    compat::note(table);
    provenance(results).into_iter().for_each(|line| table.note(line));
    programs(results).into_iter().for_each(|line| table.note(line));
    if let Some(searched) = searches::note(&t.rows, &results.choices) {
        table.note(searched);
    }
    for failure in &results.failures {
        table.note(format!("FAILED: {failure}"));
    }
}

/// Says which methods of the table are no faithful ones.
fn provenance(results: &Results) -> Vec<String> {
    let mut said: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (title, provenance) in results.rows.iter().flat_map(|row| row.config.method.provenance()) {
        let titles = said.entry(provenance.warning().unwrap_or_default()).or_default();
        if !titles.contains(&title) {
            titles.push(title);
        }
    }
    said.into_iter().map(|(warning, titles)| format!("{}: {warning}.", titles.join(", "))).collect()
}

/// Says so if the runs of a table were made by several programs or on several instruction sets.
fn programs(results: &Results) -> Option<String> {
    let runs = results.rows.iter().flat_map(|row| &row.runs);
    let all: BTreeSet<String> = runs.map(|run| run.outcome.program.to_string()).collect();
    let all: Vec<String> = all.into_iter().collect();
    (all.len() > 1).then(|| {
        let all = all.join("; ");
        format!("The runs were made by several programs or processors, whose results may differ in their last digits: {all}.")
    })
}

/// What the test over samples does not tell.
const NETWORKS: &str = "A test over samples compares the trained networks at hand. Two trainings of one method are different networks, \
     too, so that such a test tells joint training from joint training with other seeds far more often than its level says; \
     how often is measured by the command `aa-test`. No row is better or worse than the baseline for a small p over samples \
     alone; only the test over seeds speaks of methods.";

/// Whether the test over seeds can find anything, and with how many seeds it could.
fn power(seeds: u64, tests: usize) -> String {
    let least = |seeds: u64| (tests.max(1) as f64 * 2f64.powi(1 - i32::try_from(seeds).unwrap_or(i32::MAX))).min(1.);
    if least(seeds) <= 0.05 {
        return format!("The smallest adjusted p over seeds that this table can have is {:.4}.", least(seeds));
    }
    let enough = (1..).find(|&seeds| least(seeds) <= 0.05).unwrap_or(u64::MAX);
    format!(
        "The smallest adjusted p over seeds that this table can have is {:.3}, so that it cannot find a difference at .05; \
         with `--seeds {enough}` it could.",
        least(seeds)
    )
}

/// Own accuracy, probes and contributions of every modality.
///
/// # Errors
/// If a number is not finite.
pub fn diagnosis(results: &Results) -> Result<Table> {
    let rows = &results.rows;
    let mut names: Vec<&String> = Vec::new();
    for name in rows.iter().flat_map(|r| &r.runs).flat_map(|r| &r.outcome.modalities) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let mut columns = vec![Column::text("method")];
    let each = |what: &str| names.iter().map(|n| Column::number(format!("{what} {n}"), 3)).collect::<Vec<_>>();
    columns.extend(each("own"));
    columns.extend(each("probe"));
    columns.push(Column::number("probe all", 3));
    columns.extend(each("share"));
    columns.extend([Column::number("EDM", 3), Column::number("s/epoch", 2)]);
    let mut table = Table::new(columns).with_caption("What the encoders know and what each modality contributes");
    for row in rows {
        let several = row.runs.first().is_some_and(|r| r.outcome.modalities.len() > 1);
        let only_several = |v: f64| several.then_some(v);
        let mut cells = vec![Cell::text(compat::title(row))];
        let mut push = |of: &dyn Fn(&RunResults) -> Option<f64>| -> Result<()> {
            cells.push(estimate(&row.values(of))?);
            Ok(())
        };
        names.iter().try_for_each(|n| push(&|r| r.outcome.test.modality.get(*n).copied()))?;
        names.iter().try_for_each(|n| push(&|r| r.outcome.probes.modality.get(*n).copied()))?;
        push(&|r| only_several(r.outcome.probes.all))?;
        names
            .iter()
            .try_for_each(|n| push(&|r| r.outcome.contributions.share.get(*n).copied().and_then(only_several)))?;
        push(&|r| only_several(r.outcome.contributions.edm))?;
        push(&|r| mean(&r.seconds).ok())?;
        table.push(cells).map_err(statistics)?;
    }
    table.note(
        "own: test accuracy of a modality's own logits (its part of the fused head, or a head of its own where the row has \
         them). probe: test accuracy of a logistic regression (C = 0.1) on the frozen encoder, fitted on the training split; \
         compare it with the same probe in the rows of one modality alone.",
    );
    table.note("Mean ± standard deviation (n-1) over the seeds of the comparison; nothing is tested here.");
    table.note(format!(
        "share: a modality's part in the sum of Shapley values of the fused accuracy, a modality being removed by {REMOVAL}, \
         negative where it harms; EDM: distance of the shares from balance. s/epoch: while other runs may share the machine."
    ));
    compat::note(&mut table);
    Ok(table)
}

fn estimate(values: &[f64]) -> Result<Cell> {
    if values.is_empty() {
        return Ok(Cell::empty());
    }
    Ok(Cell::from(Summary::of(values).map_err(statistics)?))
}

fn with_interval(values: &[f64]) -> Result<Cell> {
    if values.len() < 2 {
        return estimate(values);
    }
    let summary = Summary::of(values).map_err(statistics)?;
    let interval = t_interval(values, LEVEL).map_err(statistics)?;
    Ok(Cell::estimate(summary.mean, summary.std, Some(interval)))
}

/// The BCa interval; none where all values agree, because there is nothing to resample.
fn bootstrap(values: &[f64]) -> Result<Cell> {
    if values.len() < 3 || values.iter().all(|v| v == &values[0]) {
        return Ok(Cell::empty());
    }
    let plan = Resampling { level: LEVEL, resamples: DRAWS };
    let interval = bootstrap_bca(values, mean, plan, &mut ChaCha8Rng::seed_from_u64(0)).map_err(statistics)?;
    Ok(Cell::text(format!("[{:.3}, {:.3}]", interval.low, interval.high)))
}

fn difference(row: &RowResults, baseline: &RowResults) -> Result<Cell> {
    let (a, b) = row.paired(baseline, |r| r.outcome.test.accuracy());
    estimate(&a.iter().zip(&b).map(|(a, b)| a - b).collect::<Vec<_>>())
}

fn over_seeds(row: &RowResults, baseline: &RowResults) -> Option<f64> {
    let (a, b): (Vec<f64>, Vec<f64>) = by_seed(row, baseline).into_values().unzip();
    sign_flips(&a, &b)
}

/// Accuracies of both rows by seed: over folds, whose training sets overlap, their mean.
fn by_seed(row: &RowResults, baseline: &RowResults) -> BTreeMap<u64, (f64, f64)> {
    let mut all: BTreeMap<u64, Vec<(f64, f64)>> = BTreeMap::new();
    for (a, b) in row.pairs(baseline) {
        all.entry(a.outcome.seed).or_default().push((a.outcome.test.accuracy(), b.outcome.test.accuracy()));
    }
    let mean = |runs: Vec<(f64, f64)>| {
        let n = runs.len() as f64;
        runs.into_iter().fold((0., 0.), |(a, b), (x, y)| (a + x / n, b + y / n))
    };
    all.into_iter().map(|(seed, runs)| (seed, mean(runs))).collect()
}

/// The p value of paired seeds, as the tables have it: sign flips of their differences. None with fewer than two pairs.
pub fn sign_flips(a: &[f64], b: &[f64]) -> Option<f64> {
    sign_flip(a, b, DRAWS, &mut ChaCha8Rng::seed_from_u64(0)).ok().map(|t| t.p)
}

fn over_samples(row: &RowResults, baseline: &RowResults) -> Option<f64> {
    let right = |r: &RunResults| r.answers.iter().map(Answer::right).collect::<Vec<_>>();
    let same = |a: &RunResults, b: &RunResults| a.answers.iter().map(|c| &c.id).eq(b.answers.iter().map(|c| &c.id));
    let test = |(a, b): (&RunResults, &RunResults)| same(a, b).then(|| mcnemar(&right(a), &right(b)).ok()).flatten();
    let p: Option<Vec<f64>> = row.pairs(baseline).map(|pair| test(pair).map(|t| t.p)).collect();
    combined(&p?)
}

/// The p value that the tables make of one test a seed: twice their median, which is valid however the seeds depend on
/// each other. None without a test.
pub fn combined(p: &[f64]) -> Option<f64> {
    match p {
        [p] => Some(*p),
        _ => median(p).ok().map(|m| (2. * m).min(1.)),
    }
}

/// Holm's correction over the tests that there are.
fn adjusted(p: impl Iterator<Item = Option<f64>>) -> Result<Vec<Option<f64>>> {
    let p: Vec<Option<f64>> = p.collect();
    let there: Vec<f64> = p.iter().flatten().copied().collect();
    if there.is_empty() {
        return Ok(p);
    }
    let mut holm = holm(&there).map_err(statistics)?.into_iter();
    Ok(p.into_iter().map(|p| p.and_then(|_| holm.next())).collect())
}

#[cfg(test)]
mod tests {
    use super::power;

    #[test]
    fn the_text_says_how_many_seeds_are_enough() {
        // 10 tests: 10 / 2^4 = .625 with 5 seeds, 10 / 2^7 = .078 with 8, 10 / 2^8 = .039 with 9.
        assert!(power(5, 10).contains("is 0.625") && power(5, 10).contains("`--seeds 9`"), "{}", power(5, 10));
        assert!(power(9, 10).contains("is 0.0391") && !power(9, 10).contains("--seeds"), "{}", power(9, 10));
    }
}
