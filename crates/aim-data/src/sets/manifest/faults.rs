//! All faults of a manifest at once.

use std::path::Path;

use aim_core::{Error, Result};

/// Most faults that are listed.
const LISTED: usize = 50;

/// What is wrong with rows, by line.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<(usize, String)>);

impl Faults {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Notes a fault of the row in a line.
    pub fn add(&mut self, line: usize, fault: impl Into<String>) {
        self.0.push((line, fault.into()));
    }

    /// Keeps a value, or notes why there is none.
    pub fn keep<T>(&mut self, line: usize, value: Result<T, String>) -> Option<T> {
        value.map_err(|fault| self.add(line, fault)).ok()
    }

    /// An error that lists the faults, if there are any.
    ///
    /// # Errors
    /// If there is a fault.
    pub fn refuse(mut self, file: &Path) -> Result<()> {
        if self.0.is_empty() {
            return Ok(());
        }
        // One file may be read twice.
        self.0.sort();
        self.0.dedup();
        let total = self.0.len();
        let mut problem = if total == 1 { String::from("a fault") } else { format!("{total} faults") };
        for (line, fault) in self.0.iter().take(LISTED) {
            problem += &format!("\n  line {line}: {fault}");
        }
        if total > LISTED {
            problem += &format!("\n  and {} more", total - LISTED);
        }
        Err(Error::invalid(file.display().to_string(), problem, "mend these rows or take them out; none is skipped"))
    }
}
