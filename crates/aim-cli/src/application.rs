//! A program: what its configurations can name, and what its pages show.

use aim_report::{Sections, page};
use aim_train::{Registries, run::Program};

/// What a command line works with. A program of your own adds its entries to the registries and hands it to
/// [`main_with`](crate::main_with):
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
///     let mut application = aim_cli::Application::default();
///     application.program = aim_train::run::Program::here("halving", None);
///     application.registries.schedules.add(schedule_card::<Halving>()).expect("the name is free");
///     aim_cli::main_with(&application)
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
}

impl Default for Application {
    /// What this workspace brings.
    fn default() -> Self {
        Self {
            registries: Registries::default(),
            sections: page::builtin(),
            program: Program::here("cargo xtask", option_env!("AIM_COMMIT")),
        }
    }
}
