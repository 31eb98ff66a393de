//! What the last command set out to make in a table's folder, noted there for whoever asks how far it is. No result,
//! checksum or ledger depends on it.

use std::{collections::BTreeMap, fs, ops::Range, path::Path};

use aim_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::{console::clock, jobs::Work, plan, search};
use crate::{
    config::{RunConfig, Search, TableConfig, Trial},
    run::write_atomically,
};

/// Name of the note in a table's folder.
const NOTE: &str = "agenda.json";

/// Runs of one configuration that are to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Intended {
    /// Name of their row.
    pub row: String,
    /// Name of their folder in the table's; none as long as the row's settings are not chosen.
    pub folder: Option<String>,
    /// Epochs of each.
    pub epochs: usize,
    /// Seeds, of each of which there is a run.
    pub seeds: Vec<u64>,
}

/// Notes the runs of a table, trials among them, by what is chosen so far, if any are to be made. Those that a ledger
/// brings need not be, nor need trials of a choice that is stored, if they are not there.
///
/// # Errors
/// If the note cannot be written.
pub(super) fn note(
    work: &Work<'_>,
    table: &TableConfig,
    (trials, folds): (&[Vec<Trial>], &[Vec<RunConfig>]),
) -> Result<()> {
    if work.launcher.only_shows() {
        return Ok(());
    }
    let item = |config: &RunConfig, seeds: Range<u64>| -> Result<Intended> {
        let (row, folder) = (config.name.clone(), Some(format!("{}.{}", config.name, work.key(config)?)));
        let wanted = |seed: &u64| work.is_kept(config, *seed).map(|kept| (!kept).then_some(*seed)).transpose();
        let seeds = seeds.filter_map(|seed| wanted(&seed)).collect::<Result<_>>()?;
        Ok(Intended { row, folder, epochs: config.train.epochs, seeds })
    };
    let mut items = Vec::new();
    let chosen = search::chosen(work, table, trials)?;
    for (i, ((row, trials), chosen)) in table.rows.iter().zip(trials).zip(chosen).enumerate() {
        for trial in trials {
            let mut item = item(&trial.config, row.tune.as_ref().map_or(0..0, Search::trial_seeds))?;
            let folder = item.folder.as_ref().map(|folder| work.folder.join(folder)).unwrap_or_default();
            item.seeds.retain(|seed| chosen.is_none() || folder.join(format!("seed{seed}")).exists());
            items.push(item);
        }
        let settled = plan::settled(&row.config, trials, chosen, folds.iter().filter_map(|fold| fold.get(i)).collect());
        for config in &settled {
            items.push(item(config, table.run_seeds())?);
        }
        if settled.is_empty() {
            let (row, epochs) = (row.config.name.clone(), row.config.train.epochs);
            items.push(Intended { row, folder: None, epochs, seeds: table.run_seeds().collect() });
        }
    }
    let text = serde_json::to_string(&items)
        .map_err(|e| Error::invalid(NOTE, e.to_string(), "report this fault with the command that met it"))?;
    write_atomically(&work.folder.join(NOTE), text.as_bytes())
}

/// What the last command set out to make in a table's folder; nothing of one that older programs made.
///
/// # Errors
/// If the note is damaged.
pub fn agenda(table: &Path) -> Result<Option<Vec<Intended>>> {
    let path = table.join(NOTE);
    let bytes = match fs::read(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        bytes => bytes.map_err(|e| Error::io(&path, e))?,
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|e| {
        let remedy = "remove the file; the command that makes the table writes it anew";
        Error::invalid(path.display().to_string(), format!("is damaged ({e})"), remedy)
    })
}

/// About how long so many epochs of rows take with so many runs at a time, in words, by the epochs that were timed in a
/// table's folder; rows that never were count as the mean of the others. None if no row was timed.
pub fn time_left(table: &Path, epochs: &BTreeMap<&str, f64>, at_a_time: usize) -> Option<String> {
    let rows = || epochs.iter().map(|(row, epochs)| (plan::epoch(table, row, None), *epochs));
    let known: Vec<f64> = rows().filter_map(|(seconds, _)| seconds).collect();
    let mean = aim_stats::summary::mean(&known).ok()?;
    let seconds: f64 = rows().map(|(seconds, epochs)| seconds.unwrap_or(mean) * epochs).sum();
    Some(format!("about {} left with {at_a_time} at a time", clock(seconds / at_a_time as f64)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_that_of_the_epochs_left_by_those_that_were_timed() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("joint.01234567/seed0");
        fs::create_dir_all(&run).unwrap();
        let left = |epochs: &[(&'static str, f64)]| time_left(folder.path(), &epochs.iter().copied().collect(), 2);
        assert_eq!(left(&[("joint", 10.)]), None);
        fs::write(run.join("timing.jsonl"), "2.0\n4.0\n").unwrap();
        // 10 epochs of 3 s, and 30 of another row that count as much: 120 s for two at a time.
        assert_eq!(left(&[("joint", 10.), ("aim", 30.)]).unwrap(), "about 1 min 00 s left with 2 at a time");
    }

    #[test]
    fn a_damaged_note_is_told_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(agenda(folder.path()).unwrap(), None);
        fs::write(folder.path().join(NOTE), "[{").unwrap();
        let error = agenda(folder.path()).unwrap_err().to_string();
        assert!(error.contains("agenda.json: is damaged") && error.contains("remove the file"), "{error}");
    }
}
