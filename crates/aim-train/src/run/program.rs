//! The program that makes a run, as its result names it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Program and processor that a result comes from. Results of one configuration have the same bits only where these
/// agree.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Program {
    /// Command that starts the program; pages and messages name it.
    #[serde(default = "workspace")]
    pub command: String,
    /// Version of the program; empty for results of programs before this was noted.
    pub version: String,
    /// Commit that it was built from, if that was known.
    pub commit: Option<String>,
    /// Instruction set of the CPU kernels.
    pub instructions: String,
}

/// The command of every program before it was noted.
fn workspace() -> String {
    "cargo xtask".into()
}

impl Program {
    /// What stands for the program of a result that names none.
    pub(super) fn older() -> Self {
        Self { command: workspace(), ..Self::default() }
    }

    /// A program of this library's version on this processor: the command that starts it, and the commit that it was
    /// built from, if that is known.
    pub fn here(command: &str, commit: Option<&str>) -> Self {
        Self {
            command: command.into(),
            version: env!("CARGO_PKG_VERSION").into(),
            commit: commit.map(Into::into),
            instructions: aim_ops::instruction_set().into(),
        }
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { command: _, version, commit, instructions } = self;
        if version.is_empty() {
            return write!(f, "an older program");
        }
        let commit = commit.as_ref().map_or(String::new(), |commit| format!(" ({commit})"));
        write!(f, "version {version}{commit} with {instructions}")
    }
}
