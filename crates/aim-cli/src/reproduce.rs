//! `reproduce`.

use std::{collections::BTreeSet, path::PathBuf, process::ExitCode, time::Duration};

use aim_core::{Error, Result};
use aim_data::NewForm;
use aim_report::{Written, power};
use aim_train::{
    Registries,
    config::{Scale, TableConfig, builtin, load_tables},
    experiment::{self, Options, Results},
    run::{Program, Stop},
};
use clap::Args;

use crate::{
    Application, DeviceName, LATER, Places,
    config::yaml,
    cores,
    interrupt::stop_on_interrupt,
    launch::{Chosen, Launching},
    ledger::LEDGERS,
    print, tell, terminal,
};

#[derive(Args)]
pub(crate) struct Reproduce {
    /// Name of a table in configs/ or of one that comes with the program, or a path to a table of your own.
    #[arg(default_value = "synth-av")]
    table: String,
    #[command(flatten)]
    making: Making,
}

/// How much of a table is made, and how.
#[derive(Args)]
pub(crate) struct Making {
    /// Make only this set's table of a file that names several sets.
    #[arg(long, value_name = "NAME")]
    set: Option<String>,
    /// Number of seeds in place of the table's; of pilots, where these are made.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub(crate) seeds: Option<u64>,
    /// Lay the table's `quick` section over it: a short look whether everything works.
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// Lay the table's `full` section over it: more seeds or the whole data set.
    #[arg(long)]
    full: bool,
    /// Settings laid over what all rows share, for instance `train.epochs=20` or `protocol=balancebench`.
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Print the table's resolved configuration, which runs again as it is, and train nothing.
    #[arg(long)]
    print_config: bool,
    /// Take runs from the ledger of the table in this folder in place of training them again; only what it lacks is
    /// trained.
    #[arg(long, value_name = "DIR", num_args = 0..=1, require_equals = true, default_missing_value = LEDGERS)]
    ledger: Option<PathBuf>,
    /// Runs at a time [default: one a processor, one on a GPU].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    jobs: Option<u16>,
    /// Print all columns and notes of the tables, even where the terminal is too narrow for them.
    #[arg(long)]
    wide: bool,
    #[command(flatten)]
    launching: Launching,
    #[command(flatten)]
    places: Places,
}

impl Reproduce {
    pub(crate) fn run(self, application: &Application) -> Result<ExitCode> {
        let tables = self.making.tables(&self.table, &application.registries)?;
        self.making.make(&tables, application)
    }
}

impl Making {
    /// All tables of a file: its name in the folder of the tables, or its path.
    pub(crate) fn tables(&self, name: &str, registries: &Registries) -> Result<Vec<TableConfig>> {
        let scale = match (self.quick, self.full) {
            (true, _) => Scale::Quick,
            (_, true) => Scale::Full,
            _ => Scale::Normal,
        };
        let mut tables = load_tables(&path(name)?, scale, &self.overrides, registries)?;
        if let Some(set) = self.set.as_ref().filter(|_| tables.iter().all(|table| table.set != self.set)) {
            return Err(Error::invalid("--set", format!("no table of `{name}` is of `{set}`"), "see its `sets`"));
        }
        if let Some(seeds) = self.seeds {
            tables.iter_mut().for_each(|table| (table.seeds, table.auto) = (seeds, false));
        }
        Ok(tables)
    }

    /// Makes the pilots of the tables that are wanted, and says how many seeds each needs.
    pub(crate) fn pilots(self, tables: &[TableConfig], application: &Application) -> Result<ExitCode> {
        let wanted: Vec<&TableConfig> = tables.iter().filter(|table| self.wanted(table)).collect();
        if self.print_config {
            return print_config(&wanted);
        }
        let (options, stop) = (self.options(application)?, stop_on_interrupt()?);
        let chosen = self.launching.chosen(&self.places, &options)?;
        for table in wanted {
            let launcher = chosen.launcher();
            let pilots = experiment::run_by(launcher, &table.pilot()?, &options, &stop, &application.registries)?;
            if stop.asked() {
                return Err(Error::Stopped);
            }
            if chosen.left() == 0 && !self.launching.is_dry() {
                let found = power::Found::of(table, &pilots)?;
                found.write(table, &options.out)?;
                print(&format!("{}\n", found.table(table)?.to_plain()))?;
            }
        }
        Ok(self.status(&chosen, true))
    }

    /// Makes the tables that are wanted, one after the other, and says what they say together with those made before.
    pub(crate) fn make(self, tables: &[TableConfig], application: &Application) -> Result<ExitCode> {
        let wanted: Vec<&TableConfig> = tables.iter().filter(|table| self.wanted(table)).collect();
        if self.print_config {
            return print_config(&wanted);
        }
        let (options, stop) = (self.options(application)?, stop_on_interrupt()?);
        let chosen = self.launching.chosen(&self.places, &options)?;
        let (mut whole, dry) = (true, self.launching.is_dry());
        for table in wanted {
            let mut table = table.clone();
            power::settle(&mut table, &options.out)?;
            let results = experiment::run_by(chosen.launcher(), &table, &options, &stop, &application.registries)?;
            whole &= results.failures.is_empty();
            if !dry {
                write(&results, &options, &stop, application, self.wide)?;
            }
        }
        let family = if dry { None } else { aim_report::write_family(tables, &options.out)? };
        if let Some((text, report)) = family {
            print(&format!("{text}\nreport: {}\n", report.display()))?;
        }
        Ok(self.status(&chosen, whole))
    }

