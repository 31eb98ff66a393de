//! The same rows under two protocols, side by side: how much of a gain the protocol makes.

use std::path::Path;

use aim_core::Result;
use aim_stats::{
    summary::{Summary, mean},
    table::{Cell, Column, Table},
};
use aim_train::{config::TableConfig, metrics::statistics};

use crate::{
    compat,
    summary::{Line, lines},
};

/// A row that both tables have: its accuracies by seed under either.
struct Pair {
    row: String,
    title: String,
    clean: Vec<(u64, f64)>,
    other: Vec<(u64, f64)>,
}

impl Pair {
    /// The numbers of the seeds that all have.
    fn numbers(a: &[(u64, f64)], b: &[(u64, f64)]) -> Vec<f64> {
        let with = |seed: u64| b.iter().find(|(s, _)| *s == seed).map(|(_, accuracy)| *accuracy);
        a.iter().filter_map(|(seed, accuracy)| Some(accuracy - with(*seed)?)).collect()
    }
}

/// A table for each set that a family makes under the clean and under another protocol, of those whose results are
/// there.
///
/// # Errors
/// If a results file is damaged.
pub fn protocols(family: &[TableConfig], out: &Path) -> Result<Vec<Table>> {
    let is_clean = |table: &&TableConfig| table.protocols().iter().all(|p| p.is_clean());
    let mut tables = Vec::new();
    for other in family.iter().filter(|table| !is_clean(table)) {
        let Some(clean) = family.iter().filter(is_clean).find(|table| table.set == other.set) else { continue };
        let pairs = pairs(lines(clean, out)?, &lines(other, out)?);
        if pairs.iter().any(|pair| pair.row == clean.baseline) {
            tables.push(side_by_side(clean, other, &pairs)?);
        }
    }
    Ok(tables)
}

fn pairs(clean: Vec<Line>, other: &[Line]) -> Vec<Pair> {
    let mut pairs: Vec<Pair> = Vec::new();
    for line in clean {
        let known = pairs.iter_mut().find(|pair| pair.row == line.row);
        if let Some(pair) = known {
            pair.clean.push((line.seed, line.accuracy));
            continue;
        }
        let of = other.iter().filter(|o| o.row == line.row).map(|o| (o.seed, o.accuracy)).collect();
        let Line { row, title, .. } = line;
        pairs.push(Pair { row, title, clean: vec![(line.seed, line.accuracy)], other: of });
    }
    pairs.retain(|pair| !pair.other.is_empty());
    pairs
}

fn side_by_side(clean: &TableConfig, other: &TableConfig, pairs: &[Pair]) -> Result<Table> {
    let name = other.rows.first().map_or("other", |row| row.config.protocol.name());
    let set = clean.set.as_deref().unwrap_or(&clean.name);
    let mut table = Table::new(vec![
        Column::text("method"),
        Column::number("clean", 3),
        Column::number("clean gain", 3),
        Column::number(name, 3),
        Column::number(format!("{name} gain"), 3),
        Column::text("gain of a single seed"),
        Column::number("accuracy by protocol", 3),
        Column::number("gain by protocol", 3),
    ])
    .with_caption(format!("{set}: the same methods under two protocols"));
    let Some(baseline) = pairs.iter().find(|pair| pair.row == clean.baseline) else { return Ok(table) };
    for pair in pairs {
        table.push(cells(pair, baseline)?).map_err(statistics)?;
    }
    table.note(format!(
        "Test accuracy and gain over `{}` with the same seed, mean ± standard deviation (n-1) over {} seeds. The last two columns \
         are what {name} adds to the accuracy and to the gain, paired by seed. Data, training split, networks, settings and \
         seeds are the same under both; nothing is tested.",
        clean.baseline,
        baseline.clean.len()
    ));
    let warning = other.rows.first().and_then(|row| row.config.protocol.warning());
    warning.into_iter().for_each(|warning| table.note(format!("Columns {name}: {warning}")));
    compat::note(&mut table);
    let several = |row: &str| clean.rows.iter().any(|r| r.config.name == row && r.config.modalities().len() > 1);
    let fused: Vec<&Pair> = pairs.iter().filter(|pair| several(&pair.row)).collect();
    headlines(&fused, baseline, name).into_iter().for_each(|line| table.note(line));
    Ok(table)
}

fn cells(pair: &Pair, baseline: &Pair) -> Result<Vec<Cell>> {
    let values = |of: &[(u64, f64)]| of.iter().map(|(_, accuracy)| *accuracy).collect::<Vec<_>>();
    let cell = |values: &[f64]| -> Result<Cell> { Ok(Cell::from(Summary::of(values).map_err(statistics)?)) };
    let (clean, other) = (Pair::numbers(&pair.clean, &baseline.clean), Pair::numbers(&pair.other, &baseline.other));
    let is_baseline = pair.row == baseline.row;
    let gain = |values: &[f64]| if is_baseline || values.is_empty() { Ok(Cell::empty()) } else { cell(values) };
    let added: Vec<f64> =
        if clean.len() == other.len() { other.iter().zip(&clean).map(|(o, c)| o - c).collect() } else { vec![] };
    let range = match is_baseline {
        true => Cell::empty(),
        false => {
            let (low, high) = other.iter().fold((f64::MAX, f64::MIN), |(l, h), v| (l.min(*v), h.max(*v)));
            Cell::text(format!("{low:+.3} to {high:+.3}"))
        }
    };
    Ok(vec![
        Cell::text(&pair.title),
        cell(&values(&pair.clean))?,
        gain(&clean)?,
        cell(&values(&pair.other))?,
        gain(&other)?,
        range,
        cell(&Pair::numbers(&pair.other, &pair.clean))?,
        gain(&added)?,
    ])
}

/// What a table of one seed would have shown as its best method, and what that method gains over all seeds when nothing
/// is chosen on the test split.
fn headlines(pairs: &[&Pair], baseline: &Pair, name: &str) -> Option<String> {
    let rows: Vec<&&Pair> = pairs.iter().filter(|p| p.row != baseline.row).collect();
    let at = |of: &[(u64, f64)], seed| of.iter().find(|(s, _)| *s == seed).map(|(_, accuracy)| *accuracy);
    let headline = |&(seed, joint): &(u64, f64)| {
        let gains = rows.iter().filter_map(|pair| Some((pair, at(&pair.other, seed)? - joint)));
        let (best, gain) = gains.max_by(|a, b| a.1.total_cmp(&b.1))?;
        let clean = mean(&Pair::numbers(&best.clean, &baseline.clean)).ok()?;
        Some(format!("seed {seed}: {} {gain:+.3} (clean, all seeds: {clean:+.3})", best.title))
    };
    let said: Vec<String> = baseline.other.iter().filter_map(headline).collect();
    let about =
        format!("The best row of a table of one seed under {name}, with its gain, and what it gains under clean");
    (!said.is_empty()).then(|| format!("{about}: {}.", said.join("; ")))
}
