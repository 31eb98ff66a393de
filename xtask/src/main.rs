//! The command line of the workspace: the program's own commands, and the checks of the workspace.

#[cfg(test)]
mod book;

use std::process::{Command, ExitCode};

use aim_cli::{Application, OwnCommand, clap};
use aim_core::{Error, Result};

/// The system's allocator gives the memory of each activation back to the kernel, and faulting it in again takes a
/// sixth of a small network's step. What training will take of it is counted.
#[global_allocator]
static ALLOCATOR: aim_cli::Counted<mimalloc::MiMalloc> = aim_cli::Counted(mimalloc::MiMalloc);

fn main() -> ExitCode {
    aim_cli::start(&application())
}

/// What the workspace brings, and its checks.
fn application() -> Application {
    let about = "Check the workspace: format, lints, documentation, tidiness, spelling, licences, packages";
    let long = clap::Arg::new("long").long("long").action(clap::ArgAction::SetTrue);
    let long = long.help("Run the tests that take longer than a change should wait for instead");
    let fix = clap::Arg::new("fix").long("fix").action(clap::ArgAction::SetTrue).conflicts_with("long");
    let fix = fix.help("Mend format and READMEs instead");
    let check = OwnCommand { command: clap::Command::new("check").about(about).args([long, fix]), run: check };
    Application { commands: vec![check], ..Application::default() }
}

/// The checks are a program of their own, whose dependencies the first command of a new user does not build.
fn check(arguments: &clap::ArgMatches) -> Result<ExitCode> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["run", "--release", "--package", "aim-checks", "--"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    cargo.args(["long", "fix"].into_iter().filter(|name| arguments.get_flag(name)).map(|name| format!("--{name}")));
    let status = cargo.status().map_err(|e| Error::io("cargo", e))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
