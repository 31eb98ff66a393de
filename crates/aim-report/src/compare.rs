//! Two tables side by side: what another form, program or machine changed.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use aim_core::{Error, Result};
use aim_stats::{
    interval::t_interval,
    summary::mean,
    table::{Cell, Column, Table},
};
use aim_train::metrics::statistics;

use crate::{
    compat,
    runs::means,
    summary::{Line, lines_in},
    tables::{LEVEL, estimate},
};

/// A finished table.
struct Side {
    name: String,
    lines: Vec<Line>,
}

impl Side {
    fn read(folder: &Path) -> Result<Self> {
        let lines = lines_in(folder)?;
        if lines.is_empty() {
            let remedy = "make the table first, and name its folder: runs/synth-av";
            return Err(Error::invalid(folder.display().to_string(), "holds no results", remedy));
        }
        Ok(Self { name: folder.display().to_string(), lines })
    }

    fn of<'a>(&'a self, row: &'a str) -> impl Iterator<Item = &'a Line> {
        self.lines.iter().filter(move |line| line.row == row)
    }

    /// A number of each of a row's runs that have it, by seed and fold.
    fn values(&self, row: &str, of: impl Fn(&Line) -> Option<f64>) -> BTreeMap<(u64, Option<usize>), f64> {
        self.of(row).filter_map(|line| Some(((line.seed, line.fold), of(line)?))).collect()
    }

    /// A run's line.
    fn run(&self, of: &Line) -> Option<&Line> {
        self.lines.iter().find(|line| (&line.row, line.seed, line.fold) == (&of.row, of.seed, of.fold))
    }
}

/// Accuracies and probes of the rows of two finished tables, and the differences of runs with the same seed and fold.
///
/// # Errors
/// If a folder holds no results, or they are damaged.
pub fn compare(first: &Path, second: &Path) -> Result<Table> {
    let sides = [Side::read(first)?, Side::read(second)?];
    let mut rows: Vec<(&str, &str)> = Vec::new();
    for line in sides.iter().flat_map(|side| &side.lines) {
        if !rows.iter().any(|(row, _)| *row == line.row) {
            rows.push((&line.row, &line.title));
        }
    }
    let names: BTreeSet<&str> =
        sides.iter().flat_map(|side| &side.lines).flat_map(|line| line.modalities.split('+')).collect();
    let mut columns = vec![
        Column::text("method"),
        Column::number("accuracy, first", 3),
        Column::number("accuracy, second", 3),
        Column::number("second - first, 95 % interval (t)", 3),
        Column::number("pairs", 0).minor(2),
    ];
    for name in &names {
        columns.extend(["first", "second"].map(|side| Column::number(format!("probe {name}, {side}"), 3).minor(1)));
    }
    let mut table = Table::new(columns).with_caption(format!("First {}, second {}", sides[0].name, sides[1].name));
    for (row, title) in rows {
        table.push(cells(&sides, row, title, &names)?).map_err(statistics)?;
    }
    notes(&mut table, &sides);
    Ok(table)
}

fn cells(sides: &[Side; 2], row: &str, title: &str, names: &BTreeSet<&str>) -> Result<Vec<Cell>> {
    let accuracy = |side: &Side| side.values(row, |line| Some(line.accuracy));
    let [first, second] = [accuracy(&sides[0]), accuracy(&sides[1])];
    let both = second
        .iter()
        .filter_map(|(run, accuracy)| Some((run.1.map_or(run.0, |fold| fold as u64), [accuracy - first.get(run)?])));
    let differences = means(both).as_flattened().to_vec();
    let folds = second.keys().any(|(_, fold)| fold.is_some());
    let difference = match mean(&differences) {
        // Folds share training samples: their values are not independent, and an interval needs more than is known
        // here.
        Ok(mean) => Cell::estimate(
            mean,
            None,
            if folds { None } else { t_interval(&differences, LEVEL).ok().map(|i| i.within(-1., 1.)) },
        ),
        Err(_) => Cell::empty(),
    };
    let all = |values: BTreeMap<_, f64>| estimate(&values.into_values().collect::<Vec<_>>());
    let pairs = Cell::number(differences.len() as f64);
    let mut cells = vec![Cell::text(title), all(first)?, all(second)?, difference, pairs];
    for name in names {
        for side in sides {
            cells.push(all(side.values(row, |line| line.probe(name)))?);
        }
    }
    Ok(cells)
}

fn notes(table: &mut Table, sides: &[Side; 2]) {
    let [first, second] = sides;
    let both: Vec<(&Line, &Line)> = first.lines.iter().filter_map(|line| Some((line, second.run(line)?))).collect();
    let differ = |what: &dyn Fn(&Line) -> Option<String>| {
        let rows = both.iter().filter(|(a, b)| what(a).zip(what(b)).is_some_and(|(a, b)| a != b));
        let rows: BTreeSet<String> = rows.map(|(line, _)| format!("`{}`", line.row)).collect();
        (!rows.is_empty()).then(|| rows.into_iter().collect::<Vec<_>>().join(", "))
    };
    let number = |column: &'static str| move |line: &Line| line.number(column).map(|number| number.to_string());
    let text = |column: &'static str| move |line: &Line| line.text(column).map(str::to_owned);
    // Older records have no checksum of the data.
    let data = differ(&number("data.crc32")).or_else(|| differ(&text("data")));
    if let Some(rows) = data.or_else(|| differ(&number("test.samples"))) {
        table.warn(format!("ATTENTION: runs are of different data, so that a difference may be theirs: {rows}."));
    }
    if let Some(rows) = differ(&|line| line.protocol.map(|protocol| protocol.name().to_owned())) {
        table.warn(format!("ATTENTION: runs follow different protocols: {rows}."));
    }
    for (what, rows) in [("configurations", differ(&text("config"))), ("programs", differ(&text("program.version")))] {
        rows.into_iter().for_each(|rows| table.note(format!("Of different {what}: {rows}.")));
    }
    table.note(
        "Mean ± standard deviation (n-1) over runs. Differences are of runs with the same seed (and fold); their intervals are \
         not corrected for the number of rows, and nothing is tested here.",
    );
    compat::note(table);
}
