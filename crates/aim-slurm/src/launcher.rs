//! The launcher: collects what is done and submits what is missing.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use aim_core::{Error, Result};
use aim_train::experiment::{Launcher, Outcome, Shared, Wanted};

use crate::{
    array::{self, Attempt, attempts},
    commands,
    plan::{self, Class, Missing},
    profile::Profile,
    queue::Queue,
    script::Script,
    tasks::{self, Item},
};

/// How a task calls the program.
#[derive(Clone, Debug)]
pub struct Call {
    /// Path of the program, if the profile names none.
    pub program: PathBuf,
    /// Arguments of its command `work`, but for the task.
    pub arguments: Vec<String>,
    /// Folder in which it is called.
    pub folder: PathBuf,
}

/// Has the missing runs of tables made by Slurm.
pub struct Slurm {
    profile: Profile,
    call: Call,
    /// Prints what would be submitted, in its place.
    show: Option<fn(&str) -> Result<()>>,
    left: AtomicUsize,
}

/// Slurm and a table's arrays as they were found.
struct Known<'a> {
    queue: &'a Queue,
    attempts: HashMap<&'a Path, Attempt<'a>>,
}

impl<'a> Known<'a> {
    /// The last attempt at what is made in a folder.
    fn attempt(&self, made: &Path) -> Option<Attempt<'a>> {
        self.attempts.get(made).copied()
    }

    /// The job that is making what belongs in a folder.
    fn going(&self, made: &Path) -> Option<u64> {
        let alive = |attempt: &Attempt<'_>| self.queue.is_alive(attempt.key, &attempt.array.name);
        self.attempt(made).filter(alive).map(|attempt| attempt.key.0)
    }
}

impl Slurm {
    /// Talks to the cluster of this machine; with `show`, what would be submitted is shown only.
    pub fn new(profile: Profile, call: Call, show: Option<fn(&str) -> Result<()>>) -> Self {
        Self { profile, call, show, left: AtomicUsize::new(0) }
    }

    /// Runs that were wanted and are not done.
    pub fn left(&self) -> usize {
        self.left.load(Relaxed)
    }

    /// The queue; where scripts are only shown, Slurm need not be there.
    fn queue(&self) -> Result<Queue> {
        match Queue::read() {
            Err(error) if self.show.is_some() && commands::is_missing(&error) => Ok(Queue::default()),
            queue => queue,
        }
    }

    /// Submits classes of tasks, each in as many arrays as the cluster needs; numbers of the jobs.
    fn submit(&self, classes: &[Class], (table, shared): (&Path, Shared<'_>), after: &[String]) -> Result<Vec<String>> {
        let most = match commands::most_tasks() {
            Err(error) if self.show.is_some() && commands::is_missing(&error) => usize::MAX,
            most => most?,
        };
        let mut jobs = Vec::new();
        let at_once = plan::throttle(classes, most, self.profile.at_once.map(Into::into));
        for Class { resources, needs, tasks } in classes {
            for tasks in tasks.chunks(most) {
                shared.stop.check()?;
                let after = if needs.is_empty() { &[] } else { after };
                let (profile, call) = (&self.profile, &self.call);
                if let Some(show) = self.show {
                    let (folder, name, many) = (&table.join("slurm/new"), "new", tasks.len());
                    let script = Script { profile, call, resources, name, folder, tasks: many, at_once, after };
                    show(&format!("{}\n{}\n", script.text(), tasks::table(tasks)))?;
                    jobs.push("<job>".into());
                    continue;
                }
                let mut array = array::new(table, tasks)?;
                let (folder, name, many) = (&array.folder, &array.name, tasks.len());
                let script = Script { profile, call, resources, name, folder, tasks: many, at_once, after };
                let (text, own) = (script.text(), script.own());
                let job = array.submit(&text, &own)?;
                let (tasks, items) = (tasks.len(), tasks.iter().map(Vec::len).sum::<usize>());
                shared.console.say(&format!("submitted job {job}: {items} runs in {tasks} tasks"));
                jobs.push(job.to_string());
            }
        }
        Ok(jobs)
    }
}

/// A run that is to be submitted, by its place among those that are wanted.
struct Open<'a> {
    run: &'a Wanted<'a>,
    missing: Missing,
}

impl<'a> Open<'a> {
    /// Why an attempt before left no result is told.
    fn new(
        run: &'a Wanted<'a>,
        folder: PathBuf,
        before: Option<Attempt<'_>>,
        known: &Known<'_>,
        shared: Shared<'_>,
    ) -> Self {
        if let Some(attempt) = before {
            let state = known.queue.state(attempt.key, &attempt.array.name).unwrap_or("ended");
            let log = attempt.log().last().map_or(String::new(), |line| format!(" ({line})"));
            shared.console.say(&format!("{}: task {} left no result: {state}{log}", run.title(), attempt.words()));
        }
        let item = Item { folder, preparation: None, title: run.title() };
        Self { run, missing: Missing { item, row: run.row().to_owned(), seconds: None, needs: Vec::new() } }
    }
}

impl Launcher for Slurm {
    fn at_a_time(&self) -> usize {
        self.profile.at_once.map_or(1, Into::into)
    }

    fn only_shows(&self) -> bool {
        self.show.is_some()
    }

