//! The command line of the workspace with our own entries.

use std::process::ExitCode;

fn main() -> ExitCode {
    match outside::application() {
        Ok(application) => aim_cli::start(&application),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