    /// How the command went: runs that others still make are no failure.
    fn status(&self, chosen: &Chosen, whole: bool) -> ExitCode {
        match chosen.left() {
            _ if self.launching.is_dry() => ExitCode::SUCCESS,
            0 if whole => ExitCode::SUCCESS,
            0 => ExitCode::FAILURE,
            left => {
                tell(&format!("{left} runs are missing; the same command collects them when they are done\n"));
                ExitCode::from(LATER)
            }
        }
    }

    /// The tables of a file that are to be made.
    fn wanted(&self, table: &TableConfig) -> bool {
        self.set.is_none() || table.set == self.set
    }

    fn options(&self, application: &Application) -> Result<Options> {
        let cpu = matches!(self.places.device, DeviceName::Cpu);
        let jobs = self.jobs.map_or(if cpu { cores() } else { 1 }, usize::from);
        // A machine that hands runs over need not have the device.
        let here = Places { device: self.launching.device(self.places.device), ..self.places.clone() };
        here.options((jobs, (cores() / jobs).max(1)), self.ledger.clone(), &application.program)
    }
}

impl Places {
    /// How so many runs at a time are made here, each with so many threads.
    pub(crate) fn options(
        &self,
        (jobs, threads): (usize, usize),
        ledger: Option<PathBuf>,
        program: &Program,
    ) -> Result<Options> {
        Ok(Options {
            data_root: aim_data::root(self.data_root.clone()),
            out: self.out.clone(),
            jobs,
            threads,
            device: self.device.open()?,
            quiet: self.quiet,
            checkpoint_every: Duration::from_secs(self.checkpoint_every),
            reading: self.reading.reading(),
            program: program.clone(),
            ledger,
        })
    }
}

/// A path as it is; a name in the folder of the tables.
pub(crate) fn path(table: &str) -> Result<PathBuf> {
    let given = PathBuf::from(table);
    if given.extension().is_some_and(|e| e == "yaml" || e == "yml") {
        return Ok(given);
    }
    let path = PathBuf::from(builtin::FOLDER).join(format!("{table}.yaml"));
    if path.exists() || builtin::names().any(|name| name == table) {
        return Ok(path);
    }
    let files = std::fs::read_dir(builtin::FOLDER).into_iter().flatten().flatten();
    let own = files.filter_map(|f| Some(f.path().file_stem()?.to_string_lossy().into_owned()));
    let names: BTreeSet<String> = own.chain(builtin::names().map(Into::into)).collect();
    let names: Vec<String> = names.into_iter().collect();
    let remedy = format!("use one of {}, or a path ending in .yaml", names.join(", "));
    Err(Error::invalid(path.display().to_string(), "does not exist", remedy))
}

/// Prints the one table's resolved configuration.
fn print_config(tables: &[&TableConfig]) -> Result<ExitCode> {
    let [table] = tables else {
        let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
        let problem = format!("the file makes several tables: {}", names.join(", "));
        return Err(Error::invalid(
            "--print-config",
            problem,
            "choose one with --set, and a protocol with `protocols`",
        ));
    };
    print(&yaml(&table.resolved()?)?)?;
    Ok(ExitCode::SUCCESS)
}

/// What a command prints of tables that were written: on a terminal what there is room for, unless all is wanted.
pub(crate) fn tell_written(written: &Written, wide: bool) -> String {
    let columns = if wide { None } else { terminal() };
    let rest = if columns.is_some() { "\n--wide prints every column and note" } else { "" };
    format!("{}\nreport: {}{rest}\n", written.text(columns), written.report.display())
}

/// Writes what came of a table, and says it.
fn write(results: &Results, options: &Options, stop: &Stop, application: &Application, wide: bool) -> Result<()> {
    let Application { registries, sections, .. } = application;
    let written = aim_report::write(results, &options.out, registries, sections)?;
    let answering = answering(results, &options.program.command).unwrap_or_default();
    print(&(tell_written(&written, wide) + &answering))?;
    stop.check()
}

/// The command by which a table's best run answers for new samples, if its set takes any.
fn answering(results: &Results, program: &str) -> Option<String> {
    let run = aim_report::best(results)?;
    let (folder, file) = match (run.folder.as_ref()?, run.config.data.new_form()?) {
        (folder, NewForm::Manifest { .. }) => (folder.display(), "MANIFEST"),
        (folder, NewForm::Arrays) => (folder.display(), "ARRAYS"),
    };
    Some(format!("predict: {program} predict --run {folder} {file} --out predictions.csv\n"))
}
