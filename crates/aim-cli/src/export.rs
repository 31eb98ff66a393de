//! `export`.

use std::{path::PathBuf, process::ExitCode};

use aim_core::Result;
use aim_train::run::{export, export_merged};
use clap::Args;

use crate::{Application, print};

#[derive(Args)]
pub(crate) struct Export {
    /// Folder of the run.
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// Folder that is made.
    #[arg(long, value_name = "FOLDER")]
    out: PathBuf,
    /// Add low-rank additions to the weights, for programs that know plain layers alone.
    #[arg(long)]
    merged: bool,
}

impl Export {
    pub(crate) fn run(self, application: &Application) -> Result<ExitCode> {
        let export = if self.merged { export_merged } else { export };
        export(&self.run, &self.out, &application.registries)?;
        print(&format!("folder: {}\n", self.out.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}
