//! The two tables of an experiment: who is better, and why.

use std::collections::BTreeMap;

use aim_core::Result;
use aim_stats::{
    adjust::holm,
    interval::{Resampling, bootstrap_bca},
    paired::{Repeats, mcnemar, sign_flip},
    summary::{Summary, mean, median},
    table::{Cell, Column, Table},
};
use aim_train::{
    experiment::{Answer, Results, RowResults, RunResults},
    metrics::{ACCURACY, Metric, Metrics, REMOVAL, REMOVAL_INSIDE, statistics},
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::{
    compat,
    notes::notes,
    runs::{means, repeats, value_of, values},
};

/// Level of the intervals.
pub(crate) const LEVEL: f64 = 0.95;
/// Resamples of a bootstrap, and sign patterns of a permutation test that cannot list them all.
pub(crate) const DRAWS: usize = 10_000;

/// Accuracy of every row with intervals, and its tests against the baseline.
///
/// # Errors
/// If a number is not finite.
pub fn comparison(results: &Results, metrics: &Metrics) -> Result<Table> {
    let rows = &results.rows;
    let against = against(results);
    let seeds = tested(results)?;
    let samples = adjusted(rows.iter().zip(&against).map(|(row, b)| b.and_then(|b| over_samples(row, b))))?;
    let others: Vec<(&Metric, &str)> = metrics.iter().filter_map(|metric| Some((metric, metric.column?))).collect();
    let mut columns = vec![
        Column::text("method"),
        Column::number(if results.table.folds.is_some() { "runs" } else { "seeds" }, 0).minor(2),
        Column::number("accuracy, 95 % interval (t)", 3),
        Column::text("bootstrap").minor(3),
        Column::number("majority", 3).minor(2),
    ];
    columns.extend(others.iter().map(|(_, heading)| Column::number(*heading, 3).minor(2)));
    let exploratory = results.table.planned.is_some();
    let repeats = repeats(&results.table);
    match exploratory {
        true => columns.push(Column::number(format!("difference to {}, 95 % interval", results.table.baseline), 3)),
        false => columns.extend([
            Column::number("difference", 3),
            Column::text("p seeds").minor(1),
            Column::text("p samples (networks)").minor(3),
        ]),
    }
    columns.push(Column::number("parameters", 0).minor(3));
    let mut table = Table::new(columns).with_caption(results.table.title.clone());
    for (i, row) in rows.iter().enumerate() {
        let accuracy = |r: &RunResults| Some(r.outcome.test.accuracy());
        let (runs, accuracy) = (row.values(accuracy), values(&row.runs, accuracy));
        let mut cells = vec![
            Cell::text(compat::title(row)),
            Cell::number(row.runs.len() as f64),
            with_interval(&runs, &accuracy, repeats, range(metrics))?,
            if repeats == Repeats::Independent { bootstrap(&accuracy)? } else { Cell::empty() },
            majority(row)?,
        ];
        for (metric, _) in &others {
            cells.push(estimate(&row.values(|r| r.outcome.test.get(metric.name)))?);
        }
        let shown = exploratory.then(|| (repeats, range(metrics)));
        cells.push(against[i].map_or(Ok(Cell::empty()), |b| difference(row, b, shown))?);
        if !exploratory {
            cells.extend([seeds[i], samples[i]].map(|p| p.map_or_else(Cell::empty, Cell::p)));
        }
        cells.push(average(&row.values(|r| Some(r.outcome.parameters as f64)))?);
        table.push(cells).map_err(statistics)?;
    }
    let count = |tests: &[Option<f64>]| tests.iter().flatten().count();
    notes(&mut table, results, count(&seeds), count(&samples));
    Ok(table)
}

/// What each row is compared with: the baseline, unless it is that itself or has no runs.
fn against(results: &Results) -> Vec<Option<&RowResults>> {
    let baseline = results.rows.iter().find(|row| row.name == results.table.baseline);
    results.rows.iter().map(|row| baseline.filter(|b| b.name != row.name && !row.runs.is_empty())).collect()
}

/// The p value of each row's test over seeds against the baseline, under Holm's correction.
///
/// # Errors
/// If a number is not finite.
pub(crate) fn tested(results: &Results) -> Result<Vec<Option<f64>>> {
    adjusted(results.rows.iter().zip(against(results)).map(|(row, b)| b.and_then(|b| over_seeds(row, b))))
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
    let each = |what: &str, minor| {
        names.iter().map(|n| Column::number(format!("{what} {n}"), 3).minor(minor)).collect::<Vec<_>>()
    };
    columns.extend(each("own", 1));
    columns.extend(each("probe", 0));
    columns.push(Column::number("probe all", 3).minor(1));
    columns.extend(each("share", 2));
    let rest = [("EDM", 3), ("s/epoch", 2), ("training, s", 1)];
    columns.extend(rest.map(|(heading, decimals)| Column::number(heading, decimals).minor(3)));
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
        // Comparisons hold no times, so that a table that was made twice is the same file.
        cells.push(average(&row.values(|r| Some(r.seconds.iter().sum())))?);
        table.push(cells).map_err(statistics)?;
    }
    table.note(
        "own: test accuracy of a modality's own logits (its part of the fused head, or a head of its own where the row has \
         them). probe: test accuracy of a logistic regression (C = 0.1) on the frozen encoder, fitted on the training split; \
         compare it with the same probe in the rows of one modality alone. Both are of all samples: one that lacks the \
         modality has zeros for its feature.",
    );
    table.note("Mean ± standard deviation (n-1) over the runs of the comparison; nothing is tested here.");
    table.note(format!(
        "share: a modality's part in the sum of Shapley values of the fused accuracy, a modality being removed by {REMOVAL}, \
         which the network may never have met. It tells how the head answers without that feature, not what the modality is \
         worth: before one with a small or negative share is dropped, look at its probe and train without it. EDM: distance \
         of the shares from balance. s/epoch, and training as the sum of a run's epochs: while other runs may share the \
         machine; what a row needs trained before, and searches, come on top."
    ));
    inner(rows).into_iter().for_each(|note| table.note(note));
    compat::note(&mut table);
    Ok(table)
}

