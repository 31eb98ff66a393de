//! A sweep that is killed again and again ends with the bits of one left alone; a run that fails does not stop the
//! rest.
//!
//! `AIM_SWEEP_RUNS` says how many runs the sweep has; the test suite's own number is small.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::explicit_write, reason = "helpers of tests; the macro would be captured")]

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use aim_core::Rng;
use aim_tests::{assert_same, bundle_text, files, write_bundle};

const XTASK: &str = env!("CARGO_BIN_EXE_xtask");
const KILLS: usize = 5;
const ROWS: usize = 4;
const SEEDS: usize = 3;

/// A bundle and a table of these rows.
fn folder(rows: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_bundle(folder.path());
    fs::write(folder.path().join("table.yaml"), bundle_text(rows)).unwrap();
    folder
}

/// A sweep of so many runs: a row's trials and its seeds, which are none of the trials'.
fn swept(runs: usize) -> tempfile::TempDir {
    let methods = ["joint", "ogm", "ogm-ge", "aim"];
    let rows = methods[..ROWS].iter().map(|name| format!("  - {{name: {name}, method: {name}}}\n")).collect::<String>();
    let folder = folder(&rows);
    let table = fs::read_to_string(folder.path().join("table.yaml")).unwrap();
    let trials = runs / ROWS - SEEDS;
    let ranges = "{optimizer.lr: {low: 0.001, high: 0.1, log: true}}";
    let sweep = format!("sweep: {{random: {{trials: {trials}, method: [alpha], ranges: {ranges}}}}}\nrows:");
    let table = table.replace("seeds: 1", &format!("seeds: {SEEDS}")).replace("rows:", &sweep);
    fs::write(folder.path().join("table.yaml"), table).unwrap();
    folder
}

