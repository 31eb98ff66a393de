//! Rows that do as released code does where that is a fault.

use aim_stats::table::{Content, Table};

use crate::config::RunConfig;

/// Ends the title of such a row.
const MARK: &str = " (compat)";

/// What a reader of such a row must know.
pub(crate) const WARNING: &str = "reproduces a fault of the method's released code (`compat: true`), on which published figures rest; it is not \
     the method as described.";

/// Whether a run is one.
pub(crate) fn reproduces_a_fault(config: &RunConfig) -> bool {
    aim_balance::compat(&config.method).unwrap_or(false)
}

/// The title of a row that was trained so.
pub(super) fn marked(title: &str, config: &RunConfig) -> String {
    title.to_owned() + if reproduces_a_fault(config) { MARK } else { "" }
}

/// Says so under a table that has such rows.
pub(super) fn note(table: &mut Table) {
    let marked = |title: &Content| matches!(title, Content::Text(title) if title.ends_with(MARK));
    if table.rows().iter().any(|row| row.first().is_some_and(|cell| marked(&cell.content))) {
        table.note(format!("A row marked{MARK} {WARNING}"));
    }
}
