//! What a table says, in words: the first lines of its page and the last on the terminal.

use aim_core::Result;
use aim_stats::{interval::Interval, power::sign_flip_power};
use aim_train::{
    experiment::{Results, RowResults},
    metrics::{Metrics, statistics},
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::{
    compat,
    notes::least_p,
    planned::{Compared, decided},
    tables::{accuracies, tested},
};

/// Level of all tests of a table together.
const ALPHA: f64 = 0.05;

/// The conclusions, a sentence or two each; none before there are two rows to compare.
///
/// # Errors
/// If a number is not finite.
pub fn verdict(results: &Results, metrics: &Metrics) -> Result<Vec<String>> {
    let mut lines = if results.table.planned.is_some() { of_planned(results, metrics)? } else { of_tests(results)? };
    if !lines.is_empty() {
        lines.extend(caution(results));
    }
    Ok(lines)
}

/// What these sentences must not be read without.
fn caution(results: &Results) -> Option<String> {
    let late = results.declared.as_ref().is_some_and(|declared| declared.runs_before > 0);
    let unclean = results.rows.iter().any(|row| !row.config.protocol.is_clean());
    let failed = results.failures.len();
    let reasons = [
        late.then(|| "the comparisons were declared after runs of the table were done".to_owned()),
        unclean.then(|| "the protocol of some rows is not clean".to_owned()),
        (failed > 0).then(|| format!("{failed} runs failed")),
    ];
    let reasons: Vec<String> = reasons.into_iter().flatten().collect();
    (!reasons.is_empty()).then(|| format!("CAUTION: {}.", reasons.join("; ")))
}

/// What came of the planned comparisons, and whether the table could have found what it looks for.
fn of_planned(results: &Results, metrics: &Metrics) -> Result<Vec<String>> {
    let title = |name: &str| {
        let row = results.rows.iter().find(|row| row.name == name);
        row.map_or_else(|| name.to_owned(), compat::title)
    };
    let of = results.table.planned.as_ref().map_or(String::new(), |planned| title(&planned.of));
    let all = decided(results, metrics)?;
    let mut lines = Vec::new();
    for (found, what) in [
        (Found::Better, "is better than"),
        (Found::Worse, "is worse than"),
        (Found::Nothing, "is not established to differ from"),
        (Found::Untested, "could not be compared with"),
    ] {
        let such = all.iter().filter(|(compared, p)| Found::of(compared, *p) == found);
        let told: Vec<String> = such.map(|(compared, p)| title(&compared.against) + &numbers(compared, *p)).collect();
        if !told.is_empty() {
            lines.push(format!("{of} {what} {}.", told.join("; ")));
        }
    }
    if results.table.folds.is_none() {
        lines.extend(chances(results, &all, &title)?);
    }
    Ok(lines)
}

/// What came of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Better,
    Worse,
    Nothing,
    Untested,
}

impl Found {
    fn of(compared: &Compared, p: Option<f64>) -> Self {
        match (compared.difference, p) {
            (Some((mean, _)), Some(p)) if p <= ALPHA => {
                if mean > 0. {
                    Self::Better
                } else {
                    Self::Worse
                }
            }
            (Some(_), Some(_)) => Self::Nothing,
            _ => Self::Untested,
        }
    }
}

/// A comparison's difference and p value, in brackets.
fn numbers(compared: &Compared, p: Option<f64>) -> String {
    let difference = compared.difference.map(|(mean, interval)| signed(mean) + &interval.map_or(String::new(), shown));
    let numbers: Vec<String> = difference.into_iter().chain(p.map(p_value)).collect();
    if numbers.is_empty() { String::new() } else { format!(" ({})", numbers.join(", ")) }
}

