//! `ledger`.

use std::{path::PathBuf, process::ExitCode};

use aim_core::Result;
use aim_train::experiment::Ledger;
use clap::Args;

use crate::{Application, print};

/// Folder of the ledgers, in the clone.
pub(crate) const LEDGERS: &str = "docs/results/ledger";

#[derive(Args)]
pub(crate) struct Keep {
    /// Folders of tables that have been made, for instance runs/synth-av.
    #[arg(required = true, value_name = "FOLDER")]
    tables: Vec<PathBuf>,
    /// Folder that the ledgers are written to.
    #[arg(long, value_name = "DIR", default_value = LEDGERS)]
    to: PathBuf,
}

impl Keep {
    pub(crate) fn run(self, application: &Application) -> Result<ExitCode> {
        for table in &self.tables {
            let (path, runs) = Ledger::write(table, &self.to, &application.registries, &|line| eprintln!("{line}"))?;
            print(&format!("{}: {runs} runs\n", path.display()))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
