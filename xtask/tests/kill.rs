//! A table that is killed at any moment, and started again by the same command, ends with the bits of one left alone.
//!
//! `AIM_KILLS` says how often; the test suite's own number is small.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use aim_core::Rng;
use aim_tests::{assert_same, bundle_text, every_method, files, write_bundle};

/// How often the process is killed.
fn kills() -> usize {
    std::env::var("AIM_KILLS").map_or(50, |n| n.parse().unwrap())
}

fn start(folder: &Path, out: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_xtask"))
        .current_dir(folder)
        .args(["reproduce", "table.yaml", "--quiet", "--jobs", "2", "--checkpoint-every", "0", "--out", out])
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// What the runs of a table tell of themselves.
fn logs(out: &Path) -> String {
    let inside = |path: &Path| fs::read_dir(path).unwrap().map(|e| e.unwrap().path()).collect::<Vec<_>>();
    let (mut folders, mut text) = (vec![out.to_owned()], String::new());
    while let Some(folder) = folders.pop() {
        text += &fs::read_to_string(folder.join("log.txt")).unwrap_or_default();
        folders.extend(inside(&folder).into_iter().filter(|path| path.is_dir()));
    }
    text
}

fn finish(mut child: Child) {
    assert!(child.wait().unwrap().success());
}

#[test]
fn killed_at_any_moment_a_table_ends_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_bundle(folder);
    let rows = every_method("{epochs: 3, batch: 64}");
    assert!(rows.lines().count() >= 8, "{rows}");
    let group = "{part: encoder, schedule: {name: plateau, patience: 0, threshold: 0.9}}";
    let grouped = format!("\n  - {{name: grouped, method: joint, train: {{epochs: 3, batch: 64, groups: [{group}]}}}}");
    fs::write(folder.join("table.yaml"), bundle_text(&(rows + &grouped))).unwrap();
    let begin = Instant::now();
    finish(start(folder, "alone"));
    let time = begin.elapsed().as_secs_f64();
    let alone = files(&folder.join("alone"));

    let mut moments = Rng::keyed(0, "moments");
    let (mut killed, mut tables, mut within) = (0, 0, 0);
    while killed < kills() {
        let out = format!("killed{tables}");
        let done = loop {
            let mut child = start(folder, &out);
            std::thread::sleep(Duration::from_secs_f64(moments.range(0., time / 8.)));
            if let Some(status) = child.try_wait().unwrap() {
                assert!(status.success());
                break true;
            }
            child.kill().unwrap();
            child.wait().unwrap();
            killed += 1;
            if killed == kills() {
                break false;
            }
        };
        if !done {
            finish(start(folder, &out));
        }
        assert_same(&alone, &files(&folder.join(&out)));
        within += logs(&folder.join(&out)).matches("steps of the next").count();
        tables += 1;
    }
    assert!(within > 0, "no run went on within an epoch");
}
