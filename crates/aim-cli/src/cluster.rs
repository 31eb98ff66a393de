//! `status`, `cancel` and `work`.

use std::{path::PathBuf, process::ExitCode};

use aim_core::Result;
use aim_train::experiment::Worker;
use clap::Args;

use crate::{Application, Places, interrupt::stop_on_interrupt, print, tell};

#[derive(Args)]
pub(crate) struct Tables {
    /// Folders of tables, for instance runs/synth-av.
    #[arg(required = true, value_name = "FOLDER")]
    tables: Vec<PathBuf>,
}

impl Tables {
    pub(crate) fn status(self) -> Result<ExitCode> {
        for table in &self.tables {
            print(&aim_slurm::status(table)?.to_string())?;
        }
        Ok(ExitCode::SUCCESS)
    }

    pub(crate) fn cancel(self) -> Result<ExitCode> {
        for table in &self.tables {
            print(&format!("{}: {} jobs cancelled\n", table.display(), aim_slurm::cancel(table)?))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

#[derive(Args)]
pub(crate) struct Work {
    /// The table of an array's tasks.
    #[arg(long, value_name = "FILE")]
    tasks: PathBuf,
    /// The number of the task in it.
    #[arg(long, value_name = "N")]
    task: usize,
    /// Threads of a run.
    #[arg(long, value_name = "N", default_value = "1", value_parser = clap::value_parser!(u16).range(1..))]
    threads: u16,
    #[command(flatten)]
    places: Places,
}

impl Work {
    /// Makes one run after the other; one that fails does not stop the others.
    pub(crate) fn run(self, application: &Application) -> Result<ExitCode> {
        let items = aim_slurm::task(&self.tasks, self.task)?;
        let options = self.places.options((1, self.threads.into()), None, &application.program)?;
        let stop = stop_on_interrupt()?;
        let mut worker = Worker::new(&options, &stop, &application.registries);
        let mut failed = false;
        for item in items {
            match worker.make(&item.folder, item.preparation.as_deref()) {
                Err(error) if error.is_stop() => return Err(error),
                // Another process makes it.
                Err(error) if error.is_elsewhere() => tell(&format!("{}: {error}\n", item.title)),
                Err(error) => {
                    // Runs that need a preparation meet its fault themselves, and are to be begun for that.
                    failed |= item.preparation.is_none();
                    tell(&format!("FAILED: {}: {error}\n", item.title));
                }
                Ok(()) => {}
            }
        }
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}
