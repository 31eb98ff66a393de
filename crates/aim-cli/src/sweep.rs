//! `sweep`.

use std::process::ExitCode;

use aim_core::{Context, Result};
use aim_train::config::TableConfig;
use clap::Args;

use crate::{Application, reproduce::Making};

#[derive(Args)]
pub(crate) struct Sweep {
    /// Name of a table in configs/ or of one that comes with the program, or a path to a table of your own; its `sweep`
    /// section says what is tried.
    #[arg(long, value_name = "FILE")]
    config: String,
    #[command(flatten)]
    making: Making,
}

impl Sweep {
    pub(crate) fn run(self, application: &Application) -> Result<ExitCode> {
        let tables = self.making.tables(&self.config, &application.registries)?;
        let swept = tables
            .into_iter()
            .map(|table: TableConfig| table.swept(&application.registries))
            .collect::<Result<Vec<_>>>();
        self.making.make(&swept.at(|| self.config.clone())?, application)
    }
}
