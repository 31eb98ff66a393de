//! Twenty thousand runs are planned, looked at and collected in seconds and little memory.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::explicit_write, reason = "helpers of tests; the macro would be captured")]

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use aim_tests::{bundle_text, peak_of, write_bundle};

const ROWS: usize = 100;
const SEEDS: usize = 200;
/// What each command may take.
const SECONDS: f64 = 10.;
const MIB: usize = 500;

/// Gives a command; what it printed. It must keep to the limits.
fn within(folder: &Path, arguments: &[&str]) -> String {
    let (begin, out) = (Instant::now(), folder.join("said.txt"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    // Without a Slurm, whichever there is.
    command.current_dir(folder).args(arguments).env("PATH", "/nonexistent").stdout(File::create(&out).unwrap());
    let (done, most) = peak_of(command.stderr(Stdio::null()).spawn().unwrap());
    let seconds = begin.elapsed().as_secs_f64();
    assert!(done.success(), "{arguments:?}");
    writeln!(std::io::stderr(), "{}: {seconds:.1} s, {most} MiB", arguments[0]).unwrap();
    assert!(seconds < SECONDS && most < MIB, "{arguments:?}: {seconds:.1} s, {most} MiB");
    fs::read_to_string(out).unwrap()
}

#[test]
fn twenty_thousand_runs_are_planned_looked_at_and_collected_in_seconds() {
    // Not on a disk, where making and removing so many folders takes longer than what is measured.
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let folder = folder.path();
    write_bundle(folder);
    let row = |i: usize| format!("  - {{name: r{i}, method: joint, optimizer: {{lr: 0.{i:03}1}}}}\n");
    let table = bundle_text(&(0..ROWS).map(row).collect::<String>()).replace("seeds: 1", &format!("seeds: {SEEDS}"));
    fs::write(folder.join("table.yaml"), table).unwrap();
    let plan = ["reproduce", "table.yaml", "--launcher", "slurm", "--dry-run", "--runs-per-task", "20"];

    let planned = within(folder, &plan);
    let runs: Vec<&str> =
        planned.lines().filter_map(|line| line.split('\t').nth(1)).filter(|p| *p != "folder").collect();
    assert_eq!(runs.len(), ROWS * SEEDS);
    assert!(planned.contains("#SBATCH --array=0-999\n"), "20 runs a task");
    for run in &runs {
        fs::create_dir_all(run).unwrap();
    }
    assert_eq!(within(folder, &plan), planned);
    let said = within(folder, &["status", "runs/test"]);
    assert!(said.contains("20000 runs: 0 done, 0 running, 0 queued, 0 failed, 20000 open"), "{said}");
}
