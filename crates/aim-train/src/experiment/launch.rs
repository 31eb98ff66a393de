//! Who makes the runs of a table: workers of this process, or whatever else is told of the runs' folders.

use std::{
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use aim_core::{Preparation, Result};

use super::{
    Shared,
    jobs::{Task, Work},
    plan,
    results::RunResults,
};

/// What came of a run; nothing of one that is not done yet.
pub type Outcome = Option<Result<RunResults>>;

/// Makes the runs of a table, or has them made.
pub trait Launcher: Sync {
    /// Runs at a time as far as it is known, for the estimate of the plan.
    fn at_a_time(&self) -> usize;

    /// Whether it only shows what it would do, so that nothing is to be noted either.
    fn only_shows(&self) -> bool;

    /// What came of each run, in their order; `table` is the folder of the table.
    ///
    /// # Errors
    /// If runs cannot be handed over; what fails in a single one is its outcome.
    fn launch(&self, runs: &[Wanted<'_>], table: &Path, shared: Shared<'_>) -> Result<Vec<Outcome>>;
}

/// A run of a table that is wanted.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    work: &'a Work<'a>,
    task: &'a Task<'a>,
}

impl<'a> Wanted<'a> {
    pub(super) fn new(work: &'a Work<'a>, task: &'a Task<'a>) -> Self {
        Self { work, task }
    }

    /// Label, seed and fold.
    pub fn title(&self) -> String {
        self.task.title()
    }

    /// Name of its row.
    pub fn row(&self) -> &'a str {
        &self.task.config.name
    }

    /// Makes it, or reads it if it is done, and shows how it goes.
    ///
    /// # Errors
    /// Those of the run.
    pub fn make(&self) -> Result<RunResults> {
        let outcome = self.work.one(self.task);
        let console = self.work.shared.console;
        match &outcome {
            Err(error) if error.is_stop() => {}
            Err(error) => console.failed(&self.task.failure(error)),
            Ok(_) => console.done(),
        }
        outcome
    }

    /// What is known of it without making it: its result, or how it failed elsewhere.
    ///
    /// # Errors
    /// If its folder cannot be read; what is damaged counts as not there.
    pub fn found(&self) -> Result<Outcome> {
        self.work.found(self.task)
    }

    /// Where it lies or is to be made.
    ///
    /// # Errors
    /// If its configuration cannot be written.
    pub fn folder(&self) -> Result<PathBuf> {
        self.work.job(self.task)?.folder(self.work.folder, self.work.shared.registries)
    }

    /// Makes its folder, in which `config.yaml` says what the run is, so that others can make it. What an attempt
    /// before said of its failure is forgotten.
    ///
    /// # Errors
    /// If the folder cannot be written, or belongs to another run.
    pub fn hand_over(&self) -> Result<()> {
        self.work.hand_over(self.task)
    }

    /// What must be trained before it and is not done, each with its folder.
    ///
    /// # Errors
    /// If a configuration cannot be written.
    pub fn preparations(&self) -> Result<Vec<(Preparation, PathBuf)>> {
        self.work.job(self.task)?.missing_preparations(self.work.shared)
    }

    /// Seconds that it takes by the epochs of its row that were timed; none if no run of the row was.
    pub fn seconds(&self) -> Option<f64> {
        let epoch = plan::epoch(self.work.folder, self.row(), self.work.ledger)?;
        Some(epoch * self.task.config.train.epochs as f64)
    }
}

/// Workers of this process, so many at a time.
#[derive(Clone, Copy, Debug)]
pub struct Local(pub usize);

impl Launcher for Local {
    fn at_a_time(&self) -> usize {
        self.0
    }

    fn only_shows(&self) -> bool {
        false
    }

    /// Makes runs side by side; those that were not begun because someone asked to stop have no outcome. What is done
    /// is read first, so that the time that is said to be left is of what is not.
    fn launch(&self, runs: &[Wanted<'_>], _: &Path, shared: Shared<'_>) -> Result<Vec<Outcome>> {
        let (mut order, mut left) = (Vec::new(), Vec::new());
        for (place, run) in runs.iter().enumerate() {
            if run.work.is_done(run.task.config, run.task.seed)? {
                order.push((place, run));
            } else {
                left.push((place, run));
                run.work.job(run.task)?.announce(shared)?;
            }
        }
        let configs: Vec<_> = left.iter().map(|(_, run)| run.task.config).collect();
        if let Some((_, run)) = left.first() {
            run.work.take(&configs, self.0.min(left.len()))?.iter().for_each(|line| shared.console.say(line));
        }
        order.extend(left);
        let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let worker = || {
            while let Some(&(place, run)) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                if shared.stop.asked() {
                    return;
                }
                let outcome = run.make();
                if let Ok(mut done) = done.lock() {
                    done.push((place, outcome));
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..self.0.min(runs.len()) {
                scope.spawn(worker);
            }
        });
        let mut outcomes: Vec<_> = runs.iter().map(|_| None).collect();
        done.into_inner().unwrap_or_default().into_iter().for_each(|(place, outcome)| outcomes[place] = Some(outcome));
        Ok(outcomes)
    }
}
