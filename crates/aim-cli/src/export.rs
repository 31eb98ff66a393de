//! `export`.

use std::{path::PathBuf, process::ExitCode};

use aim_core::Result;
use aim_train::run::export;
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
}

impl Export {
    pub(crate) fn run(self, application: &Application) -> Result<ExitCode> {
        export(&self.run, &self.out, &application.registries)?;
        print(&format!("folder: {}\n", self.out.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}
