//! Rows that do as released code does where that is a fault.

use aim_stats::table::{Content, Table};
use aim_train::{config::RunConfig, experiment::RowResults};

/// Ends the title of such a row, whatever setting of its method does so.
const MARK: &str = " (compat)";

/// What a reader of such a row must know.
pub(crate) const WARNING: &str = "reproduces a fault of the method's released code (`compat: true`, or the setting of the method that stands for \
     the code), on which published figures rest; it is not the method as described.";

/// Whether a run is one.
pub(crate) fn reproduces_a_fault(config: &RunConfig) -> bool {
    config.method.compat()
}

/// The title of a row, marked if it is one.
pub fn title(row: &RowResults) -> String {
    marked(&row.title, reproduces_a_fault(&row.config))
}

/// The name of a row, marked in the same way.
pub(crate) fn name(row: &RowResults) -> String {
    marked(&row.name, reproduces_a_fault(&row.config))
}

/// The name of a row that has this title.
pub(crate) fn name_of(name: &str, title: &str) -> String {
    marked(name, title.ends_with(MARK))
}

fn marked(text: &str, reproduces_a_fault: bool) -> String {
    let mark = if reproduces_a_fault { MARK } else { "" };
    format!("{text}{mark}")
}

/// Says so under a table that has such rows.
pub(crate) fn note(table: &mut Table) {
    let marked = |title: &Content| matches!(title, Content::Text(title) if title.contains(MARK));
    if table.rows().iter().any(|row| row.first().is_some_and(|cell| marked(&cell.content))) {
        table.warn(format!("A row marked{MARK} {WARNING}"));
    }
}
