//! `aa-test`.

mod drawn;
mod rates;

use std::process::ExitCode;

use aim_core::{Error, Result};
use clap::Args;

use crate::{interrupt::stop_on_interrupt, print};
use rates::{AaPlan, aa_test};

#[derive(Args)]
pub(crate) struct AaTest {
    /// Pairs of arms.
    #[arg(long, value_name = "N", default_value_t = 400)]
    pairs: usize,
    /// Trainings of an arm; below 6 the test over seeds cannot reject.
    #[arg(long, value_name = "N", default_value_t = 8)]
    seeds: usize,
    /// Samples of the test split.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    samples: usize,
    /// Seed of data and trainings.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Print Markdown.
    #[arg(long)]
    markdown: bool,
}

impl AaTest {
    pub(crate) fn run(self) -> Result<ExitCode> {
        let Self { pairs, seeds, samples, seed, .. } = self;
        if let Some((flag, _)) =
            [("--pairs", pairs), ("--seeds", seeds), ("--samples", samples)].iter().find(|f| f.1 == 0)
        {
            return Err(Error::invalid(*flag, "is 0", "use a number of at least 1"));
        }
        let stop = stop_on_interrupt()?;
        let rates = aa_test(AaPlan { pairs, seeds, samples, seed }, &stop)?;
        let table = rates.table()?;
        print(&if self.markdown { table.to_markdown() } else { table.to_plain() })?;
        Ok(if rates.hold() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}
