//! A prepared set that is larger than the memory trains within it, with any number of workers, and a run of it that is
//! killed ends with the bits of one left alone.
//!
//! `AIM_LONG_GB` says how large the set is and `AIM_LONG_MIB` what `--memory` is; the test suite's own are small.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    fmt::Write,
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use aim_core::Rng;
use aim_tests::{assert_same, files, peak_of};

/// Numbers in a line of a recording, of which the file has two and the set keeps more.
const COLUMNS: usize = 4000;
const LENGTH: usize = 16;
/// Different recordings.
const RECORDINGS: usize = 40;
/// What the program takes beside `--memory`, and what a step of this network takes, in MiB.
const BESIDE: usize = 300;
const STEP: usize = 64;

/// Samples of so many bytes in all.
fn samples() -> usize {
    let gigabytes: f64 = std::env::var("AIM_LONG_GB").map_or(0.45, |n| n.parse().unwrap());
    (gigabytes * 1e9 / (4 * LENGTH * COLUMNS) as f64) as usize
}

/// `--memory`.
fn memory() -> usize {
    std::env::var("AIM_LONG_MIB").map_or(16, |n| n.parse().unwrap())
}

/// A manifest of recordings of two classes, and a table on it.
fn write(folder: &Path) {
    let mut rng = Rng::keyed(0, "recordings");
    for k in 0..RECORDINGS {
        let mut line = |width: usize| {
            let numbers = (0..width).map(|_| format!("{:.2}", rng.normal() + 0.2 * (k % 2) as f64));
            numbers.collect::<Vec<_>>().join(",") + "\n"
        };
        fs::write(folder.join(format!("{k}.csv")), line(COLUMNS) + &line(COLUMNS)).unwrap();
        fs::write(folder.join(format!("{k}.small.csv")), line(8) + &line(8)).unwrap();
    }
    let mut rows = String::from("id,split,label,long,short\n");
    for sample in 0..samples() {
        let split = ["train", "train", "train", "train", "train", "train", "train", "train", "validation", "test"];
        let k = sample * 7 % RECORDINGS;
        writeln!(rows, "s{sample},{},{},{k}.csv,{k}.small.csv", split[sample % 10], k % 2).unwrap();
    }
    fs::write(folder.join("set.csv"), rows).unwrap();
    let table = format!(
        "name: long
data:
  name: manifest
  file: set.csv
  modalities:
    long: {{series: {{length: {LENGTH}, columns: {COLUMNS}, header: false, layout: channels-first}}}}
    short: {{series: {{length: 4, columns: 8, header: false, layout: channels-first}}}}
model:
  encoders:
    long: {{name: cnn, widths: [4, 4]}}
    short: {{name: cnn, widths: [4, 4]}}
optimizer: {{name: adam, lr: 0.001}}
train: {{epochs: 2, batch: 32}}
seeds: 1
rows:
  - {{name: ogm-ge, method: ogm-ge}}
"
    );
    fs::write(folder.join("table.yaml"), table).unwrap();
}

fn command(folder: &Path, arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.current_dir(folder).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn start(folder: &Path, out: &str, workers: &str) -> Child {
    let memory = memory().to_string();
    let rest = ["--workers", workers, "--memory", &memory, "--checkpoint-every", "0", "--out", out];
    command(folder, &[&["reproduce", "table.yaml", "--quiet", "--jobs", "1"], &rest[..]].concat())
}

/// Waits for a process; the most memory that it had, in MiB.
fn finish(child: Child) -> usize {
    let (done, most) = peak_of(child);
    assert!(done.success());
    most
}

#[test]
fn a_set_larger_than_the_memory_trains_within_it_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write(folder);
    finish(command(folder, &["data", "prepare", "table.yaml"]));

    let begin = Instant::now();
    let most = finish(start(folder, "alone", "0"));
    let time = begin.elapsed().as_secs_f64();
    let limit = memory() + BESIDE + STEP;
    assert!(4 * LENGTH * COLUMNS * samples() > limit << 20, "the set would fit");
    assert!(most <= limit, "took {most} MiB of {limit}");
    println!("{most} MiB of {limit}");
    let alone = files(&folder.join("alone"));

    let mut moments = Rng::keyed(0, "moments");
    for workers in ["1", "4"] {
        let mut killed = 0;
        let out = format!("killed{workers}");
        let most = loop {
            let mut child = start(folder, &out, workers);
            if killed == 5 {
                break finish(child);
            }
            std::thread::sleep(Duration::from_secs_f64(moments.range(0., time / 2.)));
            if child.try_wait().unwrap().is_some() {
                break 0;
            }
            child.kill().unwrap();
            child.wait().unwrap();
            killed += 1;
        };
        assert!(most <= limit, "took {most} MiB of {limit} with {workers} workers");
        assert_same(&alone, &files(&folder.join(&out)));
    }
}
