//! The comparisons that were planned: the only tests of their table.

use aim_core::Result;
use aim_stats::{
    adjust::holm,
    interval::Interval,
    paired::Repeats,
    summary::{mean, std},
    table::{Cell, Column, Table},
};
use aim_train::{
    config::{Planned, TableConfig},
    experiment::{Declared, Results, RowResults},
    metrics::{Metrics, statistics},
};

use crate::{
    compat,
    notes::warnings,
    runs::repeats,
    tables::{LEVEL, accuracies, range, sign_flips},
};

/// A comparison and its tests.
pub(crate) struct Compared {
    name: String,
    /// Name of the row that it is with.
    pub against: String,
    pub pairs: usize,
    /// Mean difference, and its interval where there are pairs enough.
    pub difference: Option<(f64, Option<Interval>)>,
    /// Standard deviation of the differences.
    pub spread: Option<f64>,
    by_signs: Option<f64>,
    by_t: Option<f64>,
}

/// All planned comparisons, each with the p value that decides under Holm's correction, if it can be tested.
///
/// # Errors
/// If a number is not finite.
pub(crate) fn decided(results: &Results, metrics: &Metrics) -> Result<Vec<(Compared, Option<f64>)>> {
    let Some(planned) = &results.table.planned else { return Ok(Vec::new()) };
    let repeats = repeats(&results.table);
    let p = |c: &Compared| if repeats == Repeats::Independent { c.by_signs } else { c.by_t };
    let all = all(results, planned, metrics)?;
    let holm = adjusted(&all, p)?;
    Ok(all
        .into_iter()
        .zip(holm)
        .map(|(compared, holm)| (p(&compared).map(|_| holm), compared))
        .map(|(p, c)| (c, p))
        .collect())
}

fn all(results: &Results, planned: &Planned, metrics: &Metrics) -> Result<Vec<Compared>> {
    let repeats = repeats(&results.table);
    let row = |name: &String| results.rows.iter().find(|row| row.name == *name);
    let compare = |name: &String| compare((row(&planned.of), &planned.of), (row(name), name), repeats, metrics);
    planned.against.iter().map(compare).collect()
}

/// The planned comparisons of a table with their tests; none if nothing is planned. One test decides: sign flips of the
/// seeds' differences, over folds the corrected resampled t.
///
/// # Errors
/// If a number is not finite.
pub fn planned(results: &Results, metrics: &Metrics) -> Result<Option<Table>> {
    let Some(planned) = &results.table.planned else { return Ok(None) };
    let repeats = repeats(&results.table);
    let (pairs, tests): (_, &[&str]) = match repeats {
        Repeats::Independent => ("pairs", &["p sign flips", "Holm (decides)", "p t", "Holm (t)"]),
        Repeats::Overlapping { .. } => ("folds", &["p corrected t", "Holm (decides)"]),
    };
    let mut columns = vec![
        Column::text("planned comparison"),
        Column::number(pairs, 0).minor(2),
        Column::number("difference, 95 % interval (t)", 3),
    ];
    let minor = |heading: &str| u8::from(!heading.contains("decides"));
    columns.extend(tests.iter().map(|heading| Column::text(*heading).minor(minor(heading))));
    let caption = format!("{}: planned comparisons of `{}`", results.table.title, planned.of);
    let mut table = Table::new(columns).with_caption(caption);
    let all = all(results, planned, metrics)?;
    let (signs, ts) = (adjusted(&all, |c| c.by_signs)?, adjusted(&all, |c| c.by_t)?);
    let p = |p: Option<f64>| p.map_or_else(Cell::empty, Cell::p);
    for (compared, (signs, t)) in all.iter().zip(signs.into_iter().zip(ts)) {
        let Compared { name, pairs, difference, by_signs, by_t, .. } = compared;
        let difference = difference.map_or_else(Cell::empty, |(mean, interval)| Cell::estimate(mean, None, interval));
        let mut cells = vec![Cell::text(name), Cell::number(*pairs as f64), difference];
        if repeats == Repeats::Independent {
            cells.extend([p(*by_signs), p(by_signs.map(|_| signs))]);
        }
        cells.extend([p(*by_t), p(by_t.map(|_| t))]);
        table.push(cells).map_err(statistics)?;
    }
    notes(&mut table, results, planned);
    untested(&all).into_iter().for_each(|line| table.warn(line));
    let row = |name: &String| results.rows.iter().find(|row| row.name == *name);
    let rows: Vec<&RowResults> = planned.rows().filter_map(row).collect();
    warnings(&mut table, results, &rows);
    Ok(Some(table))
}

