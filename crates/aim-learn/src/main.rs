//! The program: the command line with everything that the workspace brings.

use std::process::ExitCode;

/// The system's allocator gives the memory of each activation back to the kernel, and faulting it in again takes a
/// sixth of a small network's step. What training will take of it is counted.
#[global_allocator]
static ALLOCATOR: aim_cli::Counted<mimalloc::MiMalloc> = aim_cli::Counted(mimalloc::MiMalloc);

fn main() -> ExitCode {
    aim_cli::start(&aim_cli::Application::named("aim-learn"))
}
