//! `data`.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use aim_core::Result;
use aim_data::{DatasetSpec, PrepareOptions, Prepared, Preparing, data_card, load, prepare};
use aim_train::{
    config::{Scale, load_tables},
    run::checksum,
};
use clap::{Args, Subcommand};

use crate::{Application, print, reproduce::path, tell};

#[derive(Args)]
pub(crate) struct Data {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Read all data of a table once and print a card of each set: classes by split, missing modalities, ranges of
    /// values, samples of equal content, checksum. Every fault of a manifest is listed.
    Check(Which),
    /// Decode the raw files of a table's data once, into shards on the disk that are then read in their place.
    ///
    /// Says first about how much disk that takes. A preparation that was stopped goes on; what is done is checked, and
    /// made anew where it is damaged. The bytes do not depend on the number of threads.
    Prepare {
        #[command(flatten)]
        which: Which,
        /// Only say how much disk it would take.
        #[arg(long)]
        estimate: bool,
    },
}

/// The data of a table.
#[derive(Args)]
struct Which {
    /// Name of a table in configs/ or of one that comes with the program, or a path to a table of your own.
    table: String,
    /// Settings laid over what all rows share.
    #[arg(value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Folder of the real data sets [default: $AIM_DATA].
    #[arg(long, value_name = "DIR")]
    data_root: Option<PathBuf>,
}

impl Which {
    /// Does something with each data section of the table's rows once.
    fn each(self, application: &Application, act: impl Fn(&DatasetSpec, Option<&Path>) -> Result<()>) -> Result<()> {
        let root = aim_data::root(self.data_root);
        let tables = load_tables(&path(&self.table)?, Scale::Normal, &self.overrides, &application.registries)?;
        let mut told: Vec<&DatasetSpec> = vec![];
        for row in tables.iter().flat_map(|table| &table.rows) {
            let spec = &row.config.data;
            if !told.contains(&spec) {
                act(spec, root.as_deref())?;
                told.push(spec);
            }
        }
        Ok(())
    }
}

impl Data {
    pub(crate) fn run(self, application: &Application) -> Result<ExitCode> {
        match self.command {
            Command::Check(which) => which.each(application, check)?,
            Command::Prepare { which, estimate } => which.each(application, |spec, root| make(spec, root, estimate))?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn check(spec: &DatasetSpec, root: Option<&Path>) -> Result<()> {
    let set = load(spec, root)?;
    print(&format!("{}checksum {:08x}\n", data_card(&set)?, checksum(&set)?))
}

/// Prepares a set, and shows how far it is.
fn make(spec: &DatasetSpec, root: Option<&Path>, only_estimate: bool) -> Result<()> {
    let start = Instant::now();
    let told = |set: &Prepared| {
        print(&format!("{} samples, about {}, into {}\n", set.samples, size(set.bytes), set.folder.display()))
    };
    let progress = |at: Preparing| {
        let left = start.elapsed().as_secs_f64() / at.done.max(1) as f64 * (at.samples - at.done) as f64;
        let left = if at.done == 0 { String::new() } else { format!(", about {left:.0} s left") };
        tell(&format!("\r{} of {} samples, {}{left}    ", at.done, at.samples, size(at.bytes)));
        Ok(())
    };
    let done = prepare(spec, root, &PrepareOptions { only_estimate, told: &told, progress: &progress })?;
    if done.done {
        tell("\n");
        print(&format!("prepared: {} samples, {}\n", done.samples, size(done.bytes)))?;
    }
    Ok(())
}

fn size(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 1024. { format!("{mib:.1} MiB") } else { format!("{:.1} GiB", mib / 1024.) }
}
