//! One row against others over several finished tables: each set's differences, one test over all, ranks, and what the
//! row regains of what joint training loses.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use aim_core::{Error, Result};
use aim_stats::{
    adjust::holm,
    interval::{Resampling, ratio_interval, t_interval},
    paired::stratified_sign_flip,
    summary::mean,
    table::{Cell, Column, Table},
};
use aim_train::{config::Planned, experiment::declared, metrics::statistics};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::{
    summary::{Line, lines_in},
    tables::{DRAWS, LEVEL},
};

/// A finished table.
struct Set {
    name: String,
    lines: Vec<Line>,
}

impl Set {
    fn read(folder: &Path) -> Result<Self> {
        let lines = lines_in(folder)?;
        if lines.is_empty() {
            let remedy = "make the table first, and name its folder: runs/synth-av";
            return Err(Error::invalid(folder.display().to_string(), "holds no results", remedy));
        }
        Ok(Self { name: folder.file_name().unwrap_or_default().to_string_lossy().into_owned(), lines })
    }

    fn has(&self, row: &str) -> bool {
        self.lines.iter().any(|line| line.row == row)
    }

    /// Names of the rows, in order.
    fn rows(&self) -> Vec<&str> {
        let mut rows: Vec<&str> = Vec::new();
        for line in self.lines.iter().filter(|line| !line.row.is_empty()) {
            if !rows.contains(&line.row.as_str()) {
                rows.push(&line.row);
            }
        }
        rows
    }

    /// A number of each seed of a row; over folds, whose training sets overlap, their mean.
    fn values(&self, row: &str, of: impl Fn(&Line) -> Option<f64>) -> Vec<(u64, f64)> {
        let mut seeds: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
        for line in self.lines.iter().filter(|line| line.row == row) {
            seeds.entry(line.seed).or_default().extend(of(line));
        }
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        seeds.into_iter().filter(|(_, v)| !v.is_empty()).map(|(seed, values)| (seed, mean(&values))).collect()
    }

    /// Accuracies of two rows, by the seeds that both have.
    fn pairs(&self, a: &str, b: &str) -> (Vec<f64>, Vec<f64>) {
        let accuracy = |line: &Line| Some(line.accuracy);
        paired(&self.values(a, accuracy), &self.values(b, accuracy))
    }

    fn mean(&self, row: &str) -> Result<f64> {
        let values: Vec<f64> = self.values(row, |line| Some(line.accuracy)).into_iter().map(|(_, v)| v).collect();
        mean(&values).map_err(statistics)
    }
}

/// Numbers of the seeds that both have.
fn paired(a: &[(u64, f64)], b: &[(u64, f64)]) -> (Vec<f64>, Vec<f64>) {
    let with = |seed: u64| b.iter().find(|(s, _)| *s == seed).map(|(_, value)| *value);
    a.iter().filter_map(|(seed, value)| Some((*value, with(*seed)?))).unzip()
}

/// What is compared over the tables of these folders: what all of them plan.
///
/// # Errors
/// If they plan nothing, or not the same.
pub fn agreed(folders: &[PathBuf]) -> Result<Planned> {
    let all = folders.iter().map(|folder| declared(folder)).collect::<Result<Vec<_>>>()?;
    let wrong = |folder: &Path, problem: &str| {
        let remedy = "name the rows with --of and --against, which the tables then say were chosen afterwards";
        Error::invalid(folder.display().to_string(), problem, remedy)
    };
    let first = all.first().and_then(Option::as_ref);
    match (first, folders.iter().zip(&all).find(|(_, planned)| planned.as_ref() != first)) {
        (Some(_), Some((folder, _))) => Err(wrong(folder, "does not plan what the other tables do")),
        (Some(planned), None) => Ok(planned.clone()),
        (None, _) => Err(wrong(folders.first().map_or(Path::new(""), PathBuf::as_path), "plans no comparison")),
    }
}

/// The comparisons of a row with others over the tables in these folders; `before` says whether they were planned.
///
/// # Errors
/// If a folder holds no results, they lack a row, or there are fewer than two.
pub fn across(folders: &[PathBuf], planned: &Planned, before: bool) -> Result<Vec<Table>> {
    let sets = folders.iter().map(|folder| Set::read(folder)).collect::<Result<Vec<_>>>()?;
    if sets.len() < 2 {
        return Err(Error::invalid("across", "needs tables of several sets", "name the folders of at least two"));
    }
    for (set, folder) in sets.iter().zip(folders) {
        if let Some(row) = planned.rows().find(|row| !set.has(row)) {
            let (problem, remedy) = (format!("has no row `{row}`"), format!("use one of {}", set.rows().join(", ")));
            return Err(Error::invalid(folder.display().to_string(), problem, remedy));
        }
    }
    Ok(vec![differences(&sets, planned, before)?, standing(&sets, &planned.of)?])
}

