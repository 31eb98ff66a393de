//! The comparisons that were planned: the only tests of their table.

use aim_core::Result;
use aim_stats::{
    adjust::holm,
    interval::Interval,
    paired::Repeats,
    summary::mean,
    table::{Cell, Column, Table},
};
use aim_train::{
    config::Planned,
    experiment::{Declared, Results, RowResults},
    metrics::{Metrics, statistics},
};

use crate::tables::{LEVEL, accuracies, range, sign_flips};

/// A comparison and its tests.
struct Compared {
    name: String,
    pairs: usize,
    /// Mean difference, and its interval where there are pairs enough.
    difference: Option<(f64, Option<Interval>)>,
    by_signs: Option<f64>,
    by_t: Option<f64>,
}

/// How the runs of a table relate to each other: seeds on fixed splits, or folds where the plan says so.
fn repeats(planned: &Planned) -> Repeats {
    planned.test_to_train.map_or(Repeats::Independent, |test_to_train| Repeats::Overlapping { test_to_train })
}

/// The planned comparisons of a table with their tests; none if nothing is planned.
///
/// # Errors
/// If a number is not finite.
pub fn planned(results: &Results, metrics: &Metrics) -> Result<Option<Table>> {
    let Some(planned) = &results.table.planned else { return Ok(None) };
    let folds = planned.test_to_train.is_some();
    let t = if folds { "p corrected t" } else { "p t" };
    let mut table = Table::new(vec![
        Column::text("planned comparison"),
        Column::number("pairs", 0),
        Column::number("difference, 95 % interval (t)", 3),
        Column::text("p sign flips"),
        Column::text("Holm"),
        Column::text(t),
        Column::text("Holm"),
    ])
    .with_caption(format!("{}: planned comparisons of `{}`", results.table.title, planned.of));
    let row = |name: &String| results.rows.iter().find(|row| row.name == *name);
    let of = row(&planned.of);
    let compare = |name: &String| compare((of, planned.of.as_str()), (row(name), name), repeats(planned), metrics);
    let all: Vec<Compared> = planned.against.iter().map(compare).collect::<Result<_>>()?;
    let (signs, ts) = (adjusted(&all, |c| c.by_signs)?, adjusted(&all, |c| c.by_t)?);
    let p = |p: Option<f64>| p.map_or_else(Cell::empty, Cell::p);
    for (i, compared) in all.into_iter().enumerate() {
        let Compared { name, pairs, difference, by_signs, by_t } = compared;
        let difference = difference.map_or_else(Cell::empty, |(mean, interval)| Cell::estimate(mean, None, interval));
        let cells = vec![
            Cell::text(name),
            Cell::number(pairs as f64),
            difference,
            p(by_signs),
            p(by_signs.map(|_| signs[i])),
            p(by_t),
            p(by_t.map(|_| ts[i])),
        ];
        table.push(cells).map_err(statistics)?;
    }
    notes(&mut table, results, planned);
    Ok(Some(table))
}

/// Compares two rows, each with its name; they may lack runs.
fn compare(
    (of, name): (Option<&RowResults>, &str),
    (against, other): (Option<&RowResults>, &String),
    repeats: Repeats,
    metrics: &Metrics,
) -> Result<Compared> {
    let (a, b) = of.zip(against).map_or_else(Default::default, |(of, against)| accuracies(of, against));
    let differences: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a - b).collect();
    let (low, high) = range(metrics);
    let interval = repeats.t_interval(&a, &b, LEVEL).ok().map(|i| i.within(low - high, high - low));
    let difference = if a.is_empty() { None } else { Some((mean(&differences).map_err(statistics)?, interval)) };
    Ok(Compared {
        name: format!("{name} - {other}"),
        pairs: a.len(),
        difference,
        by_signs: if repeats == Repeats::Independent { sign_flips(&a, &b).filter(|_| a.len() > 1) } else { None },
        by_t: repeats.t_test(&a, &b).ok().map(|test| test.p),
    })
}

/// Holm's correction over all planned tests: one that cannot be made yet counts as one that finds nothing.
fn adjusted(all: &[Compared], p: impl Fn(&Compared) -> Option<f64>) -> Result<Vec<f64>> {
    holm(&all.iter().map(|compared| p(compared).unwrap_or(1.)).collect::<Vec<_>>()).map_err(statistics)
}

fn notes(table: &mut Table, results: &Results, planned: &Planned) {
    let tests = planned.against.len();
    table.note(format!(
        "These {tests} comparisons are all that is tested here; Holm's correction is over them alone. Every other row is \
         exploratory and has intervals only. {}",
        results.declared.as_ref().map_or_else(String::new, when)
    ));
    let seeds = results.table.seeds;
    let from = results.table.seeds_from.as_ref().map_or(String::new(), |from| format!(": {from}"));
    let pairs = "The differences are of runs with the same seed";
    match planned.test_to_train {
        None => table.note(format!(
            "{pairs} ({seeds} seeds{from}). Sign flips: exact up to 20 pairs; the smallest adjusted p that {seeds} seeds \
             can have is {:.4}. The t test asks the same of differences that are normal.",
            (tests as f64 * 2f64.powi(1 - i32::try_from(seeds).unwrap_or(i32::MAX))).min(1.)
        )),
        Some(ratio) => table.note(format!(
            "{pairs} ({seeds} seeds{from}), each a fold whose training set overlaps the others': test and interval are those \
             of the corrected resampled t (Nadeau and Bengio 2003) with {ratio:.3} test samples a training sample. Signs are \
             not flipped, because the differences depend on each other."
        )),
    }
}

/// When the comparisons were declared, in words.
fn when(declared: &Declared) -> String {
    let again = if declared.changes == 0 { "" } else { ", after others before," };
    match declared.runs_before {
        0 => "They were declared before any run of the table was done.".into(),
        runs => format!("ATTENTION: they were declared{again} when {runs} runs of the table were done."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_tested_counts_among_the_tests() {
        let compared = |p| Compared { name: String::new(), pairs: 5, difference: None, by_signs: None, by_t: p };
        let all = [compared(Some(0.01)), compared(None), compared(Some(0.02))];
        assert_eq!(adjusted(&all, |c| c.by_t).unwrap(), [0.03, 1., 0.04]);
    }

    #[test]
    fn a_late_declaration_is_told() {
        let say = |runs_before, changes| when(&Declared { runs_before, changes });
        assert!(say(0, 0).contains("before any run"));
        assert_eq!(
            say(3, 1),
            "ATTENTION: they were declared, after others before, when 3 runs of the table were done."
        );
        assert!(say(0, 2).contains("before any run"), "what changed before there was anything to look at did no harm");
        assert!(say(2, 0).contains("declared when 2 runs"));
    }
}
