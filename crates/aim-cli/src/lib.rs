//! The command line as a library: flags and wiring only. [`start`] is a whole program, with what this workspace brings
//! and with entries of your own.
//!
//! ```no_run
//! fn main() -> std::process::ExitCode {
//!     aim_cli::start(&aim_cli::Application::named("mine"))
//! }
//! ```
#![deny(missing_docs)]

mod aa_test;
mod across;
mod application;
mod bench;
mod cluster;
mod config;
mod data;
mod eval;
mod export;
mod interrupt;
mod launch;
mod ledger;
mod list;
mod matrix;
mod methods;
mod power;
mod predict;
mod report;
mod reproduce;
mod sweep;
mod train;

pub use aim_ops::memory::Counted;
pub use application::{Application, OwnCommand};
pub use clap;

use std::{io::Write, path::PathBuf, process::ExitCode};

use aim_core::{Error, Result};
use aim_data::Reading;
use aim_train::run::Program;
use candle_core::Device;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

/// Balanced multimodal learning: train, compare, reproduce.
#[derive(Parser)]
#[command(arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a table: train every row with every seed, print the comparison, write a report page.
    ///
    /// Runs that are done are not repeated, and runs that were stopped go on where they were.
    Reproduce(reproduce::Reproduce),
    /// Search every row of a table with the same number of trials, choose on the validation split, make the table with
    /// what was chosen.
    ///
    /// The table's `sweep` section crosses lists (`grid: {optimizer.lr: [0.001, 0.01]}`) and draws (`random: {trials:
    /// 20, method: [alpha], ranges: {optimizer.lr: {low: 0.0001, high: 0.01, log: true}}}`). Settings under `method`
    /// are drawn as the methods' cards say: words evenly; numbers evenly where the range is no wider than 1, else
    /// evenly in their logarithm from a tenth of the default to ten times it, as far as the range goes; around a
    /// default of 0 from 0 to 1. The first trial is the row as it is written, and trial k is the same in every row.
    /// `seeds` is the number of seeds of a trial. All trials and the choice are in `<row>.search.json` beside the runs.
    /// Runs that are done are not repeated, and runs that were stopped go on where they were.
    Sweep(sweep::Sweep),
    /// Find out how many seeds a table needs for its planned comparisons, from pilot runs.
    ///
    /// Pilots have seeds of their own and do not count in the table. `seeds: auto` then stands for the number that is
    /// printed; `power: {difference: 0.01, chance: 0.8, pilots: 5, least: 5, most: 30}` says what it is to be enough
    /// for.
    Power(power::Power),
    /// Compare a row with others over finished tables of several sets: each set's differences with intervals, one test
    /// by sign flips within each set, ranks, and what the row regains of what joint training loses.
    Across(across::Across),
    /// Look at tables that have been made.
    Report(report::Report),
    /// Write the finished runs of tables as ledgers: small files without weights and predictions, from which
    /// `reproduce --ledger` makes the tables on another machine without training them again.
    Ledger(ledger::Keep),
    /// Say where the runs of tables stand: done, running, queued, failed, by their folders and by Slurm.
    Status(cluster::Tables),
    /// End what waits or runs of tables in Slurm, and nothing else; the command that submitted it does so again.
    Cancel(cluster::Tables),
    /// Make the runs of a task that `--launcher` handed over; this is what its tasks call.
    Work(cluster::Work),
    /// Train one run of a configuration.
    Train(train::Train),
    /// Score a finished or unfinished run's chosen weights on the test split again.
    Eval(eval::Eval),
    /// Score new files with a finished run or with what was exported of one, and write their classes and probabilities
    /// as CSV.
    ///
    /// Columns are `id`, `predicted`, `probability.<class>`, and `<modality>.probability.<class>` where the network has
    /// logits of each modality, empty for samples that lack it. Labels need not be known; of those that are, the share
    /// predicted right is printed. If files cannot be read all of them are listed, and nothing is written.
    Predict(predict::Predict),
    /// Write a finished run's network into a folder of its own: weights, configuration, classes, pre-processing and a
    /// card. `predict --run FOLDER` answers with it in the same bits.
    Export(export::Export),
    /// Test the tests: joint training against joint training with other seeds, where every rejection is a false one.
    ///
    /// Trains pairs of arms of a tiny network and counts how often each paired test of the tables rejects at .05. The
    /// exit status says whether the tests over seeds reject as often as they should.
    AaTest(aa_test::AaTest),
    /// Measure training steps or operations; nothing else should run meanwhile.
    Bench(bench::Bench),
    /// Look at data before training.
    Data(data::Data),
    /// Compare configurations.
    Config(config::Config),
    /// Print the JSON Schema of configuration files, for editors; docs/schema.json is made with it.
    Schema,
    /// List what there is, with settings, defaults and sources.
    List(list::List),
    /// Run a golden step and compare every expected value; the exit status says whether all agree.
    Step {
        /// Folder of the case.
        #[arg(long, value_name = "DIR")]
        case: PathBuf,
        /// Where to train.
        #[arg(long, value_enum, default_value = "cpu")]
        device: DeviceName,
    },
}

