//! `across`.

use std::{path::PathBuf, process::ExitCode};

use aim_core::Result;
use aim_report::{agreed, write_across};
use aim_train::config::Planned;
use clap::Args;

use crate::print;

#[derive(Args)]
pub(crate) struct Across {
    /// Folders of tables that have been made, one a set, for instance runs/grid-noise runs/lis.
    #[arg(required = true, num_args = 2.., value_name = "FOLDER")]
    tables: Vec<PathBuf>,
    /// The row that is compared [default: what the tables plan].
    #[arg(long, value_name = "ROW", requires = "against")]
    of: Option<String>,
    /// The rows that it is compared with, separated by commas.
    #[arg(long, value_name = "ROW", requires = "of", value_delimiter = ',')]
    against: Vec<String>,
    /// Folder that the tables and the page are written to.
    #[arg(long, value_name = "DIR", default_value = "runs/across")]
    out: PathBuf,
}

impl Across {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let Self { tables, of, against, out } = self;
        let (planned, before) = match of {
            Some(of) => (Planned { of, against, test_to_train: None }, false),
            None => (agreed(&tables)?, true),
        };
        let (text, report) = write_across(&tables, &planned, before, &out)?;
        print(&format!("{text}\nreport: {}\n", report.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}
