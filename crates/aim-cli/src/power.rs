//! `power`.

use std::process::ExitCode;

use aim_core::{Context, Result};
use clap::Args;

use crate::{Application, reproduce::Making};

#[derive(Args)]
pub(crate) struct Power {
    /// Name of a table in configs/ or of one that comes with the program, or a path to a table of your own.
    #[arg(value_name = "TABLE")]
    table: String,
    /// For the table that `sweep` makes: every planned row is searched first.
    #[arg(long)]
    sweep: bool,
    #[command(flatten)]
    making: Making,
}

impl Power {
    pub(crate) fn run(self, application: &Application) -> Result<ExitCode> {
        let Self { table, sweep, mut making } = self;
        let pilots = making.seeds.take();
        let mut tables = making.tables(&table, &application.registries)?;
        if let Some(pilots) = pilots {
            tables.iter_mut().for_each(|table| table.power.pilots = pilots);
        }
        if sweep {
            let swept = tables.into_iter().map(|table| table.swept(&application.registries));
            tables = swept.collect::<Result<_>>().at(|| table)?;
        }
        making.pilots(&tables, application)
    }
}
