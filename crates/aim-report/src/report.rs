//! What a table leaves beside its runs: the tables as text, Markdown, CSV and LaTeX, all results as records, and pages.

use std::path::{Path, PathBuf};

use aim_core::{Error, Result};
use aim_stats::table::{Column, Table, wrapped};
use aim_train::{
    Registries,
    config::{Planned, TableConfig},
    experiment::{Results, RunResults},
    run::write_atomically,
};

use crate::{
    Sections,
    across::{across, lacks},
    classes, compare, comparison, compat, diagnosis, export, lacking, page, planned, protocols,
    sets::Sets,
    summary, verdict,
};

/// What was written.
pub struct Written {
    /// The tables: what was planned, if anything was; the comparison; where test samples lack modalities, if that was
    /// looked at; the diagnosis.
    pub tables: Vec<Table>,
    /// What they say, in words.
    pub verdict: Vec<String>,
    /// The page.
    pub report: PathBuf,
}

impl Written {
    /// Tables and verdict as text: everything, or what a terminal of so many columns has room for.
    pub fn text(&self, columns: Option<usize>) -> String {
        let text = |table: &Table| columns.map_or_else(|| table.to_plain(), |columns| table.to_plain_within(columns));
        let tables: Vec<String> = self.tables.iter().map(text).collect();
        let line = |line: &String| columns.map_or_else(|| line.clone(), |columns| wrapped(line, columns)) + "\n";
        let verdict: String = self.verdict.iter().map(line).collect();
        if verdict.is_empty() { tables.join("\n") } else { [tables.join("\n"), verdict].join("\n") }
    }
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
    let planned = planned(results, &registries.metrics)?;
    planned.as_ref().map_or(Ok(()), |planned| put(&folder, "planned", planned))?;
    let lacking = lacking(results)?;
    lacking.as_ref().map_or(Ok(()), |lacking| put(&folder, "lacking", lacking))?;
    classes(results)?.map_or(Ok(()), |classes| put(&folder, "classes", &classes))?;
    let records = export::records(results)?;
    put_if_new(&folder.join("results.jsonl"), export::to_jsonl(&records).as_bytes())?;
    #[cfg(feature = "parquet")]
    put_if_new(&folder.join("results.parquet"), &export::to_parquet(&records)?)?;
    let report = folder.join("report.html");
    let verdict = verdict(results, &registries.metrics)?;
    let tables: Vec<Table> = planned.into_iter().chain([comparison]).chain(lacking).chain([diagnosis]).collect();
    put_if_new(&report, page::of_table(results, &verdict, &tables, sections).as_bytes())?;
    for row in &results.rows {
        row.runs.iter().try_for_each(|run| write_run(&compat::title(row), run, sections).map(drop))?;
    }
    Ok(Written { tables, verdict, report })
}

/// Writes the page of a run into its folder, if it has one, and says where the page is.
///
/// # Errors
/// If the folder cannot be written.
pub fn write_run(title: &str, run: &RunResults, sections: &Sections) -> Result<Option<PathBuf>> {
    let Some(report) = run.folder.as_ref().map(|folder| folder.join("report.html")) else { return Ok(None) };
    put_if_new(&report, page::of_run(title, run, sections).as_bytes())?;
    Ok(Some(report))
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
    tables.extend(named(over_sets(family, out)?));
    if tables.is_empty() {
        return Ok(None);
    }
    page(&folder, name, &tables).map(Some)
}

/// What is planned, over the sets of a family whose tables are clean and plan the same.
fn over_sets(family: &[TableConfig], out: &Path) -> Result<Vec<Table>> {
    let mut sets = Sets::of(family, out);
    let Some(planned) = sets.tables.iter().find_map(|table| table.planned.clone()) else { return Ok(Vec::new()) };
    let made = sets.tables.len();
    sets.without(|table| match table.planned.as_ref() == Some(&planned) {
        true => lacks(&out.join(&table.name), &planned),
        false => Ok(Some("plans something else".into())),
    })?;
    let folders: Vec<PathBuf> = sets.tables.iter().map(|table| out.join(&table.name)).collect();
    let mut tables = match (made, folders.len()) {
        (0 | 1, _) => return Ok(Vec::new()),
        (_, 0 | 1) => vec![
            Table::new(vec![Column::text("comparison")])
                .with_caption(format!("`{}`: fewer than two sets can be compared", planned.of)),
        ],
        _ => across(&folders, &planned)?,
    };
    tables.iter_mut().take(1).for_each(|table| sets.note(table));
    Ok(tables)
}

/// Writes what is said of one row over finished tables into a folder; the text and the page.
///
/// # Errors
/// If results are missing or damaged, or the folder cannot be written.
pub fn write_across(folders: &[PathBuf], planned: &Planned, into: &Path) -> Result<(String, PathBuf)> {
    page(into, &format!("{} over several sets", planned.of), &named(across(folders, planned)?))
}

/// Writes two finished tables side by side into a folder.
///
/// # Errors
/// If results are missing or damaged, or the folder cannot be written.
pub fn write_compared(first: &Path, second: &Path, into: &Path) -> Result<Written> {
    if into.join("results.jsonl").exists() {
        let remedy = "choose another folder with --out";
        return Err(Error::invalid(into.display().to_string(), "holds a table, whose page would be lost", remedy));
    }
    let table = compare(first, second)?;
    let (title, tables) = (table.caption().unwrap_or_default().to_owned(), vec![("compared".to_owned(), table)]);
    let (_, report) = page(into, &title, &tables)?;
    Ok(Written { tables: tables.into_iter().map(|(_, table)| table).collect(), verdict: Vec::new(), report })
}

fn named(tables: Vec<Table>) -> Vec<(String, Table)> {
    ["across", "standing"].map(Into::into).into_iter().zip(tables).collect()
}

/// Writes tables in every format and their page; the text and the page.
fn page(folder: &Path, title: &str, tables: &[(String, Table)]) -> Result<(String, PathBuf)> {
    for (name, table) in tables {
        put(folder, name, table)?;
    }
    let all: Vec<&Table> = tables.iter().map(|(_, table)| table).collect();
    let report = folder.join("report.html");
    put_if_new(&report, page::of_tables(title, &all).as_bytes())?;
    Ok((all.iter().map(|table| table.to_plain()).collect::<Vec<_>>().join("\n"), report))
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
