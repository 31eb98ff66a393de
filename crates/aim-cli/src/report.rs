//! `report`.

use std::{path::PathBuf, process::ExitCode};

use aim_core::Result;
use clap::{Args, Subcommand};

use crate::{print, reproduce::tell_written};

#[derive(Args)]
pub(crate) struct Report {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Lay two tables that have been made side by side: accuracies and probes of their rows, and the differences of
    /// runs with the same seed.
    Compare {
        /// Folder of a table, for instance runs/synth-av.
        first: PathBuf,
        /// Folder of the table that it is compared with.
        second: PathBuf,
        /// Folder that the table and its page are written to.
        #[arg(long, value_name = "DIR", default_value = "runs/compared")]
        out: PathBuf,
        /// Print all columns and notes, even where the terminal is too narrow for them.
        #[arg(long)]
        wide: bool,
    },
}

impl Report {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let What::Compare { first, second, out, wide } = self.what;
        print(&tell_written(&aim_report::write_compared(&first, &second, &out)?, wide))?;
        Ok(ExitCode::SUCCESS)
    }
}