/// What own accuracy, probe and share are in rows whose encoders see each other between their blocks.
fn inner(rows: &[RowResults]) -> Option<String> {
    let met = |row: &&RowResults| row.runs.iter().any(|run| run.outcome.contributions.removal == REMOVAL_INSIDE);
    let titles: Vec<_> = rows.iter().filter(met).map(compat::title).collect();
    let told = "encoders see each other between their blocks, so that own is of a feature that has seen the other \
                modalities. The probe encodes each modality by itself, and for share a modality is absent inside the \
                encoders, too.";
    (!titles.is_empty()).then(|| format!("{}: {told}", titles.join(", ")))
}

pub(crate) fn estimate(values: &[f64]) -> Result<Cell> {
    if values.is_empty() {
        return Ok(Cell::empty());
    }
    Ok(Cell::from(Summary::of(values).map_err(statistics)?))
}

/// A mean alone.
fn average(values: &[f64]) -> Result<Cell> {
    if values.is_empty() { Ok(Cell::empty()) } else { Ok(Cell::number(mean(values).map_err(statistics)?)) }
}

/// The smallest and the largest accuracy that there can be, as the metric itself says.
pub(crate) fn range(metrics: &Metrics) -> (f64, f64) {
    metrics.find(ACCURACY).map_or((0., 1.), |metric| metric.range)
}

/// Mean and spread of the runs, with the interval of the values that they make. It is cut at the ends of the range,
/// where no true mean can lie beyond.
fn with_interval(runs: &[f64], values: &[f64], repeats: Repeats, (low, high): (f64, f64)) -> Result<Cell> {
    if values.len() < 2 {
        return estimate(runs);
    }
    let summary = Summary::of(runs).map_err(statistics)?;
    let interval = repeats.mean_interval(values, LEVEL).map_err(statistics)?.within(low, high);
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

/// What the most frequent class alone scores: a property of the data, the same in every run on the same fold.
fn majority(row: &RowResults) -> Result<Cell> {
    let share = |run: &RunResults| Some((run.fold, run.outcome.majority.as_ref()?.share));
    let by_fold: BTreeMap<Option<usize>, f64> = row.runs.iter().filter_map(share).collect();
    average(&by_fold.into_values().collect::<Vec<_>>())
}

/// Accuracies of two rows, pairwise: one a seed, or over folds one a fold, of the runs that both have.
pub(crate) fn accuracies(row: &RowResults, other: &RowResults) -> (Vec<f64>, Vec<f64>) {
    accuracies_by(value_of, row, other)
}

/// The same by another key.
fn accuracies_by(key: fn(&RunResults) -> u64, row: &RowResults, other: &RowResults) -> (Vec<f64>, Vec<f64>) {
    let accuracy = |run: &RunResults| run.outcome.test.accuracy();
    let pairs = row.pairs(other).map(|(a, b)| (key(a), [accuracy(a), accuracy(b)]));
    means(pairs).into_iter().map(|[a, b]| (a, b)).unzip()
}

/// The mean difference; with its interval, if it is said how values depend on each other and where accuracies lie.
fn difference(row: &RowResults, baseline: &RowResults, shown: Option<(Repeats, (f64, f64))>) -> Result<Cell> {
    let (a, b) = accuracies(row, baseline);
    let differences: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a - b).collect();
    let Some((repeats, (low, high))) = shown else { return estimate(&differences) };
    with_interval(&differences, &differences, repeats, (low - high, high - low))
}

/// The test of each seed's accuracy, over folds of its mean over them.
fn over_seeds(row: &RowResults, baseline: &RowResults) -> Option<f64> {
    let (a, b) = accuracies_by(|run| run.outcome.seed, row, baseline);
    sign_flips(&a, &b)
}

/// The p value of paired seeds, as the tables have it: sign flips of their differences. None with fewer than two pairs.
pub fn sign_flips(a: &[f64], b: &[f64]) -> Option<f64> {
    let test = (a.len() > 1).then(|| sign_flip(a, b, DRAWS, &mut ChaCha8Rng::seed_from_u64(0)));
    test?.ok().map(|t| t.p)
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
    use aim_stats::table::Content;

    use super::*;

    #[test]
    fn intervals_end_where_accuracies_do() {
        let ends =
            |values: &[f64], range| match with_interval(values, values, Repeats::Independent, range).unwrap().content {
                Content::Number { interval: Some(interval), .. } => (interval.low, interval.high),
                other => panic!("{other:?}"),
            };
        // t = 4.3027 with 2 degrees of freedom: .9867 -+ 4.3027 * .01528 / sqrt 3.
        let (low, high) = ends(&[0.97, 0.99, 1.], (0., 1.));
        assert!((low - 0.94872).abs() < 1e-4 && high == 1., "{low} {high}");
        assert_eq!(ends(&[0., 0.01, 0.02], (0., 1.)).0, 0.);
        // A difference has its own range, and what lies within is left as it is.
        let (low, high) = ends(&[-0.01, 0., 0.01], (-1., 1.));
        assert!((low + 0.024841).abs() < 1e-5 && (high - 0.024841).abs() < 1e-5, "{low} {high}");
    }
}
