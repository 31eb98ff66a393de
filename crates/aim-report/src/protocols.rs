//! The same rows under two protocols or by two recipes, side by side: how much of a gain these make.

use std::path::Path;

use aim_core::Result;
use aim_stats::{
    summary::{Summary, mean},
    table::{Cell, Column, Table},
};
use aim_train::{
    config::{Protocol, TableConfig},
    metrics::statistics,
};

use crate::{
    compat,
    sets::is_clean,
    summary::{Line, lines},
};

/// A row that both tables have: its accuracies by seed (and fold) under either.
struct Pair {
    row: String,
    title: String,
    clean: Vec<(String, f64)>,
    other: Vec<(String, f64)>,
}

/// What `a` has more than `b`, by the runs that both have.
fn minus(a: &[(String, f64)], b: &[(String, f64)]) -> Vec<(String, f64)> {
    let with = |run: &str| b.iter().find(|(r, _)| r == run).map(|(_, number)| *number);
    a.iter().filter_map(|(run, number)| Some((run.clone(), number - with(run)?))).collect()
}

fn numbers(of: &[(String, f64)]) -> Vec<f64> {
    of.iter().map(|(_, number)| *number).collect()
}

/// A table for each set that a family makes under the clean and under another protocol, or by its first and by another
/// recipe, of those whose results are there.
///
/// # Errors
/// If a results file is damaged.
pub fn protocols(family: &[TableConfig], out: &Path) -> Result<Vec<Table>> {
    let mut tables = Vec::new();
    for other in family {
        let Some(first) = beside(other, family) else { continue };
        let pairs = pairs(lines(first, out)?, &lines(other, out)?);
        if pairs.iter().any(|pair| pair.row == first.baseline) {
            tables.push(side_by_side(first, other, &pairs)?);
        }
    }
    Ok(tables)
}

/// The table that another is set beside, wherever they stand: the clean one by the same recipe, of a clean one the
/// first of its set.
fn beside<'a>(other: &TableConfig, family: &'a [TableConfig]) -> Option<&'a TableConfig> {
    let clean = || family.iter().filter(|table| table.set == other.set && is_clean(table));
    let same = clean().find(|table| recipe(table) == recipe(other)).filter(|_| !is_clean(other));
    same.or_else(|| clean().next()).filter(|first| first.name != other.name)
}

fn recipe(table: &TableConfig) -> Option<&str> {
    table.recipe.as_ref().map(|recipe| recipe.name.as_str())
}

/// What the columns of a table are called: its recipe where the two differ, its protocol where that is not clean.
fn label(table: &TableConfig, beside: &TableConfig) -> String {
    let recipe = recipe(table).filter(|_| recipe(table) != recipe(beside));
    let protocol = table.rows.first().map(|row| row.config.protocol).unwrap_or_default();
    let protocol = (!protocol.is_clean() || recipe.is_none()).then(|| protocol.name());
    recipe.into_iter().chain(protocol).collect::<Vec<_>>().join(", ")
}

fn pairs(clean: Vec<Line>, other: &[Line]) -> Vec<Pair> {
    let mut pairs: Vec<Pair> = Vec::new();
    for line in clean {
        let known = pairs.iter_mut().find(|pair| pair.row == line.row);
        if let Some(pair) = known {
            pair.clean.push((line.run(), line.accuracy));
            continue;
        }
        let of = other.iter().filter(|o| o.row == line.row).map(|o| (o.run(), o.accuracy)).collect();
        let clean = vec![(line.run(), line.accuracy)];
        pairs.push(Pair { row: line.row, title: line.title, clean, other: of });
    }
    pairs.retain(|pair| !pair.other.is_empty());
    pairs
}

