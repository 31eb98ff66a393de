//! What is about to be made, and how long it will take, before it begins.

use std::path::Path;

use aim_core::Result;

use super::{console::clock, jobs::Work, ledger::Ledger, place::keyed};
use crate::config::{RunConfig, TableConfig, Trial};

/// Runs that are left of a row, and the seconds that one takes, if any of the row has been timed.
struct Left {
    runs: usize,
    seconds: Option<f64>,
}

/// The plan of a table in words: runs, how many are done, and the time of the others by the epochs that were timed.
/// Trials whose choice is stored need not be made, and its runs are those of the chosen one; what is run with a choice
/// that is not made yet is left to do.
pub(super) fn plan(
    work: &Work<'_>,
    table: &TableConfig,
    (trials, folds): (&[Vec<Trial>], &[Vec<RunConfig>]),
    chosen: &[Option<usize>],
) -> Result<String> {
    let (mut all, mut tried, mut left) = (0, 0, Vec::new());
    for (i, ((row, trials), chosen)) in table.rows.iter().zip(trials).zip(chosen).enumerate() {
        let settled = settled(&row.config, trials, *chosen, folds.iter().filter_map(|fold| fold.get(i)).collect());
        let mut undone = 0;
        let mut count = |config: &RunConfig, seed: u64, all: &mut usize| -> Result<()> {
            *all += 1;
            undone += usize::from(!work.is_done(config, seed)?);
            Ok(())
        };
        for seed in table.run_seeds() {
            settled.iter().try_for_each(|config| count(config, seed, &mut all))?;
        }
        for trial in trials.iter().filter(|_| chosen.is_none()) {
            let seeds = row.tune.as_ref().map_or(0..0, crate::config::Search::trial_seeds);
            seeds.into_iter().try_for_each(|seed| count(&trial.config, seed, &mut tried))?;
        }
        if settled.is_empty() {
            all += table.seeds as usize;
            undone += table.seeds as usize;
        }
        let seconds = epoch(work.folder, &row.config.name, work.ledger).map(|s| s * row.config.train.epochs as f64);
        left.push(Left { runs: undone, seconds });
    }
    let undone: usize = left.iter().map(|row| row.runs).sum();
    let from = table.seeds_from.as_ref().map_or(String::new(), |from| format!(" ({from})"));
    let trials = if tried == 0 { String::new() } else { format!(" and {tried} trials before") };
    let folds = table.folds.map_or(String::new(), |folds| format!(" on {folds} folds"));
    let (rows, seeds, done) = (table.rows.len(), table.seeds, all + tried - undone);
    let time = time(&left, work.launcher.at_a_time());
    let runs = all + tried;
    Ok(format!("plan: {rows} rows with {seeds} seeds{folds}{from}{trials}: {runs} runs, {done} of them done; {time}"))
}

/// What a row is run with: on every fold, or once; nothing if that is still to be chosen among trials.
pub(super) fn settled<'a>(
    row: &'a RunConfig,
    trials: &'a [Trial],
    chosen: Option<usize>,
    folds: Vec<&'a RunConfig>,
) -> Vec<&'a RunConfig> {
    match (trials, chosen.and_then(|chosen| trials.get(chosen))) {
        (_, Some(trial)) => vec![&trial.config],
        ([], None) if folds.is_empty() => vec![row],
        _ => folds,
    }
}

