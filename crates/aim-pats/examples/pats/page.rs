//! What came out, as a page.

use std::fmt::Write as _;

use aim_pats::Thresholds;
use aim_stats::{
    adjust, interval, paired, summary,
    table::{Cell, Column, Table},
};

use crate::{
    compare::{NOISE, PROBLEMS, Reached, Variant, WIDTHS, line},
    train::Result,
};

const LEVEL: f64 = 0.95;
/// Place of PATS among the variants; fixed widths come first.
const PATS: usize = WIDTHS.len();

/// The page of a comparison, `reached[seed][variant]`.
pub fn write(variants: &[Variant], reached: &[Vec<Reached>], developed: (Thresholds, [f64; 3])) -> Result<String> {
    let (Thresholds { good, low, bad }, shares) = developed;
    let percent = shares.map(|share| format!("{:.0} %", 100. * share));
    let mut page = format!(
        "# PATS on arithmetic\n\n\
         Expressions such as `7+3*4-5`, one operation a step, solved by a small transformer that was trained on generated \
         solutions until a single sample solves about half of the held-out problems (the length was chosen on two of the seeds). The reward works each step out: \
         0.95 if it is right, else 0.2, plus normal noise of {NOISE}. Temperature 0.6, {seeds} seeds of {PROBLEMS} \
         held-out problems each; a seed draws other problems, samples and noise, and all rows share them. The policy is \
         one: nothing here speaks of other ones. Intervals are at 95 % over seeds. Made by \
         `cargo run --release -p aim-pats --example pats`.\n\n\
         Published thresholds are good .85, low .75, bad .4, with the first step in complex mode (width 8). Calibrated ones \
         are the 70th, 40th and 10th percentile of best-of-4 scores on a development set: {good:.2}, {low:.2}, {bad:.2}. \
         Random widths 8, 4 and 2 have the shares that PATS used there: {}. \
         Width 1 runs without penalty, other fixed widths with it; whole solutions start in simple mode. Development \
         problems are drawn with replacement from the same held-out pool, so that some are among the tests.\n\n",
        percent.join(", "),
        seeds = reached.len(),
    );
    page.push_str("## Accuracy and cost\n\n");
    page.push_str(&costs(variants, reached)?);
    page.push_str("\n## PATS against its controls\n\n");
    page.push_str(
        "Difference in accuracy, PATS with published thresholds minus the other row, over the same problems: Student's t \
         and sign flips, both paired by seed, p adjusted by Holm over this table.\n\n",
    );
    page.push_str(&tests(variants, reached)?);
    page.push_str("\n## Against the line between fixed widths\n\n");
    page.push_str(
        "Accuracy minus what fixed widths reach at the same number of tokens: in each seed, the point on the line between \
         the two fixed widths whose costs lie around it, which is what taking either by chance reaches (a fixed width of \
         the same budget).\n\n",
    );
    page.push_str(&lines(variants, reached)?);
    page.push_str("\n## Modes by step\n\nShare of iterations of PATS at each width, by the iteration's place.\n\n");
    page.push_str(&modes(reached)?);
    Ok(page)
}

/// Values of a variant, one a seed.
fn values(reached: &[Vec<Reached>], variant: usize, of: impl Fn(&Reached) -> f64) -> Vec<f64> {
    reached.iter().map(|seed| of(&seed[variant])).collect()
}

fn estimate(values: &[f64]) -> Result<Cell> {
    Ok(Cell::estimate(summary::mean(values)?, None, Some(interval::t_interval(values, LEVEL)?)))
}

/// As [`estimate`], for shares.
fn share(values: &[f64]) -> Result<Cell> {
    let within = interval::t_interval(values, LEVEL)?.within(0., 1.);
    Ok(Cell::estimate(summary::mean(values)?, None, Some(within)))
}

fn costs(variants: &[Variant], reached: &[Vec<Reached>]) -> Result<String> {
    let mut table = Table::new(vec![
        Column::text("variant"),
        Column::number("accuracy", 3),
        Column::number("tokens a problem", 1),
        Column::number("scores a problem", 1),
        Column::number("mean width", 2),
    ]);
    for (at, variant) in variants.iter().enumerate() {
        let mean = |of: fn(&Reached) -> f64| summary::mean(&values(reached, at, of)).map(Cell::number);
        table.push(vec![
            Cell::text(&variant.name),
            share(&values(reached, at, |reached| reached.accuracy))?,
            estimate(&values(reached, at, |reached| reached.tokens))?,
            mean(|reached| reached.reward_calls)?,
            mean(|reached| reached.width)?,
        ])?;
    }
    Ok(table.to_markdown())
}

/// PATS against another variant.
struct Tested {
    at: usize,
    /// One a seed.
    differences: Vec<f64>,
    /// The p-value by Student's t.
    t: f64,
    /// The p-value by sign flips.
    flips: f64,
}

