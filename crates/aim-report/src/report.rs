//! What a table leaves beside its runs: the tables as text, Markdown, CSV and LaTeX, all results as records, and pages.

use std::path::{Path, PathBuf};

use aim_core::{Error, Result};
use aim_stats::table::Table;
use aim_train::{
    Registries,
    config::{RunConfig, TableConfig},
    experiment::{Results, RunResults},
    run::write_atomically,
};

use crate::{Sections, comparison, compat, diagnosis, export, page, protocols, summary};

/// What was written.
pub struct Written {
    /// The comparison as text.
    pub comparison: String,
    /// The diagnosis as text.
    pub diagnosis: String,
    /// The page.
    pub report: PathBuf,
}

/// Writes the tables, the records and the pages of a table into its folder under `out`.
///
/// # Errors
/// If the folder cannot be written.
pub fn write(results: &Results, out: &Path, registries: &Registries, sections: &Sections) -> Result<Written> {
    let folder = out.join(&results.table.name);
    let (comparison, diagnosis) = (comparison(results, &registries.metrics)?, diagnosis(results)?);
    put(&folder, "comparison", &comparison)?;
    put(&folder, "diagnosis", &diagnosis)?;
    let records = export::records(results)?;
    put_if_new(&folder.join("results.jsonl"), export::to_jsonl(&records).as_bytes())?;
    #[cfg(feature = "parquet")]
    put_if_new(&folder.join("results.parquet"), &export::to_parquet(&records)?)?;
    let report = folder.join("report.html");
    put_if_new(&report, page::of_table(results, &[&comparison, &diagnosis], sections).as_bytes())?;
    for row in &results.rows {
        row.runs.iter().try_for_each(|run| write_run(&compat::title(row), &row.config, run, sections).map(drop))?;
    }
    Ok(Written { comparison: comparison.to_plain(), diagnosis: diagnosis.to_plain(), report })
}

/// Writes the page of a run into its folder, and says where it is.
///
/// # Errors
/// If the folder cannot be written.
pub fn write_run(title: &str, config: &RunConfig, run: &RunResults, sections: &Sections) -> Result<PathBuf> {
    let report = run.folder.join("report.html");
    put_if_new(&report, page::of_run(title, config, run, sections).as_bytes())?;
    Ok(report)
}

/// Writes what is said over several tables of a family: over its sets, and over its protocols. The text and the page,
/// if there is something to say.
///
/// # Errors
/// If a table's results are damaged, or the folder cannot be written.
pub fn write_family(family: &[TableConfig], out: &Path) -> Result<Option<(String, PathBuf)>> {
    let Some(name) = family.first().and_then(|table| table.family.as_ref()) else { return Ok(None) };
    let folder = out.join(name);
    let mut tables: Vec<(String, Table)> = summary(family, out)?.map(|t| ("sets".to_owned(), t)).into_iter().collect();
    for (i, table) in protocols(family, out)?.into_iter().enumerate() {
        tables.push((format!("protocols-{}", i + 1), table));
    }
    if tables.is_empty() {
        return Ok(None);
    }
    for (name, table) in &tables {
        put(&folder, name, table)?;
    }
    let all: Vec<&Table> = tables.iter().map(|(_, table)| table).collect();
    let report = folder.join("report.html");
    put_if_new(&report, page::of_tables(name, &all).as_bytes())?;
    Ok(Some((all.iter().map(|table| table.to_plain()).collect::<Vec<_>>().join("\n"), report)))
}

/// Writes a table in every format.
fn put(folder: &Path, name: &str, table: &Table) -> Result<()> {
    std::fs::create_dir_all(folder).map_err(|e| Error::io(folder, e))?;
    let formats = [("md", table.to_markdown()), ("csv", table.to_csv()), ("tex", table.to_latex())];
    let put =
        |(extension, text): (&str, String)| put_if_new(&folder.join(format!("{name}.{extension}")), text.as_bytes());
    formats.into_iter().try_for_each(put)
}

/// Writes a file unless it says so already: reading is far quicker than waiting for the disk.
fn put_if_new(path: &Path, bytes: &[u8]) -> Result<()> {
    if std::fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    write_atomically(path, bytes)
}
