//! Runs the rows of a table with all seeds, several at once.

use std::{
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aim_core::{Error, Result};
use aim_data::Dataset;
use candle_core::Device;
use serde_yaml::Value;

use super::{
    Console, Job, Results, Shared,
    results::{RowResults, RunResults},
};
use crate::{
    config::{Row, TableConfig},
    run::{Folder, Stop, checksum},
};

/// How a table is run; nothing here changes a result.
#[derive(Clone, Debug)]
pub struct Options {
    /// Folder of the real data sets.
    pub data_root: Option<PathBuf>,
    /// Folder under which run folders are made.
    pub out: PathBuf,
    /// Runs at a time.
    pub jobs: usize,
    /// Threads that each run has.
    pub threads: usize,
    /// Where networks are trained.
    pub device: Device,
    /// Whether progress is not shown.
    pub quiet: bool,
    /// Shortest time between two checkpoints of a run; zero for one after every epoch.
    pub checkpoint_every: Duration,
}

/// A data section that has been loaded.
struct Loaded {
    section: Value,
    data: Dataset,
    crc32: u32,
}

/// Trains every row with every seed. A run that fails is reported and does not stop the others; runs that are done are
/// only read, and those begun go on where they stopped.
///
/// # Errors
/// If data cannot be loaded or the folder cannot be used; failures of single runs are in the results.
pub fn run(table: &TableConfig, options: &Options, stop: &Stop) -> Result<Results> {
    let data = load(table, options)?;
    let epochs = table.rows.iter().map(|r| r.config.train.epochs).sum::<usize>() * table.seeds as usize;
    let console = Console::new(epochs, options.quiet);
    // All rows of one seed before the next seed, so that a table that is stopped early is a table of fewer seeds.
    let jobs: Vec<(usize, u64)> =
        (0..table.seeds).flat_map(|seed| (0..table.rows.len()).map(move |row| (row, seed))).collect();
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let shared = Shared {
        out: &options.out,
        device: &options.device,
        console: &console,
        stop,
        checkpoint_every: options.checkpoint_every,
    };
    let worker = || {
        while let Some(&(row, seed)) = jobs.get(next.fetch_add(1, Ordering::Relaxed)).filter(|_| !stop.asked()) {
            let say = |error: &Error| console.say(&format!("{}, seed {seed}: FAILED: {error}", table.rows[row].title));
            let outcome = one(&table.rows[row], seed, &table.name, &data, options, shared);
            outcome.as_ref().err().filter(|error| !error.is_stop()).inspect(|error| say(error));
            if let Ok(mut done) = done.lock() {
                done.push((row, seed, outcome));
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.min(jobs.len()) {
            scope.spawn(worker);
        }
    });
    drop(console);
    let mut done = done.into_inner().unwrap_or_default();
    done.sort_by_key(|(row, seed, _)| (*row, *seed));
    Ok(collect(table, done))
}

fn collect(table: &TableConfig, done: Vec<(usize, u64, Result<RunResults>)>) -> Results {
    let mut rows: Vec<RowResults> = table
        .rows
        .iter()
        .map(|row| RowResults {
            title: row.title.clone(),
            name: row.config.name.clone(),
            config: row.config.clone(),
            runs: Vec::new(),
        })
        .collect();
    let mut failures = Vec::new();
    for (row, seed, outcome) in done {
        match outcome {
            Ok(run) => rows[row].runs.push(run),
            Err(error) if error.is_stop() => {}
            Err(error) => failures.push(format!("{}, seed {seed}: {error}", rows[row].title)),
        }
    }
    Results { table: table.clone(), rows, failures }
}

/// Every data section that the rows name, once.
fn load(table: &TableConfig, options: &Options) -> Result<Vec<Loaded>> {
    let mut all: Vec<Loaded> = Vec::new();
    for row in &table.rows {
        if all.iter().any(|l| l.section == row.config.data) {
            continue;
        }
        let data = aim_data::load(&row.config.data, options.data_root.as_deref())?;
        all.push(Loaded { section: row.config.data.clone(), crc32: checksum(&data), data });
    }
    Ok(all)
}

fn one(
    row: &Row,
    seed: u64,
    table: &str,
    data: &[Loaded],
    options: &Options,
    shared: Shared<'_>,
) -> Result<RunResults> {
    let loaded = data.iter().find(|l| l.section == row.config.data);
    let loaded = loaded.ok_or_else(|| Error::invalid("data", "has not been loaded", "report this"))?;
    let job = Job::new(&row.title, &row.config, seed, &loaded.data, loaded.crc32)?;
    let folder = Folder::open(&job.folder(&options.out.join(table))?, &job.identity())?;
    let read = || RunResults::read(&folder, row.config.train.epochs);
    match read() {
        Ok(Some(done)) => {
            shared.console.skip(row.config.train.epochs);
            return Ok(done);
        }
        Ok(None) => {}
        Err(damage) => folder.reopen(&damage, &|line| shared.console.say(line))?,
    }
    pool(options.threads)?.install(|| job.run(&folder, shared))?;
    read()?.ok_or_else(|| Error::invalid(folder.path().display().to_string(), "has no result", "report this"))
}

/// A run's own threads, so that runs side by side do not wait for each other and its bits do not depend on them.
fn pool(threads: usize) -> Result<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|e| Error::invalid("threads", e.to_string(), "use fewer jobs"))
}