fn differences(sets: &[Set], planned: &Planned, before: bool) -> Result<Table> {
    let of = &planned.of;
    let mut columns = vec![Column::text("comparison")];
    columns.extend(sets.iter().map(|set| Column::number(&set.name, 3)));
    columns.extend([Column::number("mean over sets", 3), Column::text("p"), Column::text("Holm")]);
    let mut table = Table::new(columns).with_caption(format!("`{of}` over {} sets", sets.len()));
    let test = |against: &String| {
        let pairs: Vec<_> = sets.iter().map(|set| set.pairs(of, against)).collect();
        stratified_sign_flip(&pairs, DRAWS, &mut ChaCha8Rng::seed_from_u64(0)).map_err(statistics)
    };
    let tests = planned.against.iter().map(test).collect::<Result<Vec<_>>>()?;
    let holm = holm(&tests.iter().map(|test| test.p).collect::<Vec<_>>()).map_err(statistics)?;
    for ((against, test), holm) in planned.against.iter().zip(&tests).zip(holm) {
        let mut cells = vec![Cell::text(format!("{of} - {against}"))];
        for set in sets {
            let (a, b) = set.pairs(of, against);
            let differences: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a - b).collect();
            let interval = t_interval(&differences, LEVEL).ok().map(|interval| interval.within(-1., 1.));
            cells.push(Cell::estimate(mean(&differences).map_err(statistics)?, None, interval));
        }
        cells.extend([Cell::number(test.mean_difference), Cell::p(test.p), Cell::p(holm)]);
        table.push(cells).map_err(statistics)?;
    }
    let chosen = if before {
        "The comparisons were planned in the tables' files."
    } else {
        "ATTENTION: the comparisons were chosen for this page, after the runs."
    };
    table.note(format!(
        "Mean difference of test accuracies by seed, with its 95 % interval (t). p: sign flips of the seeds' differences within \
         each set, of the mean over sets of the mean difference, so that each set counts alike; exact up to 20 pairs, else \
         {DRAWS} patterns. Holm's correction is over these {} tests. They speak of these sets, which were not drawn. {chosen}",
        tests.len()
    ));
    Ok(table)
}

/// Where a row stands in each set, and what its weak modality's encoder regains.
fn standing(sets: &[Set], of: &str) -> Result<Table> {
    let mut table = Table::new(vec![
        Column::text("set"),
        Column::number("rank", 0),
        Column::number("of", 0),
        Column::text("best row"),
        Column::text("weak modality"),
        Column::number("probe joint", 3),
        Column::number(format!("probe {of}"), 3),
        Column::number("probe alone", 3),
        Column::number("regained share, 95 % interval", 2),
    ])
    .with_caption(format!("Where `{of}` stands, and what it regains"));
    let mut ranks = Vec::new();
    for set in sets {
        let mut means = Vec::new();
        for row in set.rows() {
            means.push((row, set.mean(row)?));
        }
        let own = set.mean(of)?;
        let rank = 1 + means.iter().filter(|(_, mean)| *mean > own).count();
        ranks.push(rank as f64);
        let best = means.iter().max_by(|a, b| a.1.total_cmp(&b.1)).map_or("", |(row, _)| row);
        let head =
            [Cell::text(&set.name), Cell::number(rank as f64), Cell::number(means.len() as f64), Cell::text(best)];
        table.push(head.into_iter().chain(regained(set, of)?).collect()).map_err(statistics)?;
    }
    table.note(format!(
        "rank: 1 + the rows whose mean accuracy is higher, of all rows of the set; mean rank {:.1}. Nothing is tested here.",
        mean(&ranks).map_err(statistics)?
    ));
    table.note(format!(
        "Weak is the modality whose encoder, trained alone, has the lowest linear probe. regained share: (`{of}` - joint) / \
         (alone - joint) of that probe's mean accuracies; 0 is what joint training leaves, 1 what the modality learns alone. \
         Interval: percentile bootstrap over seeds, drawn together, {} resamples; none where the gap itself may be 0.",
        Resampling::default().resamples
    ));
    Ok(table)
}

/// The five cells of the weak modality; empty ones where the table has no row of it alone.
fn regained(set: &Set, of: &str) -> Result<[Cell; 5]> {
    let empty = || [(); 5].map(|()| Cell::empty());
    let joint = set.lines.first().map_or("", |line| line.baseline.as_str());
    let alone = set.lines.iter().filter(|line| !line.modalities.contains('+'));
    let mut weakest: Option<(&str, &str, f64)> = None;
    for Line { row, modalities, .. } in alone {
        let probes: Vec<f64> = set.values(row, |line| line.probe(modalities)).into_iter().map(|(_, v)| v).collect();
        let Ok(probe) = mean(&probes) else { continue };
        if weakest.is_none_or(|(.., least)| probe < least) {
            weakest = Some((row, modalities, probe));
        }
    }
    let Some((row, weak, _)) = weakest.filter(|_| set.has(joint)) else { return Ok(empty()) };
    let probes = |row: &str| set.values(row, |line| line.probe(weak));
    let (mine, base, solo) = (probes(of), probes(joint), probes(row));
    // The seeds that all three have.
    let both: Vec<(u64, f64)> = base.iter().filter(|(seed, _)| solo.iter().any(|(s, _)| s == seed)).copied().collect();
    let both: Vec<(u64, f64)> = both.into_iter().filter(|(seed, _)| mine.iter().any(|(s, _)| s == seed)).collect();
    let minus = |values: &[(u64, f64)]| {
        let (a, b) = paired(values, &both);
        a.iter().zip(&b).map(|(a, b)| a - b).collect::<Vec<f64>>()
    };
    let (gain, gap) = (minus(&mine), minus(&solo));
    let average = |values: &[(u64, f64)]| match mean(&values.iter().map(|(_, v)| *v).collect::<Vec<_>>()) {
        Ok(mean) => Cell::number(mean),
        Err(_) => Cell::empty(),
    };
    Ok([Cell::text(weak), average(&base), average(&mine), average(&solo), share(&gain, &gap)])
}

/// What of a gap is regained, with its interval where it has one.
fn share(gain: &[f64], gap: &[f64]) -> Cell {
    let (Ok(gain_mean), Ok(gap_mean)) = (mean(gain), mean(gap)) else { return Cell::empty() };
    if gap_mean <= 0. {
        return Cell::text("no gap");
    }
    let interval = ratio_interval(gain, gap, Resampling::default(), &mut ChaCha8Rng::seed_from_u64(0)).ok();
    Cell::estimate(gain_mean / gap_mean, None, interval)
}
