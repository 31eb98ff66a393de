//! One row against others over several finished tables: each set's differences, one test over all, ranks, and what the
//! row regains of what joint training loses.

use std::{
    collections::{BTreeMap, BTreeSet},
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
use aim_train::{
    config::{Planned, Protocol},
    experiment::{Declared, declared},
    metrics::statistics,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::{
    compat,
    runs::means,
    summary::{Line, lines_in},
    tables::{DRAWS, LEVEL},
};

/// A finished table.
struct Set {
    name: String,
    folder: PathBuf,
    lines: Vec<Line>,
    /// What it plans, and since when.
    declared: Option<(Planned, Declared)>,
}

impl Set {
    fn read(folder: &Path) -> Result<Self> {
        let lines = lines_in(folder)?;
        if lines.is_empty() {
            let remedy = "make the table first, and name its folder: runs/synth-av";
            return Err(Error::invalid(folder.display().to_string(), "holds no results", remedy));
        }
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { name, folder: folder.to_owned(), lines, declared: declared(folder)? })
    }

    fn of<'a>(&'a self, row: &'a str) -> impl Iterator<Item = &'a Line> {
        self.lines.iter().filter(move |line| line.row == row)
    }

    fn has(&self, row: &str) -> bool {
        self.of(row).next().is_some()
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

    /// A number of each of several rows with the same seed and fold, of the runs that all of them have; over folds each
    /// seed's mean.
    fn together<const N: usize>(&self, rows: [&str; N], of: impl Fn(&Line) -> Option<f64>) -> Vec<[f64; N]> {
        let by_run = rows.map(|row| {
            self.of(row).filter_map(|line| Some(((line.seed, line.fold), of(line)?))).collect::<BTreeMap<_, _>>()
        });
        let runs: BTreeSet<_> = by_run.iter().flat_map(BTreeMap::keys).copied().collect();
        let of_all = |run: (u64, Option<usize>)| {
            let mut numbers = [0.; N];
            for (number, of_row) in numbers.iter_mut().zip(&by_run) {
                *number = *of_row.get(&run)?;
            }
            Some((run.0, numbers))
        };
        means(runs.into_iter().filter_map(of_all))
    }

    /// Accuracies of two rows, pairwise.
    fn pairs(&self, a: &str, b: &str) -> (Vec<f64>, Vec<f64>) {
        self.together([a, b], |line| Some(line.accuracy)).into_iter().map(|[a, b]| (a, b)).unzip()
    }

    /// Mean of a number over a row's runs that have it.
    fn mean(&self, row: &str, of: impl Fn(&Line) -> Option<f64>) -> Result<f64> {
        mean(&self.of(row).filter_map(of).collect::<Vec<_>>()).map_err(statistics)
    }

    /// What is missing to the comparisons, in words.
    fn lacks(&self, planned: &Planned) -> Option<String> {
        let lacking = planned.rows().find(|row| !self.has(row)).map(|row| format!("has no row `{row}`"));
        let apart = || planned.against.iter().find(|against| self.pairs(&planned.of, against).0.is_empty());
        lacking.or_else(|| apart().map(|row| format!("has no seed of both `{}` and `{row}`", planned.of)))
    }

    /// How its runs came before the plan, in words; nothing if they did not.
    fn late(&self, planned: &Planned) -> Option<String> {
        match &self.declared {
            Some((known, when)) if same(known, planned) => (when.runs_before > 0)
                .then(|| format!("{} declared them when {} of its runs were done", self.name, when.runs_before)),
            _ => Some(format!("{} does not plan them", self.name)),
        }
    }
}

/// Whether the same rows are compared.
fn same(a: &Planned, b: &Planned) -> bool {
    (&a.of, &a.against) == (&b.of, &b.against)
}

/// What is compared over the tables of these folders: what all of them plan.
///
/// # Errors
/// If they plan nothing, or not the same.
pub fn agreed(folders: &[PathBuf]) -> Result<Planned> {
    let all = folders.iter().map(|folder| Ok(declared(folder)?.map(|(planned, _)| planned)));
    let all = all.collect::<Result<Vec<_>>>()?;
    let wrong = |folder: &Path, problem: &str| {
        let remedy = "name the rows with --of and --against; the page then says that they were chosen afterwards";
        Error::invalid(folder.display().to_string(), problem, remedy)
    };
    let Some(first) = all.first().and_then(Option::as_ref) else {
        return Err(wrong(folders.first().map_or(Path::new(""), PathBuf::as_path), "plans no comparison"));
    };
    let other = |planned: &Option<Planned>| planned.as_ref().is_none_or(|planned| !same(planned, first));
    match folders.iter().zip(&all).find(|(_, planned)| other(planned)) {
        Some((folder, _)) => Err(wrong(folder, "does not plan what the other tables do")),
        None => Ok(first.clone()),
    }
}

/// What is missing to the comparisons in the table of a folder, in words.
///
/// # Errors
/// If they are damaged.
pub(crate) fn lacks(folder: &Path, planned: &Planned) -> Result<Option<String>> {
    match lines_in(folder)?.is_empty() {
        true => Ok(Some("holds no results".into())),
        false => Ok(Set::read(folder)?.lacks(planned)),
    }
}

/// The comparisons of a row with others over the tables in these folders. It is said whether they were planned before
/// the tables' runs.
///
/// # Errors
/// If a folder holds no results, they lack a row, there are fewer than two, or two are of one set.
pub fn across(folders: &[PathBuf], planned: &Planned) -> Result<Vec<Table>> {
    let sets = folders.iter().map(|folder| Set::read(folder)).collect::<Result<Vec<_>>>()?;
    if sets.len() < 2 {
        return Err(Error::invalid("across", "needs tables of several sets", "name the folders of at least two"));
    }
    let wrong =
        |set: &Set, problem, remedy: String| Err(Error::invalid(set.folder.display().to_string(), problem, remedy));
    for (i, set) in sets.iter().enumerate() {
        if let Some(problem) = set.lacks(planned) {
            return wrong(set, problem, format!("use one of {}", set.rows().join(", ")));
        }
        let of = |set: &Set| set.lines.first().and_then(|line| line.text("set")).map(str::to_owned);
        let place = |set: &Set| set.folder.canonicalize().ok();
        let again = |known: &&Set| place(known) == place(set) || of(known).is_some() && of(known) == of(set);
        if let Some(known) = sets[..i].iter().find(again) {
            let problem = format!("is of the same set as {}", known.folder.display());
            return wrong(set, problem, "name one table a set: each set counts once".into());
        }
    }
    Ok(vec![differences(&sets, planned)?, standing(&sets, &planned.of)?])
}

fn differences(sets: &[Set], planned: &Planned) -> Result<Table> {
    let of = &planned.of;
    let mut columns = vec![Column::text("comparison")];
    columns.extend(sets.iter().map(|set| Column::number(&set.name, 3)));
    columns.extend([Column::number("mean over sets", 3), Column::text("p"), Column::text("Holm (decides)")]);
    let mut table = Table::new(columns).with_caption(format!("`{of}` over {} sets", sets.len()));
    let test = |against: &String| {
        let pairs: Vec<_> = sets.iter().map(|set| set.pairs(of, against)).collect();
        stratified_sign_flip(&pairs, DRAWS, &mut ChaCha8Rng::seed_from_u64(0)).map_err(statistics)
    };
    let tests = planned.against.iter().map(test).collect::<Result<Vec<_>>>()?;
    let holm = holm(&tests.iter().map(|test| test.p).collect::<Vec<_>>()).map_err(statistics)?;
    for ((against, test), holm) in planned.against.iter().zip(&tests).zip(holm) {
        let mut cells = vec![Cell::text(format!("{} - {}", marked(sets, of), marked(sets, against)))];
        for set in sets {
            let (a, b) = set.pairs(of, against);
            let differences: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a - b).collect();
            let interval = t_interval(&differences, LEVEL).ok().map(|interval| interval.within(-1., 1.));
            cells.push(Cell::estimate(mean(&differences).map_err(statistics)?, None, interval));
        }
        cells.extend([Cell::number(test.mean_difference), Cell::p(test.p), Cell::p(holm)]);
        table.push(cells).map_err(statistics)?;
    }
    table.note(format!(
        "Mean difference of test accuracies by seed, with its 95 % interval (t). p: sign flips of the seeds' differences within \
         each set, of the mean over sets of the mean difference, so that each set counts alike; exact up to 20 pairs, else \
         {DRAWS} patterns. Holm's correction is over these {} tests. They speak of these sets, which were not drawn. {}",
        tests.len(),
        when(sets, planned)
    ));
    warnings(&mut table, sets, planned);
    Ok(table)
}

/// A row's name, marked where one of the sets marks it.
fn marked(sets: &[Set], row: &str) -> String {
    let names = sets.iter().flat_map(|set| set.of(row)).map(|line| compat::name_of(row, &line.title));
    names.max_by_key(String::len).unwrap_or_else(|| row.to_owned())
}

/// Whether the comparisons were planned before there was anything to look at.
fn when(sets: &[Set], planned: &Planned) -> String {
    let late: Vec<String> = sets.iter().filter_map(|set| set.late(planned)).collect();
    match late.is_empty() {
        true => "The comparisons were planned before any run of the tables was done.".into(),
        false => format!("ATTENTION: not all comparisons were planned before the runs: {}.", late.join("; ")),
    }
}

/// What a reader of the sets' own tables is warned of, too.
fn warnings(table: &mut Table, sets: &[Set], planned: &Planned) {
    let over_folds = sets.iter().filter(|set| set.lines.iter().any(|line| line.fold.is_some()));
    let over_folds: Vec<&str> = over_folds.map(|set| set.name.as_str()).collect();
    if !over_folds.is_empty() {
        table.note(format!(
            "Over folds, where a seed's difference is its mean over them and says nothing of other folds: {}.",
            over_folds.join(", ")
        ));
    }
    compat::note(table);
    let mut said: BTreeMap<String, BTreeSet<&str>> = BTreeMap::new();
    for set in sets {
        for line in planned.rows().flat_map(|row| set.of(row)) {
            let protocol = line.protocol.and_then(Protocol::warning).map(str::to_owned);
            let provenance = line.text("provenance").map(str::to_owned);
            for warning in protocol.into_iter().chain(provenance) {
                said.entry(warning).or_default().insert(&set.name);
            }
        }
    }
    for (warning, names) in said {
        let all = names.len() == sets.len();
        let whose = if all { String::new() } else { format!("{}: ", Vec::from_iter(names).join(", ")) };
        table.note(whose + &warning);
    }
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
        let accuracy = |line: &Line| Some(line.accuracy);
        let mut means = Vec::new();
        for row in set.rows() {
            means.push((row, set.mean(row, accuracy)?));
        }
        let own = set.mean(of, accuracy)?;
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
         (alone - joint) of that probe's mean accuracies over the runs that all three have; 0 is what joint training leaves, \
         1 what the modality learns alone. Interval: percentile bootstrap over seeds, drawn together, {} resamples; none where \
         the gap itself may be 0.",
        Resampling::default().resamples
    ));
    Ok(table)
}

