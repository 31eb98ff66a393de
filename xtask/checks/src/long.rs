//! What takes longer than a change should wait for.

use std::{path::Path, process::Command};

use crate::{Check, Outcome, cargo, run};

/// The long checks in their order.
pub const CHECKS: [Check; 8] = [
    ("attack on readers", attack),
    ("covering design", cover),
    ("1,000 kills", kills),
    ("1,000 attempts on failing storage", storms),
    ("a disturbed cluster", cluster),
    ("a set larger than the memory", memory),
    ("data sets of the Hub", hub),
    ("tests of the tests", tests),
];

/// cargo with temporary files in memory where the system has a place for that: on a disk they take most of the time.
fn in_memory(line: &str) -> Command {
    let mut command = cargo(line);
    if Path::new("/dev/shm").is_dir() {
        command.env("TMPDIR", "/dev/shm");
    }
    command
}

/// Ten million changed files make no reader panic, hang or fill the memory.
fn attack() -> Outcome {
    run(&mut in_memory("run --release --package aim-attack -- --inputs 10000000"))
}

/// Every two choices of a configuration meet in a run.
fn cover() -> Outcome {
    run(cargo("test --release --package aim-tests --test cover").env("AIM_COVER", "1"))
}

/// A table that is killed a thousand times ends with the same bits.
fn kills() -> Outcome {
    run(in_memory("test --release --workspace --test kill").env("AIM_KILLS", "1000"))
}

/// A table whose storage fails at random ends with the same bits or one clear error a thousand times.
fn storms() -> Outcome {
    run(in_memory("test --release --package xtask --test storage").env("AIM_STORMS", "1000"))
}

/// A table on Slurm ends with the same bits although nodes, tasks and the controller are killed.
fn cluster() -> Outcome {
    run(cargo("test --release --package xtask --test slurm").env("AIM_DISTURB", "1"))
}

/// A prepared set of 5 GB trains within a small memory, killed and resumed.
fn memory() -> Outcome {
    let size = std::env::var("AIM_LONG_GB").unwrap_or_else(|_| "5".into());
    run(cargo("test --release --package xtask --test memory").env("AIM_LONG_GB", size))
}

/// Data sets are fetched from a server that stands for the Hub, whose reader takes some minutes to build.
fn hub() -> Outcome {
    run(&mut cargo("test --release --package aim-data --features hub,media --lib --test hub"))
}

/// The paired tests of the tables reject as often as they should where nothing differs.
fn tests() -> Outcome {
    run(&mut cargo("run --release --package xtask -- aa-test"))
}
