//! `data`.

use std::{path::PathBuf, process::ExitCode};

use aim_core::Result;
use aim_data::{data_card, load};
use aim_train::{
    config::{Scale, load_tables},
    run::checksum,
};
use clap::{Args, Subcommand};

use crate::{Application, print, reproduce::path};

#[derive(Args)]
pub(crate) struct Data {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Read all data of a table once and print a card of each set: classes by split, missing modalities, ranges of
    /// values, samples of equal content, checksum. Every fault of a manifest is listed.
    Check {
        /// Name of a table in configs/ or of one that comes with the program, or a path to a table of your own.
        table: String,
        /// Settings laid over what all rows share.
        #[arg(value_name = "KEY=VALUE")]
        overrides: Vec<String>,
        /// Folder of the real data sets [default: $AIM_DATA].
        #[arg(long, value_name = "DIR")]
        data_root: Option<PathBuf>,
    },
}

impl Data {
    pub(crate) fn run(self, application: &Application) -> Result<ExitCode> {
        let Command::Check { table, overrides, data_root } = self.command;
        let root = aim_data::root(data_root);
        let tables = load_tables(&path(&table)?, Scale::Normal, &overrides, &application.registries)?;
        let mut told = vec![];
        for row in tables.iter().flat_map(|table| &table.rows) {
            let spec = &row.config.data;
            if told.contains(spec) {
                continue;
            }
            let set = load(spec, root.as_deref())?;
            print(&format!("{}checksum {:08x}\n", data_card(&set)?, checksum(&set)?))?;
            told.push(spec.clone());
        }
        Ok(ExitCode::SUCCESS)
    }
}