    fn launch(&self, runs: &[Wanted<'_>], table: &Path, shared: Shared<'_>) -> Result<Vec<Outcome>> {
        let table = &absolute(table)?;
        // Before the folders are looked at: what ends in between is then taken for alive, and not submitted twice.
        let mut queue = self.queue()?;
        let arrays = array::all(table, &queue)?;
        queue.remember(&arrays.iter().filter_map(|array| array.job).collect::<Vec<_>>());
        let known = Known { queue: &queue, attempts: attempts(&arrays) };
        let (mut outcomes, mut open, mut going) = (Vec::new(), Vec::new(), 0);
        for run in runs {
            let outcome = run.found()?;
            // What diverged would diverge again.
            if outcome.as_ref().is_none_or(|o| o.as_ref().is_err_and(|error| !error.is_divergence())) {
                let folder = absolute(&run.folder()?)?;
                if known.going(&folder).is_some() {
                    going += 1;
                } else {
                    let before = known.attempt(&folder).filter(|_| outcome.is_none());
                    open.push(Open::new(run, folder, before, &known, shared));
                }
            }
            match &outcome {
                Some(Ok(_)) => shared.console.done(),
                Some(Err(error)) => shared.console.failed(&format!("{}: {error}", run.title())),
                None => {}
            }
            outcomes.push(outcome);
        }
        self.left.fetch_add(going + open.len(), Relaxed);
        if going > 0 {
            shared.console.say(&format!("{going} runs wait or run in Slurm"));
        }
        if !open.is_empty() {
            self.hand_over(open, &known, (table, shared))?;
        }
        Ok(outcomes)
    }
}

impl Slurm {
    /// Submits what is missing, preparations that several runs share before the runs.
    fn hand_over(&self, mut open: Vec<Open<'_>>, known: &Known<'_>, to: (&Path, Shared<'_>)) -> Result<()> {
        if self.profile.minutes_per_task.is_some() {
            let mut of_row: BTreeMap<&str, Option<f64>> = BTreeMap::new();
            for Open { run, missing } in &mut open {
                missing.seconds = *of_row.entry(run.row()).or_insert_with(|| run.seconds());
            }
        }
        let preparations = shared_preparations(&mut open)?;
        if self.show.is_none() {
            open.iter().try_for_each(|open| open.run.hand_over())?;
        }
        // Those that an earlier submission is making are waited for like new ones.
        let going = |one: &Missing| known.going(one.item.made());
        let mut after: Vec<String> = preparations.iter().filter_map(|one| Some(going(one)?.to_string())).collect();
        let new: Vec<Missing> = preparations.into_iter().filter(|one| going(one).is_none()).collect();
        after.extend(self.submit(&plan::classes(&new, &self.profile), to, &[])?);
        after.sort();
        after.dedup();
        let runs: Vec<Missing> = open.into_iter().map(|open| open.missing).collect();
        self.submit(&plan::classes(&runs, &self.profile), to, &after).map(drop)
    }
}

/// Preparations that several of these runs need, each once, of which the runs take note; others are made by the runs
/// themselves.
fn shared_preparations(open: &mut [Open<'_>]) -> Result<Vec<Missing>> {
    let mut users: BTreeMap<PathBuf, (String, Vec<usize>)> = BTreeMap::new();
    for (place, Open { run, .. }) in open.iter().enumerate() {
        for (which, folder) in run.preparations()? {
            users.entry(absolute(&folder)?).or_insert_with(|| (which.to_string(), Vec::new())).1.push(place);
        }
    }
    let mut all = Vec::new();
    for (folder, (which, users)) in users.into_iter().filter(|(_, (_, users))| users.len() > 1) {
        users.iter().for_each(|user| open[*user].missing.needs.push(folder.clone()));
        let Missing { item, row, .. } = &open[users[0]].missing;
        let title = format!("{}: {which}", item.title);
        let item = Item { folder: item.folder.clone(), preparation: Some(folder), title };
        all.push(Missing { item, row: row.clone(), seconds: None, needs: Vec::new() });
    }
    Ok(all)
}

/// A path that holds wherever it is read, and is the same however it is spelled: links on the way are followed as far
/// as it exists.
///
/// # Errors
/// If the current folder is not known, or a batch script cannot hold the path.
pub fn absolute(path: &Path) -> Result<PathBuf> {
    let absolute = std::path::absolute(path).map_err(|e| Error::io(path, e))?;
    let real = absolute.ancestors().find_map(|ancestor| {
        let rest = absolute.strip_prefix(ancestor).ok()?;
        let real = ancestor.canonicalize().ok()?;
        Some(if rest.as_os_str().is_empty() { real } else { real.join(rest) })
    });
    let real = real.unwrap_or(absolute);
    match real.to_str() {
        Some(text) if !text.contains(|c: char| c.is_control() || c == '"' || c == '\\') => Ok(real),
        _ => {
            let problem = "has a character that no batch script can hold (a control character, a quote or a backslash)";
            Err(Error::invalid(real.display().to_string(), problem, "choose another folder"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_folder_has_one_path_however_it_is_spelled() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap().join("real");
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, folder.path().join("link")).unwrap();
        assert_eq!(absolute(&folder.path().join("link")).unwrap(), real);
        // What is not there yet is named below what is.
        assert_eq!(absolute(&folder.path().join("link/runs/t")).unwrap(), real.join("runs/t"));
        for name in ["a\nb", "a\"b", "a\\b"] {
            let error = absolute(&folder.path().join(name)).unwrap_err().to_string();
            assert!(error.contains("choose another folder"), "{error}");
        }
    }
}
