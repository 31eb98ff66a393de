//! Rows that do as released code does where that is a fault.

use aim_stats::table::{Content, Table};
use aim_train::{config::RunConfig, experiment::RowResults};

/// Ends the title of such a row.
const MARK: &str = " (compat)";

/// What a reader of such a row must know.
pub(crate) const WARNING: &str = "reproduces a fault of the method's released code (`compat: true`), on which published figures rest; it is not \
     the method as described.";

/// Whether a run is one.
pub(crate) fn reproduces_a_fault(config: &RunConfig) -> bool {
    config.method.compat()
}

/// The title of a row, marked if it is one.
pub fn title(row: &RowResults) -> String {
    row.title.clone() + if reproduces_a_fault(&row.config) { MARK } else { "" }
}

/// Says so under a table that has such rows.
pub(crate) fn note(table: &mut Table) {
    let marked = |title: &Content| matches!(title, Content::Text(title) if title.ends_with(MARK));
    if table.rows().iter().any(|row| row.first().is_some_and(|cell| marked(&cell.content))) {
        table.note(format!("A row marked{MARK} {WARNING}"));
    }
}
