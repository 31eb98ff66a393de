//! What a table leaves beside its runs: the tables as text, Markdown, CSV and LaTeX, and a page.

use std::path::{Path, PathBuf};

use aim_core::{Error, Result};

use super::{comparison, diagnosis, results::Results};
use crate::run::write_atomically;

/// What was written.
pub struct Written {
    /// The comparison as text.
    pub comparison: String,
    /// The diagnosis as text.
    pub diagnosis: String,
    /// The page.
    pub report: PathBuf,
}

/// Writes the tables and the page of a table into its folder under `out`.
///
/// # Errors
/// If the folder cannot be written.
pub fn write(results: &Results, out: &Path) -> Result<Written> {
    let folder = out.join(&results.table.name);
    std::fs::create_dir_all(&folder).map_err(|e| Error::io(&folder, e))?;
    let tables = [("comparison", comparison(results)?), ("diagnosis", diagnosis(results)?)];
    for (name, table) in &tables {
        let put = |extension: &str, text: String| {
            write_atomically(&folder.join(format!("{name}.{extension}")), text.as_bytes())
        };
        put("md", table.to_markdown())?;
        put("csv", table.to_csv())?;
        put("tex", table.to_latex())?;
    }
    let report = folder.join("report.html");
    let [(_, comparison), (_, diagnosis)] = tables;
    write_atomically(&report, crate::page::page(results, &[&comparison, &diagnosis]).as_bytes())?;
    Ok(Written { comparison: comparison.to_plain(), diagnosis: diagnosis.to_plain(), report })
}
