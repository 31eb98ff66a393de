//! Runs the rows of a table with all seeds, several at once.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

use aim_core::{Context, Error, Net, Pass, Result};
use aim_data::{Dataset, DatasetSpec, Demand, Reading};
use candle_core::Device;

use super::{
    Console, Declared, Job, Launcher, Ledger, Local, Results, Shared, agenda,
    job::restrict,
    launch::{self, Wanted},
    needs::{Needs, memory},
    place::place,
    plan::plan,
    results::{RowResults, RunResults},
    search::{self, Settled},
};
use crate::{
    Registries,
    config::{Identity, RunConfig, TableConfig, check_groups},
    run::{Failure, Folder, Lock, Program, PublicWeights, Stop, checksum, lock, network, splits},
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
    /// Shortest time between two checkpoints of a run; zero for one after every step.
    pub checkpoint_every: Duration,
    /// What reading data may use.
    pub reading: Reading,
    /// What results say that they were made by.
    pub program: Program,
    /// Folder of ledgers, whose runs are not made again.
    pub ledger: Option<PathBuf>,
}

/// A data section that has been loaded.
pub(super) struct Loaded {
    section: DatasetSpec,
    pub data: Dataset,
    pub demand: Demand,
    pub crc32: u32,
}

/// What the workers have in common.
pub(super) struct Work<'a> {
    /// Folder of the table.
    pub folder: &'a Path,
    pub options: &'a Options,
    pub shared: Shared<'a>,
    /// Who makes the runs.
    pub launcher: &'a dyn Launcher,
    /// Runs that need not be made.
    pub ledger: Option<&'a Ledger>,
    data: Vec<Loaded>,
    /// Folders that stand for others of older revisions, of which that has been told.
    outdated: Mutex<BTreeSet<PathBuf>>,
}

/// A run that is to be made, and the title that it is shown under.
pub(super) struct Task<'a> {
    pub title: String,
    pub config: &'a RunConfig,
    pub seed: u64,
    /// The fold of its data, in a table over folds.
    pub fold: Option<usize>,
}

/// Every row's configuration on every fold, by fold; nothing unless the table is over folds.
fn folded(table: &TableConfig, registries: &Registries) -> Result<Vec<Vec<RunConfig>>> {
    let of = |fold| table.rows.iter().map(|row| row.config.on_fold(fold, registries)).collect();
    (0..table.folds.unwrap_or(0)).map(of).collect()
}

/// Makes a table by workers of this process.
///
/// # Errors
/// Those of [`run_by`].
pub fn run(table: &TableConfig, options: &Options, stop: &Stop, registries: &Registries) -> Result<Results> {
    run_by(&Local(options.jobs), table, options, stop, registries)
}

