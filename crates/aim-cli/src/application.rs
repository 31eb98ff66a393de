//! A program: what its configurations can name, and what its pages show.

use std::process::ExitCode;

use aim_core::Result;
use aim_report::{Sections, page};
use aim_train::{Registries, run::Program};

/// What a command line works with. A program of your own adds its entries to the registries and hands it to
/// [`start`](crate::start):
///
/// ```no_run
/// # use aim_config::settings;
/// # use aim_optim::{ByEpoch, Schedule, ScheduleInfo, ScheduleSettings, schedule_card};
/// # settings! {
/// #     /// Settings.
/// #     pub struct Halving {}
/// # }
/// # impl ScheduleSettings for Halving {
/// #     fn info(&self) -> &'static ScheduleInfo {
/// #         &ScheduleInfo { name: "halving", about: "half as much every epoch" }
/// #     }
/// #     fn build(&self, _: usize) -> Box<dyn Schedule> {
/// #         Box::new(ByEpoch(|epoch| 0.5f64.powi(epoch as i32)))
/// #     }
/// # }
/// fn main() -> std::process::ExitCode {
///     let mut application = aim_cli::Application::named("halving");
///     application.registries.schedules.add(schedule_card::<Halving>()).expect("the name is free");
///     aim_cli::start(&application)
/// }
/// ```
#[derive(Clone)]
pub struct Application {
    /// What configurations can name.
    pub registries: Registries,
    /// Sections of the pages, in their order.
    pub sections: Sections,
    /// What results say that they were made by; its command and version stand in the help, too.
    pub program: Program,
    /// Further commands of the program.
    pub commands: Vec<OwnCommand>,
}

/// A command beside those of the workspace.
#[derive(Clone)]
pub struct OwnCommand {
    /// Its name, help and arguments.
    pub command: clap::Command,
    /// Does it; the exit status says how it went.
    pub run: fn(&clap::ArgMatches) -> Result<ExitCode>,
}

impl Application {
    /// What this workspace brings, in a program that is started by `command`.
    pub fn named(command: &str) -> Self {
        Self {
            registries: Registries::default(),
            sections: page::builtin(),
            program: Program::here(command, option_env!("AIM_COMMIT")),
            commands: vec![],
        }
    }
}

impl Default for Application {
    /// What this workspace brings, in its own program.
    fn default() -> Self {
        Self::named("cargo xtask")
    }
}