fn side_by_side(clean: &TableConfig, other: &TableConfig, pairs: &[Pair]) -> Result<Table> {
    let (first, name) = (label(clean, other), label(other, clean));
    let recipes = recipe(clean) != recipe(other);
    let set = clean.set.as_deref().unwrap_or(&clean.name);
    let mut table = Table::new(vec![
        Column::text("method"),
        Column::number(&first, 3),
        Column::number(format!("{first} gain"), 3),
        Column::number(&name, 3),
        Column::number(format!("{name} gain"), 3),
        Column::text("gain of a single seed"),
        Column::number(if recipes { "accuracy by recipe" } else { "accuracy by protocol" }, 3),
        Column::number(if recipes { "gain by recipe" } else { "gain by protocol" }, 3),
    ])
    .with_caption(format!(
        "{set}: the same methods {}",
        if recipes { "by two recipes" } else { "under two protocols" }
    ));
    let Some(baseline) = pairs.iter().find(|pair| pair.row == clean.baseline) else { return Ok(table) };
    for pair in pairs {
        table.push(cells(pair, baseline)?).map_err(statistics)?;
    }
    let same = match (recipes, other.rows.first().map(|row| row.config.protocol)) {
        (true, _) => {
            "The recipes read the set by different front ends and splits: a difference between them is none of methods."
        }
        (false, Some(Protocol::AsPublished)) => {
            "Networks, settings and seeds are the same under both; the split is the recipe's, which as published trains on all that \
             is not tested."
        }
        (false, _) => "Data, training split, networks, settings and seeds are the same under both.",
    };
    table.note(format!(
        "Test accuracy and gain over `{}` with the same seed, mean ± standard deviation (n-1) over {} runs. The last two columns \
         are what {name} adds to the accuracy and to the gain, paired by seed. {same} Nothing is tested.",
        clean.baseline,
        baseline.clean.len()
    ));
    let warning = other.rows.first().and_then(|row| row.config.protocol.warning());
    warning.into_iter().for_each(|warning| table.note(format!("Columns {name}: {warning}")));
    compat::note(&mut table);
    let several = |row: &str| clean.rows.iter().any(|r| r.config.name == row && r.config.modalities().len() > 1);
    let fused: Vec<&Pair> = pairs.iter().filter(|pair| several(&pair.row)).collect();
    headlines(&fused, baseline, &name, &first).into_iter().for_each(|line| table.note(line));
    Ok(table)
}

fn cells(pair: &Pair, baseline: &Pair) -> Result<Vec<Cell>> {
    let cell = |of: &[(String, f64)]| match of {
        [] => Ok(Cell::empty()),
        of => Summary::of(&numbers(of)).map(Cell::from).map_err(statistics),
    };
    let (clean, other) = (minus(&pair.clean, &baseline.clean), minus(&pair.other, &baseline.other));
    let gain = |of: &[(String, f64)]| if pair.row == baseline.row { Ok(Cell::empty()) } else { cell(of) };
    let (low, high) = other.iter().fold((f64::MAX, f64::MIN), |(l, h), (_, v)| (l.min(*v), h.max(*v)));
    let range = match pair.row == baseline.row || other.is_empty() {
        true => Cell::empty(),
        false => Cell::text(format!("{low:+.3} to {high:+.3}")),
    };
    Ok(vec![
        Cell::text(&pair.title),
        cell(&pair.clean)?,
        gain(&clean)?,
        cell(&pair.other)?,
        gain(&other)?,
        range,
        cell(&minus(&pair.other, &pair.clean))?,
        gain(&minus(&other, &clean))?,
    ])
}

/// What a table of one seed would have shown as its best method, and what that method gains over all seeds when nothing
/// is chosen on the test split.
fn headlines(pairs: &[&Pair], baseline: &Pair, name: &str, first: &str) -> Option<String> {
    let rows: Vec<&&Pair> = pairs.iter().filter(|p| p.row != baseline.row).collect();
    let at = |of: &[(String, f64)], seed: &str| of.iter().find(|(s, _)| s == seed).map(|(_, accuracy)| *accuracy);
    let headline = |(seed, joint): &(String, f64)| {
        let gains = rows.iter().filter_map(|pair| Some((pair, at(&pair.other, seed)? - joint)));
        let (best, gain) = gains.max_by(|a, b| a.1.total_cmp(&b.1))?;
        let clean = mean(&numbers(&minus(&best.clean, &baseline.clean))).ok()?;
        Some(format!("{seed}: {} {gain:+.3} ({first}, all seeds: {clean:+.3})", best.title))
    };
    let said: Vec<String> = baseline.other.iter().filter_map(headline).collect();
    let about =
        format!("The best row of a table of one seed under {name}, with its gain, and what it gains under {first}");
    (!said.is_empty()).then(|| format!("{about}: {}.", said.join("; ")))
}
