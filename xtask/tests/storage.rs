//! A table on storage that fails: calls of the file system end at random in errors, short reads and writes, and
//! interruptions, locks and syncs are not to be had, and the process is killed now and then. Each attempt ends well or
//! with one clear error, and the table ends with the bits of one left alone.
//!
//! `AIM_STORMS` says how many attempts there are; the test suite's own number is small.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use aim_core::Rng;
use aim_tests::{assert_same, bundle_text, files, write_bundle};

fn attempts() -> usize {
    std::env::var("AIM_STORMS").map_or(60, |n| n.parse().unwrap())
}

/// Builds the library that fails calls of the file system.
fn library(folder: &Path) {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/storage/faults.rs");
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let mut build = Command::new(rustc);
    build.current_dir(folder).args(["--edition", "2024", "--crate-type", "cdylib", "-O", "-o", "faults.so", source]);
    assert!(build.status().unwrap().success());
}

/// The table, with all that it writes below `out`.
fn reproduce(folder: &Path, out: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.current_dir(folder).args(["reproduce", "table.yaml", "--quiet", "--checkpoint-every", "0", "--out"]);
    command.arg(out).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// One attempt on failing storage, killed after some time if it still goes on.
fn attempt(folder: &Path, out: &Path, faults: &str, kill: Option<Duration>) -> Option<Output> {
    let mut command = reproduce(folder, out);
    command.env("LD_PRELOAD", folder.join("faults.so")).env("AIM_FAULTY", out).env("AIM_FAULTS", faults);
    let mut child = command.spawn().unwrap();
    let begin = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if kill.is_some_and(|after| begin.elapsed() > after) {
            child.kill().unwrap();
            child.wait().unwrap();
            return None;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "it hangs with faults {faults}");
        std::thread::sleep(Duration::from_millis(1));
    }
    Some(child.wait_with_output().unwrap())
}

/// Checks that a failed attempt names what could not be done, with an action: once for the table, or once a run.
fn check_told(output: &Output, out: &Path, faults: &str) {
    let [table, told] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert_eq!(output.status.code(), Some(1), "faults {faults}: {:?}\n{told}", output.status);
    let of_runs: Vec<&str> = table.lines().filter(|line| line.starts_with("FAILED: ")).collect();
    let errors: Vec<&str> = told.lines().filter(|line| line.starts_with("error: ")).collect();
    assert!(errors.len() == 1 || errors.is_empty() && !of_runs.is_empty(), "faults {faults}:\n{table}\n{told}");
    for error in of_runs.iter().chain(&errors) {
        assert!(error.contains(out.to_str().unwrap()) && error.contains("; "), "faults {faults}: {error}");
    }
}

/// The files of a table but what tells of the way there: checkpoints before the last, and half-written files that the
/// storage would not remove.
fn ends(out: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = files(out);
    let way = |path: &Path| path.ends_with("previous.safetensors") || path.extension().is_some_and(|e| e == "part");
    all.retain(|path, _| !way(path));
    all
}

#[test]
fn on_failing_storage_a_table_ends_with_the_same_bits_or_one_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    library(folder);
    write_bundle(folder);
    let rows = "  - {name: joint, method: joint}\n  - {name: aim, method: aim, model: {uni_heads: true}}";
    fs::write(folder.join("table.yaml"), bundle_text(rows)).unwrap();
    let begin = Instant::now();
    assert!(reproduce(folder, &folder.join("alone")).status().unwrap().success());
    let time = begin.elapsed();
    let alone = ends(&folder.join("alone"));

    let mut draws = Rng::keyed(0, "storms");
    let (mut table, mut ended, mut failed) = (0, 0, 0);
    for seed in 0..attempts() {
        let out = folder.join(format!("storm{table}"));
        let faults = format!("{seed},{}", 10f64.powf(draws.range(1., 4.)) as u64);
        let kill = (seed % 3 == 0).then(|| time.mul_f64(draws.range(0., 1.5)));
        match attempt(folder, &out, &faults, kill) {
            Some(output) if output.status.success() => {
                assert_same(&alone, &ends(&out));
                (table, ended) = (table + 1, ended + 1);
            }
            Some(output) => {
                check_told(&output, &out, &faults);
                failed += 1;
            }
            None => {}
        }
    }
    // What stormy attempts left behind is finished on storage that does not fail.
    let out = folder.join(format!("storm{table}"));
    assert!(reproduce(folder, &out).status().unwrap().success());
    assert_same(&alone, &ends(&out));
    println!("{} attempts: {ended} ended a table, {failed} told an error", attempts());
    assert!(ended > 0 && failed > 0, "{ended} ended, {failed} failed");
}