/// Trains every row with every seed; a row that is to be tuned with the configuration that its search chooses. A run
/// that fails is reported and does not stop the others; runs that are done are only read, and those begun go on where
/// they stopped.
///
/// # Errors
/// If data cannot be loaded, the folder cannot be used or is in use, or the launcher cannot hand runs over; failures of
/// single runs are in the results.
pub fn run_by(
    launcher: &dyn Launcher,
    table: &TableConfig,
    options: &Options,
    stop: &Stop,
    registries: &Registries,
) -> Result<Results> {
    let (table, weights) = &pinned(table, options, registries)?;
    let folder = options.out.join(&table.name);
    let ledger = options.ledger.as_ref().map(|from| Ledger::read(from, &table.name, registries)).transpose()?.flatten();
    let plans = search::plans(table, registries)?;
    let folds = folded(table, registries)?;
    let rows = table.rows.iter().map(|r| &r.config).filter(|_| folds.is_empty());
    let configs = rows.chain(folds.iter().flatten()).chain(plans.iter().flatten().map(|t| &t.config));
    // A table whose data cannot be used, or with networks that do not fit them, leaves no folder.
    let console = Console::new(options.quiet);
    let data = load(configs.clone(), options)?;
    fit(configs, &data, weights)?;
    let begins = !launcher.only_shows();
    let _lock = begins.then(|| hold(&folder)).transpose()?;
    let declared = if begins { Declared::note(table, &folder, ledger.as_ref())? } else { None };
    data.iter().for_each(|loaded| console.say(&loaded.data.summary()));
    let (out, device, checkpoint_every) = (&options.out, &options.device, options.checkpoint_every);
    let program = &options.program;
    let shared = Shared { out, device, console: &console, stop, checkpoint_every, registries, program, weights };
    tell_of(&table.name, options, ledger.as_ref(), &console);
    let outdated = Mutex::default();
    let work = Work { folder: &folder, options, shared, launcher, ledger: ledger.as_ref(), data, outdated };
    console.say(&plan(&work, table, (&plans, &folds), &search::chosen(&work, table, &plans)?)?);
    agenda::note(&work, table, (&plans, &folds))?;
    let times = table.seeds as usize * folds.len().max(1);
    let epochs = table.rows.iter().map(|r| r.config.train.epochs).sum::<usize>() * times;
    console.expect(table.rows.len() * times, epochs);
    let Settled { configs, choices, mut failures } = search::settle(&work, table, &plans)?;
    agenda::note(&work, table, (&plans, &folds))?;

    // All rows of one seed before the next seed, so that a table that is stopped early is a table of fewer seeds.
    let of_row = |i: usize| Some((i, configs[i].as_ref()?));
    let settled: Vec<(usize, &RunConfig)> = (0..configs.len()).filter_map(of_row).collect();
    let task = |(i, config): (usize, _), seed, fold: Option<usize>| {
        let config = fold.and_then(|fold| folds.get(fold)?.get(i)).unwrap_or(config);
        Task { title: table.rows[i].title.clone(), config, seed, fold }
    };
    let numbers: Vec<Option<usize>> = if folds.is_empty() { vec![None] } else { (0..folds.len()).map(Some).collect() };
    let times = table.run_seeds().flat_map(|seed| numbers.iter().map(move |fold| (seed, *fold)));
    let tasks: Vec<Task<'_>> =
        times.flat_map(|(seed, fold)| settled.iter().map(move |row| task(*row, seed, fold))).collect();
    let mut rows: Vec<RowResults> = table.rows.iter().zip(&configs).map(RowResults::new).collect();
    for (place, outcome) in work.make(&tasks.iter().collect::<Vec<_>>())?.into_iter().enumerate() {
        match outcome {
            Some(Ok(run)) => {
                let fold = tasks[place].fold;
                rows[settled[place % settled.len()].0].runs.push(RunResults { fold, ..run });
            }
            Some(Err(error)) if !error.is_stop() => failures.push(tasks[place].failure(&error)),
            _ => {}
        }
    }
    Ok(Results { table: settled_table(table, &configs, registries)?, rows, failures, choices, declared })
}

/// Says what a ledger that was asked for holds.
fn tell_of(table: &str, options: &Options, ledger: Option<&Ledger>, console: &Console) {
    match (&options.ledger, ledger) {
        (_, Some(ledger)) => console.say(&ledger.summary()),
        (Some(from), None) => console.say(&format!("{} holds no ledger of `{table}`", from.display())),
        (None, None) => {}
    }
}

/// The table with what its searched rows change of their recipe by what was chosen for them.
fn settled_table(table: &TableConfig, configs: &[Option<RunConfig>], registries: &Registries) -> Result<TableConfig> {
    let mut table = table.clone();
    let Some(recipe) = &table.recipe else { return Ok(table) };
    for (row, config) in table.rows.iter_mut().zip(configs) {
        if let (Some(_), Some(config)) = (&row.tune, config) {
            row.departures = recipe.changes(config, registries)?;
        }
    }
    Ok(table)
}

/// The table with the checksums of the public weights that its rows name, and these weights.
fn pinned(table: &TableConfig, options: &Options, registries: &Registries) -> Result<(TableConfig, PublicWeights)> {
    let (mut table, mut weights) = (table.clone(), PublicWeights::default());
    for row in &mut table.rows {
        row.config = weights.pin(&row.config, options.data_root.as_deref(), registries)?;
    }
    Ok((table, weights))
}

/// Keeps other processes from making the same table.
fn hold(folder: &Path) -> Result<Lock> {
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    lock(folder)?.map_err(|by| {
        let remedy = "wait until it is done, or choose another --out";
        Error::invalid(folder.display().to_string(), format!("is in use by {by}"), remedy)
    })
}

/// Every data section that the configurations name, once.
fn load<'a>(configs: impl Iterator<Item = &'a RunConfig>, options: &Options) -> Result<Vec<Loaded>> {
    let mut all: Vec<Loaded> = Vec::new();
    for config in configs {
        loaded(&mut all, config, options)?;
    }
    Ok(all)
}

