//! `config` and `schema`.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use aim_core::{Error, Result};
use aim_train::{
    Registries,
    config::{Difference, differences, resolve, text},
};
use clap::{Args, Subcommand};
use serde::Serialize;

use crate::{Application, print};

#[derive(Args)]
pub(crate) struct Config {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Print every key whose value differs once everything is filled in: `KEY: A | B`.
    Diff {
        /// A configuration file or the folder of a run.
        #[arg(value_name = "A")]
        left: PathBuf,
        /// Another.
        #[arg(value_name = "B")]
        right: PathBuf,
        /// The row that is meant where a file is a table; without it, tables are compared as a whole.
        #[arg(long, value_name = "NAME")]
        row: Option<String>,
    },
}

impl Config {
    pub(crate) fn run(self, application: &Application) -> Result<ExitCode> {
        let What::Diff { left, right, row } = self.what;
        print(&diff(&left, &right, row.as_deref(), &application.registries)?)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn diff(left: &Path, right: &Path, row: Option<&str>, registries: &Registries) -> Result<String> {
    let all = differences(&resolve(left, row, registries)?, &resolve(right, row, registries)?);
    // A file knows no checksum of the data until they are read.
    let of_folder = |key: &str| ["data_crc32", "format"].contains(&key) || key.starts_with("revisions");
    let unknown = |d: &Difference| of_folder(&d.key) && (d.left.is_null() || d.right.is_null());
    let line = |d: &Difference| format!("{}: {} | {}\n", d.key, text(&d.left), text(&d.right));
    let lines: String = all.iter().filter(|d| !unknown(d)).map(line).collect();
    Ok(if lines.is_empty() { "no difference\n".into() } else { lines })
}

/// Prints the schema.
pub(crate) fn schema(application: &Application) -> Result<ExitCode> {
    print(&schema_text(&application.registries)?)?;
    Ok(ExitCode::SUCCESS)
}

fn schema_text(registries: &Registries) -> Result<String> {
    let text = serde_json::to_string_pretty(&aim_train::config::schema(registries));
    text.map(|text| text + "\n")
        .map_err(|e| Error::invalid("schema", e.to_string(), "report this fault with the command that met it"))
}

/// A configuration as a file's text.
pub(crate) fn yaml(value: &impl Serialize) -> Result<String> {
    aim_config::yaml::write(value)
        .map_err(|e| Error::invalid("--print-config", e.to_string(), "report this fault with the command that met it"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_schema_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/schema.json");
        let stored = std::fs::read_to_string(path).unwrap_or_default();
        let stored: serde_json::Value = serde_json::from_str(&stored).unwrap_or_default();
        assert!(
            stored == aim_train::config::schema(aim_train::standard()),
            "docs/schema.json differs from the declarations: run `cargo xtask schema > docs/schema.json`"
        );
    }
}