fn tests(variants: &[Variant], reached: &[Vec<Reached>]) -> Result<String> {
    let own = values(reached, PATS, |reached| reached.accuracy);
    let mut rows = vec![];
    for at in (0..variants.len()).filter(|at| *at != PATS) {
        let other = values(reached, at, |reached| reached.accuracy);
        // Up to 20 seeds all patterns are tried, and the generator is not asked.
        let flips = paired::sign_flip(&own, &other, 9_999, &mut aim_pats::random::generator(0))?.p;
        // Where all differences are equal there is no t.
        let t = paired::t_test(&own, &other).map_or(flips, |test| test.p);
        rows.push(Tested { at, differences: paired::differences(&own, &other)?, t, flips });
    }
    let adjusted = |of: fn(&Tested) -> f64| adjust::holm(&rows.iter().map(of).collect::<Vec<_>>());
    let (by_t, by_flips) = (adjusted(|row| row.t)?, adjusted(|row| row.flips)?);
    let mut table = Table::new(vec![
        Column::text("PATS minus"),
        Column::number("difference", 3),
        Column::number("p by t", 3),
        Column::number("p by sign flips", 3),
    ]);
    for (row, (t, flips)) in rows.iter().zip(by_t.into_iter().zip(by_flips)) {
        let name = Cell::text(&variants[row.at].name);
        table.push(vec![name, estimate(&row.differences)?, Cell::p(t), Cell::p(flips)])?;
    }
    Ok(table.to_markdown())
}

fn lines(variants: &[Variant], reached: &[Vec<Reached>]) -> Result<String> {
    let mut table = Table::new(vec![
        Column::text("variant"),
        Column::number("accuracy above the line", 3),
        Column::number("p by t", 3),
        Column::number("seeds", 0),
    ]);
    let mut verdict = String::new();
    for (at, variant) in variants.iter().enumerate().skip(PATS) {
        let pairs = reached.iter().filter_map(|seed| Some((seed[at].accuracy, line(&seed[..PATS], seed[at].tokens)?)));
        let (own, others): (Vec<f64>, Vec<f64>) = pairs.unzip();
        if own.len() < 2 {
            table.push(vec![
                Cell::text(&variant.name),
                Cell::empty(),
                Cell::empty(),
                Cell::number(own.len() as f64),
            ])?;
            continue;
        }
        let above = paired::differences(&own, &others)?;
        let within = interval::t_interval(&above, LEVEL)?;
        let p = paired::t_test(&own, &others).map_or(Cell::empty(), |test| Cell::p(test.p));
        table.push(vec![Cell::text(&variant.name), estimate(&above)?, p, Cell::number(own.len() as f64)])?;
        if at == PATS || at == PATS + 1 {
            writeln!(verdict, "{}: {}", variant.name, said(within))?;
        }
    }
    Ok(format!("{}\n{}", table.to_markdown(), verdict.trim_end().replace('\n', " ") + "\n"))
}

/// What an interval of the accuracy above the line says.
fn said(interval: interval::Interval) -> &'static str {
    match interval {
        interval if interval.low > 0. => "the interval lies above the line.",
        interval if interval.high < 0. => "the interval lies below the line: at this cost a fixed width is better.",
        _ => "the interval holds 0, so neither above nor below the line is established.",
    }
}

fn modes(reached: &[Vec<Reached>]) -> Result<String> {
    let mut table = Table::new(vec![
        Column::text("iteration"),
        Column::number("complex (8)", 2),
        Column::number("medium (4)", 2),
        Column::number("simple (2)", 2),
        Column::number("problems", 0),
    ]);
    let all = || reached.iter().map(|seed| &seed[PATS].modes);
    let longest = all().map(Vec::len).max().unwrap_or_default();
    for at in 0..longest {
        let count =
            |mode: usize| all().filter_map(|modes| modes.get(at)).map(|counts| counts[mode]).sum::<usize>() as f64;
        let counts = [count(0), count(1), count(2)];
        let sum: f64 = counts.iter().sum();
        let mut row = vec![Cell::text((at + 1).to_string())];
        row.extend(counts.map(|count| Cell::number(count / sum)));
        row.push(Cell::number(sum));
        table.push(row)?;
    }
    Ok(table.to_markdown())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::{self, tests::Careless};

    #[test]
    fn the_page_has_every_variant_and_its_numbers() {
        let developed = compare::develop(&mut Careless).unwrap();
        let variants = compare::variants(developed);
        let reached = compare::compare(&Careless, &variants, 3).unwrap();
        let page = write(&variants, &reached, developed).unwrap();
        for variant in &variants {
            assert!(page.contains(&format!("| {} ", variant.name)), "{page}");
        }
        let single = summary::mean(&values(&reached, 0, |reached| reached.accuracy)).unwrap();
        assert!(page.contains(&format!("{single:.3}").replace("0.", ".")) || page.contains(&format!("{single:.3}")));
        assert!(page.contains("PATS: the interval"), "{page}");
        // The first iteration is in complex mode.
        assert!(page.contains("| 1         |        1.00 |"), "{page}");
    }

    #[test]
    fn intervals_are_read_as_they_lie() {
        let at = |low, high| said(interval::Interval { low, high, level: LEVEL });
        assert!(at(0.01, 0.02).contains("above the line.") && at(-0.02, -0.01).contains("below the line"));
        assert!(at(-0.01, 0.01).contains("holds 0"));
    }
}
