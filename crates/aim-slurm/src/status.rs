//! Where the runs of a table stand: what their folders say, and what Slurm says of their tasks.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
};

use aim_core::{Error, Result};
use aim_train::run::{Failure, holder};

use crate::{
    array::{self, Attempt, attempts, last_lines},
    commands,
    queue::Queue,
};

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Done,
    /// Where, and how many epochs are done.
    Running(String),
    Queued,
    /// What of, and the last lines of a log.
    Failed(String, Vec<String>),
    /// Nobody is at work, and nobody has been asked to be.
    Open,
}

/// Where the runs of a table stand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    table: PathBuf,
    runs: BTreeMap<PathBuf, State>,
}

/// Where the runs of a table's folder stand. Slurm is asked if anything of the table was submitted.
///
/// # Errors
/// If the folder is no table's, or Slurm does not answer.
pub fn status(table: &Path) -> Result<Status> {
    let place = folder_of(table)?;
    let mut queue = if array::any(&place) { Queue::read()? } else { Queue::default() };
    let arrays = array::all(&place, &queue)?;
    queue.remember(&arrays.iter().filter_map(|array| array.job).collect::<Vec<_>>());
    let attempts = attempts(&arrays);
    let folders = folders(&place)?;
    if folders.is_empty() && arrays.is_empty() {
        let remedy = "name the folder of a table, for instance runs/synth-av";
        return Err(Error::invalid(table.display().to_string(), "holds no runs", remedy));
    }
    let all = folders.iter().map(PathBuf::as_path).chain(attempts.keys().copied());
    let one = |folder: &Path| {
        let short = folder.strip_prefix(&place).unwrap_or(folder).to_owned();
        (short, state(folder, attempts.get(folder).copied(), &queue))
    };
    Ok(Status { table: table.into(), runs: all.map(one).collect() })
}

/// Ends what waits or runs of a table in Slurm, and nothing else; how many jobs that was.
///
/// # Errors
/// If Slurm does not answer.
pub fn cancel(table: &Path) -> Result<usize> {
    let place = folder_of(table)?;
    if !array::any(&place) {
        return Ok(0);
    }
    let queue = Queue::read()?;
    let arrays = array::all(&place, &queue)?;
    let alive = arrays.iter().filter(|array| array.is_alive(&queue));
    let jobs: Vec<u64> = alive.filter_map(|array| array.job).collect();
    if !jobs.is_empty() {
        commands::cancel(&jobs)?;
    }
    Ok(jobs.len())
}

/// The folder of a table by its real path.
fn folder_of(table: &Path) -> Result<PathBuf> {
    let place = table.canonicalize().map_err(|e| Error::io(table, e))?;
    if place.is_dir() {
        return Ok(place);
    }
    let remedy = "name the folder that a table was made in, for instance runs/synth-av";
    Err(Error::invalid(table.display().to_string(), "is no folder", remedy))
}

/// Folders of runs below that of a table.
fn folders(table: &Path) -> Result<Vec<PathBuf>> {
    let below = |folder: &Path| -> Result<Vec<PathBuf>> {
        let entries = fs::read_dir(folder).map_err(|e| Error::io(folder, e))?.flatten();
        let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        Ok(folders.map(|entry| entry.path()).collect())
    };
    let named = |path: &PathBuf, is: fn(&str) -> bool| path.file_name().and_then(|name| name.to_str()).is_some_and(is);
    let is_row = |name: &str| name.rsplit_once('.').is_some_and(|(_, key)| key.len() == 8);
    let mut all = Vec::new();
    for row in below(table)?.into_iter().filter(|path| named(path, is_row)) {
        all.extend(below(&row)?.into_iter().filter(|path| named(path, |name| name.starts_with("seed"))));
    }
    Ok(all)
}

fn state(folder: &Path, attempt: Option<Attempt<'_>>, queue: &Queue) -> State {
    if folder.join("result.json").exists() {
        return State::Done;
    }
    let said = attempt.and_then(|attempt| queue.state(attempt.key, &attempt.array.name));
    let going = attempt.filter(|attempt| queue.is_alive(attempt.key, &attempt.array.name));
    if let Some(failure) = Failure::read(folder) {
        return State::Failed(failure.message, last_lines(&folder.join("log.txt")));
    }
    match (going, attempt) {
        (Some(attempt), _) if said == Some("RUNNING") => match holder(folder) {
            Some(holder) => State::Running(running(folder, &holder.words())),
            // It reads data still, or makes another run of the task.
            None if attempt.array.tasks[attempt.key.1].len() > 1 => State::Queued,
            None => State::Running(running(folder, &format!("task {}", attempt.words()))),
        },
        (Some(_), _) => State::Queued,
        (None, Some(attempt)) => {
            let words = format!("task {} left no result: {}", attempt.words(), said.unwrap_or("ended"));
            State::Failed(words, attempt.log())
        }
        (None, None) => holder(folder).map_or(State::Open, |holder| State::Running(running(folder, &holder.words()))),
    }
}

fn running(folder: &Path, by: &str) -> String {
    let epochs = fs::read_to_string(folder.join("metrics.jsonl")).map_or(0, |text| text.lines().count());
    format!("{by}, {epochs} epochs done")
}

impl Status {
    fn count(&self, is: fn(&State) -> bool) -> usize {
        self.runs.values().filter(|state| is(state)).count()
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            ("done", self.count(|state| *state == State::Done)),
            ("running", self.count(|state| matches!(state, State::Running(_)))),
            ("queued", self.count(|state| *state == State::Queued)),
            ("failed", self.count(|state| matches!(state, State::Failed(..)))),
            ("open", self.count(|state| *state == State::Open)),
        ];
        let counts: Vec<String> = counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
        writeln!(f, "{}: {} runs: {}", self.table.display(), self.runs.len(), counts.join(", "))?;
        for (folder, state) in &self.runs {
            match state {
                State::Running(by) => writeln!(f, "running: {}: {by}", folder.display())?,
                State::Failed(how, log) => {
                    writeln!(f, "failed: {}: {how}", folder.display())?;
                    log.iter().try_for_each(|line| writeln!(f, "    {line}"))?;
                }
                State::Done | State::Queued | State::Open => {}
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_alone_tell_what_is_done_failed_and_open() {
        let folder = tempfile::tempdir().unwrap();
        let table = folder.path().join("t");
        let run = |row: &str, seed: u64| {
            let run = table.join(row).join(format!("seed{seed}"));
            fs::create_dir_all(&run).unwrap();
            run
        };
        fs::write(run("joint.01234567", 0).join("result.json"), "").unwrap();
        let failed = run("joint.01234567", 1);
        Failure::of(&Error::invalid("a.csv", "is empty", "fill it")).note(&failed).unwrap();
        fs::write(failed.join("log.txt"), "one\ntwo\nthree\nfour\nfive\nsix\n").unwrap();
        run("aim.89abcdef", 0);
        run("plots", 0);
        let said = status(&table).unwrap().to_string().replace(&folder.path().display().to_string(), "");
        let wanted = "/t: 3 runs: 1 done, 0 running, 0 queued, 1 failed, 1 open\n\
                      failed: joint.01234567/seed1: a.csv: is empty; fill it\n    two\n    three\n    four\n    five\n    six\n";
        assert_eq!(said, wanted);
        assert!(status(&table.join("plots")).unwrap_err().to_string().contains("holds no runs"));
        assert!(status(&table.join("none")).is_err());
        let file = failed.join("log.txt");
        assert!(
            status(&file).unwrap_err().to_string().contains("is no folder; name the folder that a table was made in")
        );
    }
}
