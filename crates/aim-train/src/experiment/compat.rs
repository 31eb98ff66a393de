//! Rows that do as released code does where that is a fault.

use aim_stats::table::{Content, Table};

use crate::config::COMPAT;

/// What a reader of such a row must know.
pub(crate) const WARNING: &str = "reproduces a fault of the method's released code (`compat: true`), on which published figures rest; it is not \
     the method as described.";

/// Says so under a table that has such rows.
pub(super) fn note(table: &mut Table) {
    let marked = |title: &Content| matches!(title, Content::Text(title) if title.ends_with(COMPAT));
    if table.rows().iter().any(|row| row.first().is_some_and(|cell| marked(&cell.content))) {
        table.note(format!("A row marked{COMPAT} {WARNING}"));
    }
}