/// How surely these seeds find the difference that the table looks for, by the spread found here.
fn chances(
    results: &Results,
    all: &[(Compared, Option<f64>)],
    title: &dyn Fn(&str) -> String,
) -> Result<Option<String>> {
    let (difference, level) = (results.table.power.difference, ALPHA / all.len().max(1) as f64);
    let mut of = Vec::new();
    for (compared, _) in all {
        let Some(spread) = compared.spread.filter(|_| compared.pairs > 1) else { continue };
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let chance = sign_flip_power(difference, spread, compared.pairs, level, &mut rng).map_err(statistics)?;
        of.push((chance, title(&compared.against)));
    }
    of.sort_by(|a, b| a.0.total_cmp(&b.0));
    let said = |(chance, title): &(f64, String)| format!("{:.0} % ({title})", 100. * chance);
    let range = match &of[..] {
        [] => return Ok(None),
        [one] => said(one),
        [least, .., most] => format!("{} to {}", said(least), said(most)),
    };
    Ok(Some(format!(
        "With the spread found here, this table finds a single difference of {difference} with a chance of {range}, by sign flips at \
         {ALPHA} / {}.",
        all.len()
    )))
}

/// What the tests over seeds against the baseline found.
fn of_tests(results: &Results) -> Result<Vec<String>> {
    let Some(baseline) = results.rows.iter().find(|row| row.name == results.table.baseline) else {
        return Ok(Vec::new());
    };
    let tests: Vec<(&RowResults, f64)> =
        results.rows.iter().zip(tested(results)?).filter_map(|(row, p)| Some((row, p?))).collect();
    if tests.is_empty() {
        return Ok(Vec::new());
    }
    let named = |better: bool| {
        let of = |(row, p): &(&RowResults, f64)| {
            let (a, b) = accuracies(row, baseline);
            let mean = a.iter().zip(&b).map(|(a, b)| a - b).sum::<f64>() / a.len() as f64;
            (*p <= ALPHA && (mean > 0.) == better)
                .then(|| format!("{} ({}, {})", compat::title(row), signed(mean), p_value(*p)))
        };
        tests.iter().filter_map(of).collect::<Vec<_>>()
    };
    let title = compat::title(baseline);
    let said = |which: &str, rows: Vec<String>| {
        (!rows.is_empty()).then(|| format!("{which} than {title}: {}.", rows.join(", ")))
    };
    let lines: Vec<String> = said("Better", named(true)).into_iter().chain(said("Worse", named(false))).collect();
    if !lines.is_empty() {
        return Ok(lines);
    }
    let possible = least_p(results.table.seeds, tests.len());
    if possible > ALPHA {
        return Ok(vec![format!(
            "{} seeds are too few to establish that one of {} rows differs from {title}: no adjusted p over seeds can be below \
             {possible:.3}.",
            results.table.seeds,
            tests.len()
        )]);
    }
    let least = tests.iter().map(|(_, p)| *p).fold(1., f64::min);
    Ok(vec![format!("No row is established to differ from {title} (smallest adjusted p over seeds: {least:.3}).")])
}

/// A number with its sign; what rounds to zero has `+`.
pub(crate) fn signed(number: f64) -> String {
    let text = format!("{number:+.3}");
    if text == "-0.000" { "+0.000".into() } else { text }
}

fn shown(interval: Interval) -> String {
    format!(" [{}, {}]", signed(interval.low), signed(interval.high))
}

fn p_value(p: f64) -> String {
    if p < 0.001 { "p < 0.001".into() } else { format!("p = {p:.3}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{planned::tests::differing, tables::LEVEL};

    #[test]
    fn a_comparison_is_told_as_its_p_value_decides() {
        let of = |mean, low, high| differing(Some((mean, Some(Interval { low, high, level: LEVEL }))));
        let better = of(0.0124, 0.004, 0.0206);
        assert_eq!(numbers(&better, Some(0.047)), " (+0.012 [+0.004, +0.021], p = 0.047)");
        assert_eq!(numbers(&differing(None), None), "");
        assert_eq!(Found::of(&better, Some(0.05)), Found::Better);
        assert_eq!(Found::of(&of(-0.1, -0.2, -0.05), Some(0.0004)), Found::Worse);
        assert_eq!(Found::of(&better, Some(0.0501)), Found::Nothing);
        assert_eq!(Found::of(&better, None), Found::Untested);
    }
}