/// The time that is left, with so many runs at a time; rows that were never timed count as the mean of the others.
fn time(left: &[Left], jobs: usize) -> String {
    let left: Vec<&Left> = left.iter().filter(|row| row.runs > 0).collect();
    let known: Vec<f64> = left.iter().filter_map(|row| row.seconds).collect();
    if left.is_empty() {
        return "nothing is left to do".into();
    }
    if known.is_empty() {
        return "time unknown, because no run of these rows has been timed".into();
    }
    let mean = known.iter().sum::<f64>() / known.len() as f64;
    let seconds: f64 = left.iter().map(|row| row.seconds.unwrap_or(mean) * row.runs as f64).sum();
    let unknown = left.len() - known.len();
    let rest = if unknown == 0 { String::new() } else { format!(", {unknown} of them taken as the others' mean") };
    let hours = seconds / jobs as f64 / 3600.;
    format!(
        "about {:.1} hours ({}) with {jobs} at a time, by the epochs that were timed in {} rows{rest}; what rows need \
         trained before comes on top",
        hours,
        clock(hours * 3600.),
        left.len()
    )
}

/// Mean seconds of an epoch in the runs of a row that lie in the table's folder, whatever their settings, or stand in
/// the ledger; none if there are none.
pub(super) fn epoch(folder: &Path, row: &str, ledger: Option<&Ledger>) -> Option<f64> {
    let entries = |path: &Path| std::fs::read_dir(path).into_iter().flatten().flatten().map(|e| e.path());
    let of_row = |path: &std::path::PathBuf| keyed(path).is_some_and(|(name, _)| name == row);
    let runs = entries(folder).filter(of_row).flat_map(|row| entries(&row).collect::<Vec<_>>());
    let timings = runs.filter_map(|run| std::fs::read_to_string(run.join("timing.jsonl")).ok());
    let lines: Vec<f64> =
        timings.flat_map(|text| text.lines().filter_map(|line| line.parse().ok()).collect::<Vec<f64>>()).collect();
    let all: Vec<f64> = lines.into_iter().chain(ledger.into_iter().flat_map(|l| l.seconds(row)).copied()).collect();
    (!all.is_empty()).then(|| all.iter().sum::<f64>() / all.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::{Scale, Search, Source},
        standard,
    };

    #[test]
    fn a_row_is_run_on_every_fold_or_as_its_search_chose() {
        let text = "name: t\nfolds: all\n\
            data: {name: manifest, file: m.csv, modalities: {x: {array: {file: x.npy}}, y: {array: {file: y.npy}}}, folds: {folds: 4}}\n\
            model: {encoders: {x: {name: mlp, widths: [2]}, y: {name: mlp, widths: [2]}}}\n\
            rows:\n  - {name: joint, method: joint}\n";
        let table = TableConfig::new(Source::parse(Path::new("t.yaml"), text).unwrap(), Scale::Normal, standard());
        let (row, search) = (&table.unwrap().rows[0].config, "grid: {optimizer.lr: [0.1, 0.2]}");
        let search: Search = serde_yaml::from_str(search).unwrap();
        let trials = search.plan("tune", row, standard()).unwrap();
        let folds: Vec<RunConfig> = (0..4).map(|fold| row.on_fold(fold, standard()).unwrap()).collect();
        assert_eq!(settled(row, &[], None, vec![]), [row]);
        assert_eq!(settled(row, &[], None, folds.iter().collect()), folds.iter().collect::<Vec<_>>());
        assert_eq!(settled(row, &trials, Some(1), vec![]), [&trials[1].config]);
        assert_eq!(settled(row, &trials, None, vec![]), [] as [&RunConfig; 0], "its choice is still to be made");
    }

    #[test]
    fn time_is_that_of_what_is_left_on_all_jobs() {
        let row = |runs, seconds| Left { runs, seconds };
        assert_eq!(time(&[row(0, Some(9.))], 1), "nothing is left to do");
        assert!(time(&[row(2, None), row(0, Some(9.))], 1).starts_with("time unknown"));
        // 10 runs of 720 s and 2 runs of the same by the mean, two at a time: 4320 s.
        let said = time(&[row(10, Some(720.)), row(2, None)], 2);
        assert!(said.starts_with("about 1.2 hours (1 h 12 min) with 2 at a time"), "{said}");
        assert!(said.contains("in 2 rows, 1 of them taken as the others' mean"), "{said}");
    }
}
