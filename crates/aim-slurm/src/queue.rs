//! What Slurm says of tasks.

use std::collections::BTreeMap;

use aim_core::Result;

use crate::commands;

/// A task of a job.
pub(crate) type Key = (u64, usize);

/// Tasks of this user's jobs, as far as Slurm still remembers them.
#[derive(Default)]
pub(crate) struct Queue(BTreeMap<Key, Entry>);

struct Entry {
    /// Of the job.
    name: String,
    state: String,
}

/// States of tasks that Slurm makes nothing of any more; of what it calls otherwise it may.
const ENDED: [&str; 12] = [
    "BOOT_FAIL",
    "CANCELLED",
    "COMPLETED",
    "DEADLINE",
    "FAILED",
    "LAUNCH_FAILED",
    "NODE_FAIL",
    "OUT_OF_MEMORY",
    "PREEMPTED",
    "RECONFIG_FAIL",
    "REVOKED",
    "TIMEOUT",
];

impl Queue {
    /// Asks Slurm.
    pub fn read() -> Result<Self> {
        commands::queue().map(|text| Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let entry = |line: &str| {
            let mut cells = line.split('|');
            let key = (cells.next()?.parse().ok()?, cells.next()?.parse().ok()?);
            let [name, state] = [cells.next()?, cells.next()?].map(ToOwned::to_owned);
            Some((key, Entry { name, state }))
        };
        Self(text.lines().filter_map(entry).collect())
    }

    /// Adds what the accounts say of jobs that the queue has forgotten.
    pub fn remember(&mut self, jobs: &[u64]) {
        let forgotten = |job: &u64| self.0.range((*job, 0)..=(*job, usize::MAX)).next().is_none();
        let jobs: Vec<u64> = jobs.iter().copied().filter(forgotten).collect();
        if !jobs.is_empty() {
            self.add(&commands::accounts(&jobs));
        }
    }

    fn add(&mut self, accounts: &str) {
        let entry = |line: &str| {
            let mut cells = line.split('|');
            let (job, task) = cells.next()?.split_once('_')?;
            let [name, state] = [cells.next()?, cells.next()?].map(ToOwned::to_owned);
            // CANCELLED by 1000
            let state = state.split_whitespace().next().unwrap_or_default().to_owned();
            Some(((job.parse().ok()?, task.parse().ok()?), Entry { name, state }))
        };
        self.0.extend(accounts.lines().filter_map(entry));
    }

    /// The job of this name, if the queue has one.
    pub fn job(&self, name: &str) -> Option<u64> {
        self.0.iter().find(|(_, entry)| entry.name == name).map(|((job, _), _)| *job)
    }

    /// State of a task of a job, which must have this name: numbers of jobs may begin again.
    pub fn state(&self, key: Key, name: &str) -> Option<&str> {
        self.0.get(&key).filter(|entry| entry.name == name).map(|entry| entry.state.as_str())
    }

    /// Whether a task waits or runs.
    pub fn is_alive(&self, key: Key, name: &str) -> bool {
        self.state(key, name).is_some_and(|state| !ENDED.contains(&state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_squeue_and_sacct_are_understood() {
        let mut queue = Queue::parse("12|0|t.1|RUNNING\n12|1|t.1|PENDING\n12|2|t.1|TIMEOUT\n9|N/A|x|RUNNING\n");
        assert_eq!(queue.state((12, 0), "t.1"), Some("RUNNING"));
        assert_eq!([0, 1, 2, 3].map(|task| queue.is_alive((12, task), "t.1")), [true, true, false, false]);
        assert!(!queue.is_alive((12, 0), "another's"));
        assert_eq!((queue.job("t.1"), queue.job("x")), (Some(12), None));
        queue.add("13_4|t.2|CANCELLED by 1000\n13_[5-9]|t.2|PENDING\n13_4.batch|t.2|FAILED\n");
        assert_eq!(queue.state((13, 4), "t.2"), Some("CANCELLED"));
        assert_eq!(queue.state((13, 5), "t.2"), None);
    }
}
