//! How well each class is recognised, by the answers of runs.

use std::collections::{BTreeMap, BTreeSet};

use aim_core::Result;
use aim_stats::{
    summary::mean,
    table::{Cell, Column, Table},
};
use aim_train::{
    experiment::{Answer, Results},
    metrics::statistics,
};

use crate::page::{View, views};

/// Recall of every class in each row: the mean over runs of the share of the class's test samples that is predicted
/// right, below the number of those samples. Nothing where no run's answers are there, as of runs from a ledger.
///
/// # Errors
/// If a number is not finite.
pub fn classes(results: &Results) -> Result<Option<Table>> {
    let table = by_row(&views(results), usize::MAX)?;
    Ok(table.map(|table| table.with_caption(format!("{}: recall by class", results.table.title))))
}

/// The same of rows under one heading, with a column for so many classes at most: half of those are what the baseline
/// recognises worst, the others what it recognises best.
pub(crate) fn by_row(rows: &[View<'_>], most: usize) -> Result<Option<Table>> {
    let answered = || rows.iter().filter(|row| row.runs.iter().any(|run| !run.answers.is_empty()));
    let Some(base) = answered().find(|row| row.baseline).or_else(|| answered().next()) else { return Ok(None) };
    let (samples, found) = (samples(&answers(base)), recalls(&answers(base))?);
    let shown = ends(&found, most);
    let columns = shown.iter().map(|class| Column::number(base.class(*class), 3));
    let mut table = Table::new(std::iter::once(Column::text("method")).chain(columns).collect());
    let number = |class: &usize| Cell::text(samples.get(class).copied().unwrap_or_default().to_string());
    let mut push = |title: &str, cell: &dyn Fn(&usize) -> Cell| {
        let cells = std::iter::once(Cell::text(title)).chain(shown.iter().map(cell));
        table.push(cells.collect()).map_err(statistics)
    };
    push("test samples", &number)?;
    for row in rows {
        // A number stands for the same class only where the names are the same.
        let same = row.class_names == base.class_names;
        let found = if same { recalls(&answers(row))? } else { BTreeMap::new() };
        push(&row.title, &|class| found.get(class).map_or_else(Cell::empty, |recall| Cell::number(*recall)))?;
    }
    table.note("Share of each class's test samples that is predicted right, mean over runs; nothing is tested here.");
    if shown.len() < found.len() {
        table.note(format!(
            "Of {} classes the {} that `{}` recognises worst and the {} that it recognises best; `classes.csv` has all.",
            found.len(),
            most / 2,
            base.title,
            most - most / 2
        ));
    }
    Ok(Some(table))
}

/// A row a class of one row's runs, with samples and recall.
pub(crate) fn by_class(row: &View<'_>) -> Result<Option<Table>> {
    let (samples, found) = (samples(&answers(row)), recalls(&answers(row))?);
    let columns = vec![Column::text("class"), Column::number("test samples", 0), Column::number("recall", 3)];
    let mut table = Table::new(columns);
    for (class, recall) in &found {
        let number = samples.get(class).copied().unwrap_or_default();
        table
            .push(vec![Cell::text(row.class(*class)), Cell::number(number as f64), Cell::number(*recall)])
            .map_err(statistics)?;
    }
    table.note("recall: share of the class's test samples that is predicted right.");
    Ok((!found.is_empty()).then_some(table))
}

/// What each run answered, with the fold that it is on.
type Answers<'a> = Vec<(Option<usize>, &'a [Answer])>;

fn answers<'a>(row: &View<'a>) -> Answers<'a> {
    row.runs.iter().map(|run| (run.fold, run.answers.as_slice())).collect()
}

/// Number of samples of each class, and of those that are predicted right.
fn counts(answers: &[Answer]) -> BTreeMap<usize, (usize, usize)> {
    let mut counts = BTreeMap::new();
    for answer in answers {
        let (all, right) = counts.entry(answer.label).or_insert((0, 0));
        *all += 1;
        *right += usize::from(answer.right());
    }
    counts
}

/// Test samples of each class, those of all folds together. Runs on the same fold have the same.
fn samples(runs: &Answers<'_>) -> BTreeMap<usize, usize> {
    let kept = runs.iter().copied().filter(|(_, answers)| !answers.is_empty());
    let mut samples = BTreeMap::new();
    for (class, (all, _)) in kept.collect::<BTreeMap<_, _>>().into_values().flat_map(counts) {
        *samples.entry(class).or_default() += all;
    }
    samples
}

/// Mean recall of each class over the runs whose test split has it.
fn recalls(runs: &Answers<'_>) -> Result<BTreeMap<usize, f64>> {
    let mut shares: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
    for (class, (all, right)) in runs.iter().flat_map(|(_, answers)| counts(answers)) {
        shares.entry(class).or_default().push(right as f64 / all as f64);
    }
    shares.into_iter().map(|(class, shares)| Ok((class, mean(&shares).map_err(statistics)?))).collect()
}

/// The classes with the lowest and the highest recall, so many together, in their order; all if they are no more.
fn ends(recalls: &BTreeMap<usize, f64>, most: usize) -> BTreeSet<usize> {
    let mut sorted: Vec<(usize, f64)> = recalls.iter().map(|(class, recall)| (*class, *recall)).collect();
    sorted.sort_by(|(_, a), (_, b)| a.total_cmp(b));
    let (worst, best) = (most / 2, sorted.len().saturating_sub(most - most / 2));
    let end = |(place, (class, _)): (usize, &(usize, f64))| (place < worst || place >= best).then_some(*class);
    sorted.iter().enumerate().filter_map(end).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(pairs: &[(usize, usize)]) -> Vec<Answer> {
        let answer = |&(label, predicted): &(usize, usize)| Answer { id: String::new(), label, predicted };
        pairs.iter().map(answer).collect()
    }

    #[test]
    fn recall_is_the_mean_over_runs_and_samples_count_once_a_fold() {
        // Of class 0 the first run has 1 of 2, the second 2 of 2; of class 2 none and one of one.
        let (first, second) = (said(&[(0, 0), (0, 1), (2, 0)]), said(&[(0, 0), (0, 0), (2, 2)]));
        let runs = vec![(None, &first[..]), (None, &second[..])];
        assert_eq!(recalls(&runs).unwrap(), [(0, 0.75), (2, 0.5)].into());
        assert_eq!(samples(&runs), [(0, 2), (2, 1)].into());
        // Another fold has other samples, and class 1 in place of class 2.
        let other = said(&[(0, 1), (1, 1), (1, 0), (1, 0), (1, 0)]);
        let folds = vec![(Some(0), &first[..]), (Some(0), &second[..]), (Some(1), &other[..]), (Some(1), &[])];
        assert_eq!(recalls(&folds).unwrap(), [(0, 0.5), (1, 0.25), (2, 0.5)].into());
        assert_eq!(samples(&folds), [(0, 3), (1, 4), (2, 1)].into());
    }

    #[test]
    fn of_many_classes_the_ends_are_shown_in_their_order() {
        let recalls = [0.5, 0.1, 0.9, 0.4, 0.2, 1., 0.6].into_iter().enumerate().collect();
        assert_eq!(ends(&recalls, 4), [1, 2, 4, 5].into());
        // An odd number has one more of the best.
        assert_eq!(ends(&recalls, 3), [1, 2, 5].into());
        assert_eq!(ends(&recalls, 7).len(), 7);
        assert_eq!(ends(&recalls, usize::MAX).len(), 7);
    }
}
