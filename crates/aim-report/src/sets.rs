//! Which tables of a family speak for its sets.

use std::path::Path;

use aim_core::Result;
use aim_stats::table::Table;
use aim_train::config::TableConfig;

/// Of each set the first table that is clean and has been made, and what is left out.
pub(crate) struct Sets<'a> {
    pub tables: Vec<&'a TableConfig>,
    left_out: Vec<String>,
}

impl<'a> Sets<'a> {
    pub fn of(family: &'a [TableConfig], out: &Path) -> Self {
        let mut sets = Self { tables: Vec::new(), left_out: Vec::new() };
        for table in family.iter().filter(|table| out.join(&table.name).join("results.jsonl").exists()) {
            if !is_clean(table) {
                sets.leave_out(table, "its protocol is not clean");
            } else if sets.tables.iter().any(|known| known.set.is_some() && known.set == table.set) {
                sets.leave_out(table, "its set is there by another recipe");
            } else {
                sets.tables.push(table);
            }
        }
        sets
    }

    /// Leaves out what there is a reason for.
    pub fn without(&mut self, reason: impl Fn(&TableConfig) -> Result<Option<String>>) -> Result<()> {
        for table in std::mem::take(&mut self.tables) {
            match reason(table)? {
                Some(reason) => self.leave_out(table, &reason),
                None => self.tables.push(table),
            }
        }
        Ok(())
    }

    fn leave_out(&mut self, table: &TableConfig, reason: &str) {
        self.left_out.push(format!("{} ({reason})", table.name));
    }

    /// Says under a table what it leaves out.
    pub fn note(&self, table: &mut Table) {
        if !self.left_out.is_empty() {
            table.warn(format!("LEFT OUT: {}.", self.left_out.join("; ")));
        }
    }
}

/// Whether all rows of a table are.
pub(crate) fn is_clean(table: &TableConfig) -> bool {
    table.protocols().iter().all(|protocol| protocol.is_clean())
}
