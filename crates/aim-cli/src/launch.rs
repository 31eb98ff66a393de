//! `--launcher`: who makes the runs of a table.

use std::path::{Path, PathBuf};

use aim_core::{Error, Result};
use aim_slurm::{Call, Profile, Slurm};
use aim_train::experiment::{self, Launcher, Local, Options};
use clap::Args;

use crate::{DeviceName, Places, print};

/// Folder of the profiles, in the clone.
const PROFILES: &str = "configs/launchers";

#[derive(Args)]
pub(crate) struct Launching {
    /// Who makes the runs: `local`, workers of this process; `slurm`, Slurm as configs/launchers/slurm.yaml says, or
    /// another name there, or the path of a profile. The same command later collects what was made; its exit status is
    /// 75 as long as runs are missing.
    #[arg(long, value_name = "NAME", default_value = "local")]
    launcher: String,
    /// Print the batch scripts and what their tasks make, and submit nothing.
    #[arg(long)]
    dry_run: bool,
    /// Runs that share a task, in place of the profile's number.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    runs_per_task: Option<u16>,
}

/// Who makes the runs.
pub(crate) enum Chosen {
    Local(Local),
    Slurm(Box<Slurm>),
}

impl Launching {
    /// The launcher that is meant.
    pub(crate) fn chosen(&self, places: &Places, options: &Options) -> Result<Chosen> {
        if self.launcher == "local" {
            if self.dry_run || self.runs_per_task.is_some() {
                let remedy = "name a cluster's profile with --launcher, or leave it out";
                return Err(Error::invalid("--dry-run, --runs-per-task", "are for tasks of a cluster", remedy));
            }
            return Ok(Chosen::Local(Local(options.jobs)));
        }
        let mut profile = Profile::load(&self.profile())?;
        if let Some(runs) = self.runs_per_task.and_then(|runs| std::num::NonZeroUsize::new(runs.into())) {
            profile.runs_per_task = runs;
        }
        let show: Option<fn(&str) -> Result<()>> = self.dry_run.then_some(print);
        Ok(Chosen::Slurm(Box::new(Slurm::new(profile, places.call(options)?, show))))
    }

    fn profile(&self) -> PathBuf {
        let given = PathBuf::from(&self.launcher);
        if given.extension().is_some_and(|e| e == "yaml" || e == "yml") {
            return given;
        }
        Path::new(PROFILES).join(format!("{}.yaml", self.launcher))
    }

    /// The device that this process needs.
    pub(crate) fn device(&self, wanted: DeviceName) -> DeviceName {
        if self.launcher == "local" { wanted } else { DeviceName::Cpu }
    }

    /// Whether nothing is to be made.
    pub(crate) fn is_dry(&self) -> bool {
        self.dry_run
    }
}

impl Chosen {
    pub(crate) fn launcher(&self) -> &dyn experiment::Launcher {
        match self {
            Self::Local(local) => local as &dyn Launcher,
            Self::Slurm(slurm) => &**slurm,
        }
    }

    /// Runs that are not made yet.
    pub(crate) fn left(&self) -> usize {
        match self {
            Self::Local(_) => 0,
            Self::Slurm(slurm) => slurm.left(),
        }
    }
}

impl Places {
    /// How a task calls this program for the same places.
    fn call(&self, options: &Options) -> Result<Call> {
        let program = std::env::current_exe().map_err(|e| Error::io("the program's path", e))?;
        let folder = std::env::current_dir().map_err(|e| Error::io("the current folder", e))?;
        let real = |path: &Path| aim_slurm::absolute(path).map(|path| path.display().to_string());
        let (program, folder) = (aim_slurm::absolute(&program)?, aim_slurm::absolute(&folder)?);
        let mut arguments = vec!["--out".to_owned(), real(&self.out)?];
        if let Some(root) = &options.data_root {
            arguments.extend(["--data-root".into(), real(root)?]);
        }
        let device = clap::ValueEnum::to_possible_value(&self.device).map(|value| value.get_name().to_owned());
        let numbers = [
            ("--checkpoint-every", self.checkpoint_every.to_string()),
            ("--memory", self.reading.memory.to_string()),
            ("--workers", self.reading.workers.to_string()),
            ("--device", device.unwrap_or_default()),
        ];
        arguments.extend(numbers.into_iter().flat_map(|(name, value)| [name.to_owned(), value]));
        Ok(Call { program, arguments, folder })
    }
}