/// The five cells of the weak modality; empty ones where the table has no row of it alone.
fn regained(set: &Set, of: &str) -> Result<[Cell; 5]> {
    let empty = || [(); 5].map(|()| Cell::empty());
    let joint = set.lines.first().map_or("", |line| line.baseline.as_str());
    let mut weakest: Option<(&str, &str, f64)> = None;
    for Line { row, modalities, .. } in set.lines.iter().filter(|line| !line.modalities.contains('+')) {
        let Ok(probe) = set.mean(row, |line| line.probe(modalities)) else { continue };
        if weakest.is_none_or(|(.., least)| probe < least) {
            weakest = Some((row, modalities, probe));
        }
    }
    let Some((row, weak, _)) = weakest else { return Ok(empty()) };
    let probes = set.together([joint, of, row], |line| line.probe(weak));
    if probes.is_empty() {
        return Ok(empty());
    }
    let column = |i: usize| mean(&probes.iter().map(|of_seed| of_seed[i]).collect::<Vec<_>>()).map_err(statistics);
    let (gain, gap): (Vec<f64>, Vec<f64>) =
        probes.iter().map(|[joint, mine, alone]| (mine - joint, alone - joint)).unzip();
    let [base, mine, alone] = [column(0)?, column(1)?, column(2)?].map(Cell::number);
    Ok([Cell::text(weak), base, mine, alone, share(&gain, &gap)])
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