/// The data of a configuration, which are read if they have not been.
pub(super) fn loaded<'l>(
    all: &'l mut Vec<Loaded>,
    RunConfig { data: section, .. }: &RunConfig,
    options: &Options,
) -> Result<&'l Loaded> {
    let place = match all.iter().position(|loaded| loaded.section == *section) {
        Some(place) => place,
        None => {
            let root = options.data_root.as_deref();
            let (data, demand) = aim_data::load_by(section, root, &options.reading)?;
            all.push(Loaded { section: section.clone(), crc32: checksum(&data)?, data, demand });
            all.len() - 1
        }
    };
    Ok(&all[place])
}

/// Whether every row's network, public weights, batches and class weights fit its data; each is looked at once.
fn fit<'a>(configs: impl Iterator<Item = &'a RunConfig>, data: &[Loaded], weights: &PublicWeights) -> Result<()> {
    let mut seen: Vec<&RunConfig> = Vec::new();
    for config in configs {
        let RunConfig { data: section, model, train, protocol, .. } = config;
        let known = |c: &&RunConfig| (&c.data, &c.model, &c.train, c.protocol) == (section, model, train, *protocol);
        let Some(loaded) = data.iter().find(|l| l.section == config.data).filter(|_| !seen.iter().any(known)) else {
            continue;
        };
        fits(config, &loaded.data, weights).at(|| format!("row `{}`", config.name))?;
        seen.push(config);
    }
    Ok(())
}

/// Whether the network, public weights, groups of parameters, batches and class weights of a configuration fit a data
/// set, whose first samples the network must be able to answer.
///
/// # Errors
/// If one does not.
pub fn fits(config: &RunConfig, data: &Dataset, weights: &PublicWeights) -> Result<()> {
    let data = restrict(config, data)?;
    splits(config, &data, &Device::Cpu)?;
    let net = network(config, &data, 0, &Device::Cpu)?;
    check_groups(&config.train.groups, net.params(), net.spec())?;
    weights.adopt(config, &net)?;
    let few = data.train.batch(&(0..data.train.len().min(2)).collect::<Vec<_>>(), &Device::Cpu)?;
    let net: &dyn Net = &net;
    net.forward(&few, &mut Pass::eval()).map(drop)
}

impl Task<'_> {
    /// Its row, seed and fold.
    pub fn title(&self) -> String {
        let fold = self.fold.map_or_else(String::new, |fold| format!(", fold {fold}"));
        format!("{}, seed {}{fold}", self.title, self.seed)
    }

    /// What is said of one that failed.
    pub fn failure(&self, error: &Error) -> String {
        format!("{}: {error}", self.title())
    }
}

