//! `predict`.

use std::{
    io::{IsTerminal, stderr},
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use aim_core::Result;
use aim_train::run::{Predicted, Trained, predict};
use clap::Args;

use crate::{Application, DeviceName, print};

#[derive(Args)]
pub(crate) struct Predict {
    /// Folder of a finished run, or an exported one.
    #[arg(long, value_name = "DIR")]
    run: PathBuf,
    /// The new samples: a manifest (CSV or JSONL) as in training, without a split, whose labels may be empty or left
    /// out; for runs on a bundle a .safetensors or .npz file with `x.<modality>` and, if wanted, `id`.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// File that is written.
    #[arg(long, value_name = "CSV")]
    out: PathBuf,
    /// Where the network runs.
    #[arg(long, value_enum, default_value = "cpu")]
    device: DeviceName,
    /// Show no progress.
    #[arg(long)]
    quiet: bool,
}

impl Predict {
    pub(crate) fn run(self, application: &Application) -> Result<ExitCode> {
        let trained = Trained::load(&self.run, &application.registries, &self.device.open()?)?;
        let mut progress = Progress::new(self.quiet);
        let done = predict(&trained, &self.run, &self.file, &self.out, &mut |done, all| progress.at(done, all));
        progress.end();
        let Predicted { samples, labelled, right } = done?;
        let share = right as f64 / labelled.max(1) as f64;
        let known =
            if labelled == 0 { String::new() } else { format!(", {share:.4} of {labelled} labelled ones right") };
        let warning = trained.warning().map_or(String::new(), |w| format!("{w}\n"));
        let (epoch, out) = (trained.epoch(), self.out.display());
        print(&format!("weights of epoch {epoch}\n{samples} samples{known}\n{warning}predictions: {out}\n"))?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Shows how far a long list is: in one line of a terminal, elsewhere a line now and then.
struct Progress {
    every: Option<Duration>,
    last: Instant,
    shown: bool,
}

impl Progress {
    fn new(quiet: bool) -> Self {
        let every = Duration::from_secs(if stderr().is_terminal() { 1 } else { 30 });
        Self { every: (!quiet).then_some(every), last: Instant::now(), shown: false }
    }

    fn at(&mut self, done: usize, all: usize) {
        if self.every.is_none_or(|every| self.last.elapsed() < every) {
            return;
        }
        (self.last, self.shown) = (Instant::now(), stderr().is_terminal());
        if self.shown { eprint!("\r{done} of {all} samples    ") } else { eprintln!("{done} of {all} samples") }
    }

    /// Ends the line.
    fn end(&self) {
        if self.shown {
            eprintln!();
        }
    }
}
