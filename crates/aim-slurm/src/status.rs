//! Where the runs of a table stand: what their folders say, and what Slurm says of their tasks.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
};

use aim_core::{Error, Result};
use aim_train::{
    experiment::{Intended, agenda, time_left},
    run::{Failure, holder},
};

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
    planned: Option<Planned>,
}

/// How far what the last command set out to make is.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Planned {
    all: usize,
    done: usize,
    /// Of these, runs of rows whose settings are still to be chosen, so that they have no folder yet.
    later: usize,
    /// How long the others take, in words, where epochs were timed and any are left.
    left: Option<String>,
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
    let (folders, agenda) = (folders(&place)?, agenda(&place)?);
    if folders.is_empty() && arrays.is_empty() && agenda.is_none() {
        let remedy = "name the folder of a table, for instance runs/synth-av";
        return Err(Error::invalid(table.display().to_string(), "holds no runs", remedy));
    }
    let runs = |item: &Intended| item.seeds.iter().filter_map(|seed| folder_of_run(item, *seed)).collect::<Vec<_>>();
    let wanted: Vec<PathBuf> = agenda.iter().flatten().flat_map(runs).map(|run| place.join(run)).collect();
    let all = folders.iter().chain(&wanted).map(PathBuf::as_path).chain(attempts.keys().copied());
    let one = |folder: &Path| {
        let short = folder.strip_prefix(&place).unwrap_or(folder).to_owned();
        (short, state(folder, attempts.get(folder).copied(), &queue))
    };
    let runs: BTreeMap<PathBuf, State> = all.map(one).collect();
    let planned = agenda.map(|agenda| Planned::of(&place, &agenda, &runs));
    Ok(Status { table: table.into(), runs, planned })
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
    format!("{by}, {} epochs done", epochs_done(folder))
}

fn epochs_done(folder: &Path) -> usize {
    fs::read_to_string(folder.join("metrics.jsonl")).map_or(0, |text| text.lines().count())
}

/// The folder of a run below the table's, if it is known.
fn folder_of_run(item: &Intended, seed: u64) -> Option<PathBuf> {
    item.folder.as_ref().map(|folder| Path::new(folder).join(format!("seed{seed}")))
}

impl Planned {
    fn of(table: &Path, agenda: &[Intended], runs: &BTreeMap<PathBuf, State>) -> Self {
        let (mut all, mut done, mut later, mut running) = (0, 0, 0, 0);
        let mut epochs = BTreeMap::<&str, f64>::new();
        for (item, seed) in agenda.iter().flat_map(|item| item.seeds.iter().map(move |seed| (item, *seed))) {
            let folder = folder_of_run(item, seed);
            later += usize::from(folder.is_none());
            all += 1;
            let left = match folder.as_ref().and_then(|folder| runs.get(folder)) {
                Some(State::Done) => {
                    done += 1;
                    continue;
                }
                Some(State::Failed(..)) => continue,
                Some(State::Running(_)) => {
                    running += 1;
                    let begun = folder.map_or(0, |folder| epochs_done(&table.join(folder)));
                    item.epochs.saturating_sub(begun)
                }
                Some(State::Queued | State::Open) | None => item.epochs,
            };
            *epochs.entry(&item.row).or_default() += left as f64;
        }
        Self { all, done, later, left: time_left(table, &epochs, running.max(1)) }
    }
}

impl fmt::Display for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let left = self.left.as_ref().map_or(String::new(), |left| format!("; {left}, by the epochs that were timed"));
        writeln!(f, "planned: {} runs, {} of them done{left}", self.all, self.done)
    }
}

impl Status {
    fn count(&self, is: fn(&State) -> bool) -> usize {
        self.runs.values().filter(|state| is(state)).count()
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let later = self.planned.as_ref().map_or(0, |planned| planned.later);
        let counts = [
            ("done", self.count(|state| *state == State::Done)),
            ("running", self.count(|state| matches!(state, State::Running(_)))),
            ("queued", self.count(|state| *state == State::Queued)),
            ("failed", self.count(|state| matches!(state, State::Failed(..)))),
            ("open", self.count(|state| *state == State::Open) + later),
        ];
        let counts: Vec<String> = counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
        writeln!(f, "{}: {} runs: {}", self.table.display(), self.runs.len() + later, counts.join(", "))?;
        self.planned.iter().try_for_each(|planned| write!(f, "{planned}"))?;
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
        // What is planned and not begun is open, too; 2 epochs of 3 s each of two runs are left, of one row untimed.
        let agenda = r#"[{"row": "joint", "folder": "joint.01234567", "epochs": 2, "seeds": [0, 1, 2]},
                         {"row": "tuned", "folder": null, "epochs": 2, "seeds": [0]}]"#;
        fs::write(table.join("agenda.json"), agenda).unwrap();
        fs::write(run("joint.01234567", 0).join("timing.jsonl"), "3.0\n").unwrap();
        let said = status(&table).unwrap().to_string();
        assert!(said.contains(": 5 runs: 1 done, 0 running, 0 queued, 1 failed, 3 open\n"), "{said}");
        let planned =
            "planned: 4 runs, 1 of them done; about 12 s left with 1 at a time, by the epochs that were timed\n";
        assert!(said.contains(planned), "{said}");
        assert!(status(&table.join("plots")).unwrap_err().to_string().contains("holds no runs"));
        assert!(status(&table.join("none")).is_err());
        let file = failed.join("log.txt");
        assert!(
            status(&file).unwrap_err().to_string().contains("is no folder; name the folder that a table was made in")
        );
    }
}