impl Work<'_> {
    /// Has runs made; what comes of each, in their order, and nothing of those that are not done.
    pub fn make(&self, tasks: &[&Task<'_>]) -> Result<Vec<launch::Outcome>> {
        let runs: Vec<Wanted<'_>> = tasks.iter().map(|task| Wanted::new(self, task)).collect();
        self.launcher.launch(&runs, self.folder, self.shared)
    }

    /// What data and these runs, so many at a time, take of the memory; tried with each network, batch and optimizer
    /// once.
    ///
    /// # Errors
    /// If the machine has less.
    pub fn take(&self, configs: &[&RunConfig], at_a_time: usize) -> Result<Option<String>> {
        let (mut needs, mut seen) = (Needs::default(), vec![]);
        for config in configs.iter().filter(|_| self.options.device.is_cpu()) {
            let tried = (&config.data, &config.model, config.train.batch, config.optimizer.name());
            if !seen.contains(&tried) {
                needs = needs.max(Needs::of(config, &self.loaded(config)?.data));
                seen.push(tried);
            }
        }
        memory(&self.data.iter().map(|loaded| loaded.demand).collect::<Vec<_>>(), needs, at_a_time)
    }

    fn loaded(&self, config: &RunConfig) -> Result<&Loaded> {
        let loaded = self.data.iter().find(|l| l.section == config.data);
        loaded.ok_or_else(|| {
            Error::invalid("data", "has not been loaded", "report this fault with the command that met it")
        })
    }

    /// What stands for a configuration in the names of folders.
    pub fn key(&self, config: &RunConfig) -> Result<String> {
        let identity = Identity::new(config, 0, self.loaded(config)?.crc32);
        Ok(place(self.folder, &config.name, &identity, self.shared.registries)?.key)
    }

    /// Tells, once a folder, of finished runs that are those of an older revision of their method.
    fn tell_outdated(&self, task: &Task<'_>, identity: &Identity) -> Result<()> {
        let place = place(self.folder, &task.config.name, identity, self.shared.registries)?;
        let Some(outdated) = place.outdated else { return Ok(()) };
        if self.outdated.lock().is_ok_and(|mut told| told.insert(place.folder)) {
            self.shared.console.say(&format!("{}: its runs are of {outdated}; they are made anew", task.title));
        }
        Ok(())
    }

    /// Whether a run need not be made.
    pub fn is_done(&self, config: &RunConfig, seed: u64) -> Result<bool> {
        let identity = Identity::new(config, seed, self.loaded(config)?.crc32);
        let folder = place(self.folder, &config.name, &identity, self.shared.registries)?.folder;
        let there = folder.join(format!("seed{seed}")).join("result.json").exists();
        Ok(there || self.ledger.is_some_and(|ledger| ledger.find(&identity).is_some()))
    }

    /// Whether the ledger stands for a run.
    pub fn is_kept(&self, config: &RunConfig, seed: u64) -> Result<bool> {
        let Some(ledger) = self.ledger else { return Ok(false) };
        let identity = Identity::new(config, seed, self.loaded(config)?.crc32);
        let folder = place(self.folder, &config.name, &identity, self.shared.registries)?.folder;
        let here = folder.join(format!("seed{seed}")).join("result.json").exists();
        Ok(!here && ledger.find(&identity).is_some())
    }

    /// A task with its data.
    pub fn job<'t>(&self, task: &'t Task<'_>) -> Result<Job<'t>> {
        let loaded = self.loaded(task.config)?;
        Job::new(&task.title, task.config, task.seed, &loaded.data, loaded.crc32)
    }

    /// What is known of a task without making it. A damaged result counts as none, whose run is made anew.
    pub fn found(&self, task: &Task<'_>) -> Result<launch::Outcome> {
        let identity = Identity::new(task.config, task.seed, self.loaded(task.config)?.crc32);
        let place = place(self.folder, &task.config.name, &identity, self.shared.registries)?;
        let folder = place.folder.join(format!("seed{}", task.seed));
        if !folder.join("result.json").exists() {
            let kept = self.ledger.and_then(|ledger| ledger.find(&identity));
            return Ok(kept.map(Ok).or_else(|| Some(Err(Failure::read(&folder)?.error(&folder)))));
        }
        match RunResults::read(&Folder::look(&folder, &identity), task.config) {
            Ok(found) => Ok(found.map(Ok)),
            Err(Error::Invalid { .. }) => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// Makes the folder of a task for others to make its run in, unless it is there: they look whether it is their
    /// run's.
    pub fn hand_over(&self, task: &Task<'_>) -> Result<()> {
        let (job, registries) = (self.job(task)?, self.shared.registries);
        let folder = job.folder(self.folder, registries)?;
        if !folder.join("config.yaml").exists() {
            self.tell_outdated(task, &job.identity())?;
            drop(Folder::open(&folder, &job.identity(), registries)?);
        }
        Failure::forget(&folder)
    }

    /// Makes a task here, or reads what was made of it.
    pub fn one(&self, task: &Task<'_>) -> Result<RunResults> {
        let (console, epochs) = (self.shared.console, task.config.train.epochs);
        let (job, registries) = (self.job(task)?, self.shared.registries);
        let folder = job.folder(self.folder, registries)?;
        let kept = self.ledger.filter(|_| !folder.join("result.json").exists()).and_then(|l| l.find(&job.identity()));
        if let Some(kept) = kept {
            console.skip(epochs);
            return Ok(kept);
        }
        self.tell_outdated(task, &job.identity())?;
        let folder = Folder::open(&folder, &job.identity(), registries)?;
        job.keep_preprocessing(&folder)?;
        if let Some(done) = RunResults::whole(&folder, task.config, &|line| console.say(line))? {
            console.skip(epochs);
            return Ok(done);
        }
        Failure::forget(folder.path())?;
        let made = pool(self.options.threads)?.install(|| job.run(&folder, self.shared));
        Failure::keep(&made, folder.path())?;
        made?;
        RunResults::read(&folder, task.config)?.ok_or_else(|| {
            Error::invalid(
                folder.path().display().to_string(),
                "has no result",
                "report this fault with the command that met it",
            )
        })
    }
}

/// A run's own threads, so that runs side by side do not wait for each other and its bits do not depend on them.
pub(super) fn pool(threads: usize) -> Result<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .map_err(|e| Error::invalid("threads", e.to_string(), "use fewer jobs"))
}
