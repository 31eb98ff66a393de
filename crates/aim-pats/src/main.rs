//! `aim-pats eval`: PATS on GSM8K with models from folders.

mod eval;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match eval::Program::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