fn command(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(XTASK);
    command.current_dir(folder).args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn sweep(folder: &Path, out: &str) -> Command {
    let every = ["--checkpoint-every", "0"];
    command(
        folder,
        &[&["sweep", "--config", "table.yaml", "--quiet", "--jobs", "2", "--out", out], &every[..]].concat(),
    )
}

fn text(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

fn tell(line: &str) {
    // Past the capture of test output, which swallows what passing tests print.
    writeln!(std::io::stderr(), "{line}").unwrap();
}

#[test]
fn killed_five_times_a_sweep_ends_with_the_same_table() {
    let runs = std::env::var("AIM_SWEEP_RUNS").map_or(40, |n| n.parse().unwrap());
    let folder = swept(runs);
    let folder = folder.path();
    let begin = Instant::now();
    let alone = sweep(folder, "alone").output().unwrap();
    let time = begin.elapsed().as_secs_f64();
    assert!(alone.status.success(), "{:?}", text(&alone));
    let results = files(&folder.join("alone")).keys().filter(|p| p.ends_with("result.json")).count();
    assert_eq!(results, runs);

    let (mut moments, mut killed) = (Rng::keyed(0, "moments"), 0);
    while killed < KILLS {
        let mut child = sweep(folder, "killed").spawn().unwrap();
        std::thread::sleep(Duration::from_secs_f64(moments.range(0., time / KILLS as f64)));
        assert!(child.try_wait().unwrap().is_none(), "done before {KILLS} kills");
        child.kill().unwrap();
        child.wait().unwrap();
        killed += 1;
    }
    assert!(sweep(folder, "killed").status().unwrap().success());
    assert_same(&files(&folder.join("alone")), &files(&folder.join("killed")));

    let begin = Instant::now();
    let again = sweep(folder, "alone").output().unwrap();
    tell(&format!("{runs} runs that were done are a table again after {:.2} s", begin.elapsed().as_secs_f64()));
    assert!(again.stdout == alone.stdout);
    let said = text(&alone).0;
    assert!(said.contains("Every row was searched before") && said.contains("`ogm` trial"), "{said}");
}

#[test]
fn a_run_that_fails_is_reported_and_does_not_stop_the_rest() {
    let row = |name: &str, lr: &str| format!("  - {{name: {name}, method: joint, optimizer: {{lr: {lr}}}}}\n");
    let folder = folder(&(row("first", "1e30") + &row("joint", "0.01") + &row("last", "0.02")));
    let output = command(folder.path(), &["reproduce", "table.yaml", "--jobs", "1"]).output().unwrap();
    let (table, told) = text(&output);
    assert_eq!(output.status.code(), Some(1), "{table}{told}");
    assert!(table.contains("FAILED: first, seed 0") && table.contains("is not finite"), "{table}");
    assert!(told.contains("FAILED: first, seed 0") && told.contains("last, seed 0: test accuracy"), "{told}");
    let logs = files(&folder.path().join("runs")).into_keys().filter(|p| p.ends_with("result.json"));
    assert_eq!(logs.count(), 2);
}

#[test]
fn a_second_process_on_a_table_is_refused() {
    let folder = folder("  - {name: joint, method: joint, train: {epochs: 1000000}}\n");
    let folder = folder.path();
    let mut first = command(folder, &["reproduce", "table.yaml"]).spawn().unwrap();
    let begin = Instant::now();
    while !folder.join("runs/test/.lock").exists() {
        assert!(begin.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(5));
    }
    let second = command(folder, &["reproduce", "table.yaml"]).output().unwrap();
    first.kill().unwrap();
    first.wait().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = text(&second).1;
    assert!(said.contains("runs/test: is in use by process ") && said.contains("; wait until it is done"), "{said}");
}

#[test]
fn a_sweep_that_says_nothing_is_refused_with_its_file() {
    let folder = folder("  - {name: joint, method: joint}\n");
    let output = command(folder.path(), &["sweep", "--config", "table.yaml"]).output().unwrap();
    assert!(text(&output).1.contains("table.yaml: sweep: is missing; say what is tried"), "{:?}", text(&output));
}

/// What a command shows on a terminal of its own; none where there is no `script`.
fn on_a_terminal(folder: &Path, rest: &str, colour: bool) -> Option<String> {
    let line = format!("{XTASK} reproduce table.yaml {rest}");
    let mut command = Command::new("script");
    command.current_dir(folder).args(["-qec", &line, "/dev/null"]).env("TERM", "xterm-256color").env_remove("NO_COLOR");
    if !colour {
        command.env("NO_COLOR", "1");
    }
    let output = command.stdin(Stdio::null()).output().ok().filter(|o| o.status.success())?;
    Some(text(&output).0)
}

#[test]
fn a_terminal_shows_a_live_view_and_nothing_else_does() {
    let folder = folder("  - {name: joint, method: joint, train: {epochs: 400}}\n");
    let folder = folder.path();
    let plain = command(folder, &["reproduce", "table.yaml", "--out", "plain"]).output().unwrap();
    let (_, told) = text(&plain);
    assert!(told.contains("joint, seed 0: test accuracy") && !told.contains('\u{1b}'), "{told}");
    let quiet = command(folder, &["reproduce", "table.yaml", "--out", "quiet", "--quiet"]).output().unwrap();
    assert_eq!(text(&quiet).1, "");
    let Some(live) = on_a_terminal(folder, "--out live", true) else {
        return tell("skipped: there is no `script` to make a terminal");
    };
    for shown in ["runs 0/1, 1 running", "left", "joint, seed 0: loss", "accuracy", "\u{1b}[32m"] {
        assert!(live.contains(shown), "no {shown:?} in {live:?}");
    }
    let grey = on_a_terminal(folder, "--out grey", false).unwrap();
    assert!(grey.contains("runs 0/1, 1 running") && !grey.contains("\u{1b}[3"), "{grey:?}");
    assert!(!on_a_terminal(folder, "--out still --quiet", true).unwrap().contains("running"));
}

#[test]
fn what_must_be_trained_before_the_rows_is_counted_from_the_start() {
    let row = |name: &str| format!("  - {{name: {name}, method: {name}, train: {{epochs: 50}}}}\n");
    let folder = folder(&(row("frozen") + &row("finetuned")));
    let Some(live) = on_a_terminal(folder.path(), "", true) else {
        return tell("skipped: there is no `script` to make a terminal");
    };
    // Three encoders alone, which both rows start from.
    let counts: Vec<&str> = live.split("runs ").skip(1).filter_map(|rest| rest.split(',').next()).collect();
    let all: Vec<&str> = counts.iter().filter_map(|count| count.split_once('/')).map(|(_, all)| all).collect();
    assert!(!all.is_empty() && all.iter().all(|all| *all == "5"), "{counts:?}");
}