/// Exit status of a command whose table is not whole yet: sysexits' word for "try again later".
const LATER: u8 = 75;

/// Exit status of a command that was stopped, as shells have it for Ctrl-C.
const INTERRUPTED: u8 = 130;

/// Where the real data lie and where results go.
#[derive(Args, Clone)]
struct Places {
    /// Folder of the real data sets [default: $AIM_DATA].
    #[arg(long, value_name = "DIR")]
    data_root: Option<PathBuf>,
    /// Folder for run folders.
    #[arg(long, value_name = "DIR", default_value = "runs")]
    out: PathBuf,
    /// Where networks are trained.
    #[arg(long, value_enum, default_value = "cpu")]
    device: DeviceName,
    /// Show no progress.
    #[arg(long)]
    quiet: bool,
    /// Shortest time between two checkpoints of a run; 0 for one after every step.
    #[arg(long, value_name = "SECONDS", default_value_t = 5)]
    checkpoint_every: u64,
    #[command(flatten)]
    reading: ReadingOptions,
}

/// What reading data may use; no bit of a result depends on it.
#[derive(Args, Clone)]
struct ReadingOptions {
    /// Most memory for samples of a prepared set, and of raw files, which are decoded when they are needed if they take
    /// more.
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    memory: usize,
    /// Threads that read the next batches of data which do not lie in memory; 0 reads each when it is needed.
    #[arg(long, value_name = "N", default_value_t = 1)]
    workers: usize,
}

impl ReadingOptions {
    fn reading(&self) -> Reading {
        Reading::new(self.memory, self.workers)
    }
}

/// A kind of device.
#[derive(Clone, Copy, ValueEnum)]
enum DeviceName {
    Cpu,
    /// The first NVIDIA device.
    Cuda,
    /// The same with newer kernels, meant to be faster, which no device has run yet.
    CudaUntried,
    Metal,
}

impl DeviceName {
    fn is_cuda(self) -> bool {
        matches!(self, Self::Cuda | Self::CudaUntried)
    }

    fn open(self) -> Result<Device> {
        let missing = |name: &str, e: candle_core::Error| {
            Error::invalid(
                "--device",
                Error::from(e).to_string(),
                format!("build with --features {name} on a machine that has one"),
            )
        };
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda => Device::new_cuda(0).map_err(|e| missing("cuda", e)),
            Self::CudaUntried => {
                aim_ops::set_kernels(aim_ops::Kernels::Untried);
                Self::Cuda.open()
            }
            Self::Metal => Device::new_metal(0).map_err(|e| missing("metal", e)),
        }
    }
}

/// Processors of this machine.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}

/// What candle and the allocator read as they start; `.cargo/config.toml` sets the same and says why.
const ENVIRONMENT: [(&str, &str); 2] = [("CANDLE_NUM_THREADS", "1"), ("MIMALLOC_PURGE_DELAY", "-1")];

/// Runs the command that the arguments of the process name; the exit status says how it went. A failure is told on
/// standard error.
pub fn start(application: &Application) -> ExitCode {
    with_environment();
    run(application).unwrap_or_else(|error| {
        if error.is_stop() {
            tell(&format!("{error}\n"));
            return ExitCode::from(INTERRUPTED);
        }
        tell(&format!("error: {error}\n"));
        ExitCode::FAILURE
    })
}

