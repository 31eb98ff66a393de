//! `across`.

use std::{path::PathBuf, process::ExitCode};

use aim_core::{Error, Result};
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
        let planned = match of {
            Some(of) => chosen(of, against)?,
            None => agreed(&tables)?,
        };
        let (text, report) = write_across(&tables, &planned, &out)?;
        print(&format!("{text}\nreport: {}\n", report.display()))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What the command names, each comparison once.
fn chosen(of: String, against: Vec<String>) -> Result<Planned> {
    if let Some(name) =
        against.iter().enumerate().find_map(|(i, name)| (*name == of || against[..i].contains(name)).then_some(name))
    {
        let problem = format!("`{name}` is compared with itself, or twice");
        return Err(Error::invalid("--against", problem, "name each other row once"));
    }
    Ok(Planned { of, against, test_to_train: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_compared_once_and_not_with_itself() {
        let of = |against: &[&str]| chosen("aim".into(), against.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(of(&["joint", "ogm"]).unwrap().against, ["joint", "ogm"]);
        for wrong in [&["joint", "joint"][..], &["aim"]] {
            assert!(of(wrong).unwrap_err().to_string().starts_with("--against: `"), "{wrong:?}");
        }
    }
}
