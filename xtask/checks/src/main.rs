//! `cargo xtask check`: format, lints, documentation, tidiness, spelling, licences and packages; with `--long` the
//! tests that take longer than a change should wait for.

mod figures;
mod files;
mod licences;
mod long;
mod readmes;
mod spelling;
mod tidy;

use std::{
    process::{Command, ExitCode},
    time::Instant,
};

/// Outcome of a check: nothing, or what is wrong.
type Outcome = Result<(), String>;

/// A check with its name.
type Check = (&'static str, fn() -> Outcome);

/// The checks in their order, cheap ones first.
const CHECKS: [Check; 11] = [
    ("format", format),
    ("tidy", tidy::check),
    ("spelling", spelling::check),
    ("readmes", readmes::check),
    ("figures of the front page", figures::check),
    ("licences", licences::check),
    ("book", book),
    ("clippy", clippy),
    ("documentation", documentation),
    ("features", features),
    ("packages", packages),
];

fn main() -> ExitCode {
    let checks: &[Check] = match std::env::args().nth(1).as_deref() {
        None => &CHECKS,
        Some("--long") => &long::CHECKS,
        Some("--fix") => &[("format", fix), ("readmes", readmes::fix), ("figures", figures::fix)],
        Some(_) => {
            eprintln!("cargo xtask check [--fix | --long]");
            return ExitCode::from(2);
        }
    };
    let failed: Vec<&str> = checks.iter().filter(|check| !passes(check)).map(|(name, _)| *name).collect();
    if failed.is_empty() {
        println!("all {} checks pass", checks.len());
        return ExitCode::SUCCESS;
    }
    println!("{} of {} checks fail: {}", failed.len(), checks.len(), failed.join(", "));
    ExitCode::FAILURE
}

fn passes((name, check): &Check) -> bool {
    println!("== {name}");
    let start = Instant::now();
    let outcome = check();
    if let Err(problem) = &outcome {
        println!("{problem}");
    }
    let word = if outcome.is_ok() { "passes" } else { "FAILS" };
    println!("== {name} {word} ({:.0} s)", start.elapsed().as_secs_f64());
    outcome.is_ok()
}

/// Runs a command in the workspace's folder, with its output shown.
fn run(command: &mut Command) -> Outcome {
    let told = format!("{command:?}");
    match command.current_dir(files::root()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{told}: {status}")),
        Err(error) => Err(format!("{told}: {error}")),
    }
}

/// cargo with these arguments, as words of a line.
fn cargo(line: &str) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(line.split_whitespace());
    command
}

/// rustfmt over every file: `cargo fmt` finds no module that a macro declares.
fn format() -> Outcome {
    run(Command::new("rustfmt").args(["--check", "--edition", "2024"]).args(files::with(&["rs"])))
}

fn fix() -> Outcome {
    run(Command::new("rustfmt").args(["--edition", "2024"]).args(files::with(&["rs"])))
}

/// The book as pages, where there is mdbook to make them; a test looks at its content.
fn book() -> Outcome {
    if Command::new("mdbook").arg("--version").output().is_err() {
        println!("skipped: no mdbook on the PATH");
        return Ok(());
    }
    run(Command::new("mdbook").args(["build", "docs/book"]))
}

fn clippy() -> Outcome {
    run(&mut cargo("clippy --release --workspace --all-targets -- -D warnings"))?;
    run(&mut cargo(
        "clippy --release --manifest-path tests/outside/Cargo.toml --workspace --target-dir target --all-targets -- -D warnings",
    ))
}

fn documentation() -> Outcome {
    run(cargo("doc --release --workspace --no-deps").env("RUSTDOCFLAGS", "-D warnings"))
}

/// Tests of what is behind a feature that the test command does not ask for.
fn features() -> Outcome {
    run(&mut cargo("test --release -p aim-report --features parquet --lib export"))
}

/// Every crate can be packed: versions of path dependencies, and the files that a manifest names. The attack alone
/// depends on a crate that is not published, and is not itself.
fn packages() -> Outcome {
    run(&mut cargo("package --workspace --exclude aim-attack --no-verify --allow-dirty --quiet"))
}