/// Starts a binary that was called by itself once more with [`ENVIRONMENT`]. Where that cannot be done everything is as
/// right, but slower.
fn with_environment() {
    let missing = ENVIRONMENT.into_iter().filter(|(name, _)| std::env::var_os(name).is_none());
    let (missing, program) = (missing.collect::<Vec<_>>(), std::env::current_exe());
    if let (false, Ok(program)) = (missing.is_empty(), program) {
        let mut again = std::process::Command::new(program);
        again.args(std::env::args_os().skip(1)).envs(missing);
        #[cfg(unix)]
        let _refused = std::os::unix::process::CommandExt::exec(&mut again);
    }
}

/// Every command of an application with its arguments, under the application's own name and version: for completions,
/// manuals, and tests of what documentation says. [`start`] understands its arguments by it.
///
/// # Errors
/// If a further command has a name that is taken.
pub fn command_line(application: &Application) -> Result<clap::Command> {
    let Program { command, version, .. } = &application.program;
    distinct(&application.commands)?;
    let line = Cli::command().name(command).bin_name(command).version(version);
    Ok(line.subcommands(application.commands.iter().map(|own| own.command.clone())))
}

/// Understands the arguments; help and mistakes end the process.
fn run(application: &Application) -> Result<ExitCode> {
    let matches = command_line(application)?.get_matches();
    if let Some((name, arguments)) = matches.subcommand()
        && let Some(own) = application.commands.iter().find(|own| own.command.get_name() == name)
    {
        return (own.run)(arguments);
    }
    match Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()).command {
        Command::Reproduce(command) => command.run(application),
        Command::Sweep(command) => command.run(application),
        Command::Power(command) => command.run(application),
        Command::Across(command) => command.run(),
        Command::Report(command) => command.run(),
        Command::Ledger(command) => command.run(application),
        Command::Status(tables) => tables.status(),
        Command::Cancel(tables) => tables.cancel(),
        Command::Work(command) => command.run(application),
        Command::Train(command) => command.run(application),
        Command::Eval(command) => command.run(application),
        Command::Predict(command) => command.run(application),
        Command::Export(command) => command.run(application),
        Command::AaTest(command) => command.run(),
        Command::Bench(command) => command.run(),
        Command::Data(command) => command.run(application),
        Command::Config(command) => command.run(application),
        Command::Schema => config::schema(application),
        Command::List(command) => command.run(application),
        Command::Step { case, device } => step(&case, device),
    }
}

/// Refuses further commands whose names are taken.
fn distinct(own: &[OwnCommand]) -> Result<()> {
    let line = Cli::command();
    let mut taken: Vec<&str> = line.get_subcommands().map(|command| command.get_name()).chain(["help"]).collect();
    for name in own.iter().map(|own| own.command.get_name()) {
        if taken.contains(&name) {
            let problem = format!("there is a command `{name}` already");
            return Err(Error::invalid("Application::commands", problem, "give your own another name"));
        }
        taken.push(name);
    }
    Ok(())
}

/// Prints to standard output; whoever closed it, or the terminal that it was, wants no more.
fn print(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe && e.raw_os_error() != Some(TERMINAL_GONE) => {
            Err(Error::io("standard output", e))
        }
        _ => Ok(()),
    }
}

/// Columns of the terminal that standard output is, if it is one.
fn terminal() -> Option<usize> {
    console::Term::stdout().size_checked().map(|(_, columns)| usize::from(columns)).filter(|columns| *columns > 0)
}

/// What writing to a terminal that was closed gives (EIO).
const TERMINAL_GONE: i32 = 5;

/// Prints to standard error, if anybody reads it.
fn tell(text: &str) {
    drop(std::io::stderr().write_all(text.as_bytes()));
}

fn step(case: &std::path::Path, device: DeviceName) -> Result<ExitCode> {
    let verdict = aim_golden::check(case, &device.open()?)?;
    print(&format!("{verdict}\n"))?;
    Ok(if verdict.passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_of_ones_own_has_a_name_of_its_own() {
        let own = |name: &'static str| OwnCommand { command: clap::Command::new(name), run: |_| Ok(ExitCode::SUCCESS) };
        assert!(distinct(&[own("mine"), own("yours")]).is_ok());
        for taken in [vec![own("train")], vec![own("help")], vec![own("mine"), own("mine")]] {
            assert!(distinct(&taken).unwrap_err().to_string().contains("give your own another name"));
        }
    }
}