/// Compares two rows, each with its name; they may lack runs.
fn compare(
    (of, name): (Option<&RowResults>, &String),
    (against, other): (Option<&RowResults>, &String),
    repeats: Repeats,
    metrics: &Metrics,
) -> Result<Compared> {
    let (a, b) = of.zip(against).map_or_else(Default::default, |(of, against)| accuracies(of, against));
    let differences: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a - b).collect();
    let (low, high) = range(metrics);
    let interval = repeats.t_interval(&a, &b, LEVEL).ok().map(|i| i.within(low - high, high - low));
    let difference = if a.is_empty() { None } else { Some((mean(&differences).map_err(statistics)?, interval)) };
    let named = |row: Option<&RowResults>, name: &String| row.map_or_else(|| name.clone(), compat::name);
    Ok(Compared {
        name: format!("{} - {}", named(of, name), named(against, other)),
        against: other.clone(),
        pairs: a.len(),
        difference,
        spread: std(&differences).ok(),
        by_signs: if repeats == Repeats::Independent { sign_flips(&a, &b) } else { None },
        by_t: repeats.t_test(&a, &b).ok().map(|test| test.p),
    })
}

/// Holm's correction over all planned tests: one that cannot be made yet counts as one that finds nothing.
fn adjusted(all: &[Compared], p: impl Fn(&Compared) -> Option<f64>) -> Result<Vec<f64>> {
    holm(&all.iter().map(|compared| p(compared).unwrap_or(1.)).collect::<Vec<_>>()).map_err(statistics)
}

/// Says which comparisons no test could be made of.
fn untested(all: &[Compared]) -> Option<String> {
    let lacking = all.iter().filter(|compared| compared.by_t.or(compared.by_signs).is_none());
    let names: Vec<&str> = lacking.map(|compared| compared.name.as_str()).collect();
    (!names.is_empty()).then(|| {
        let names = names.join(", ");
        format!("NOT TESTED, for want of pairs that differ: {names}. Holm's correction counts them as p = 1.")
    })
}

fn notes(table: &mut Table, results: &Results, planned: &Planned) {
    let tests = planned.against.len();
    let late = results.declared.as_ref().is_some_and(|declared| declared.runs_before > 0);
    let tell = if late { Table::warn } else { Table::note };
    tell(
        table,
        format!(
            "{}Every other row is exploratory and has intervals only. {}",
            match tests {
                1 => "This comparison is all that is tested here. ".to_owned(),
                _ => format!(
                    "These {tests} comparisons are all that is tested here; Holm's correction is over them alone. "
                ),
            },
            results.declared.as_ref().map_or_else(String::new, when)
        ),
    );
    table.note(decides(&results.table, tests));
}

/// Which test decides, and of what.
fn decides(table: &TableConfig, tests: usize) -> String {
    let (seeds, pairs) = (table.seeds, "The differences are of runs with the same seed");
    match table.folds.zip(table.test_to_train()) {
        None => format!(
            "{pairs} ({seeds} seeds{}). The sign flips under Holm's correction decide: exact up to 20 pairs; the smallest \
             adjusted p that {seeds} seeds can have is {:.4}. The t test beside them asks the same of differences that are \
             normal, and decides nothing.",
            table.seeds_from.as_ref().map_or(String::new(), |from| format!(": {from}")),
            (tests as f64 * 2f64.powi(1 - i32::try_from(seeds).unwrap_or(i32::MAX))).min(1.)
        ),
        Some((folds, ratio)) => format!(
            "{pairs} and fold; a fold's difference is its mean over the {seeds} seeds, which share the fold and so are no \
             further evidence about other data. The corrected resampled t (Nadeau and Bengio 2003) under Holm's correction \
             decides, of {folds} folds with {ratio:.3} test samples a training sample and {} degrees of freedom; the interval \
             is its, too. Signs are not flipped, because the folds' training sets overlap.",
            folds.saturating_sub(1)
        ),
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
pub(crate) mod tests {
    use super::*;

    fn nothing(name: &str) -> Compared {
        Compared { name: name.to_owned(), ..differing(None) }
    }

    /// A comparison with this difference, and nothing else.
    pub(crate) fn differing(difference: Option<(f64, Option<Interval>)>) -> Compared {
        let (name, against) = (String::new(), String::new());
        Compared { name, against, pairs: 0, difference, spread: None, by_signs: None, by_t: None }
    }

    #[test]
    fn what_cannot_be_tested_counts_among_the_tests() {
        let compared = |p| Compared { pairs: 5, by_t: p, ..nothing("") };
        let all = [compared(Some(0.01)), compared(None), compared(Some(0.02))];
        assert_eq!(adjusted(&all, |c| c.by_t).unwrap(), [0.03, 1., 0.04]);
    }

    #[test]
    fn what_cannot_be_tested_is_told() {
        let compared = |name: &str, by_t| Compared { by_t, ..nothing(name) };
        let said = untested(&[compared("aim - joint", Some(0.5)), compared("aim - ogm", None)]).unwrap();
        assert!(said.contains("pairs that differ: aim - ogm. Holm"), "{said}");
        assert_eq!(untested(&[compared("aim - joint", Some(0.5))]), None);
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
