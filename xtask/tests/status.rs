//! `status` of a table that is being made here says what is done of what is planned, and how long the rest takes.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use aim_tests::{bundle_text, write_bundle};

fn xtask(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.current_dir(folder).args(arguments);
    command
}

fn status(folder: &Path) -> String {
    let output = xtask(folder, &["status", "runs/test"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_table_in_the_making_has_a_total_and_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_bundle(folder);
    // The second run does not end within the test.
    let rows = "  - {name: joint, method: joint}\n  - {name: endless, method: joint, train: {epochs: 100000}}\n";
    let table = bundle_text(rows).replace("seeds: 1", "seeds: 3");
    fs::write(folder.join("table.yaml"), &table).unwrap();
    let arguments = ["reproduce", "table.yaml", "--quiet", "--jobs", "1"];
    let mut making = xtask(folder, &arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begin = Instant::now();
    let said = loop {
        // The folder may not be there yet.
        let said = xtask(folder, &["status", "runs/test"]).output().unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        if said.contains(" 1 done, 1 running") {
            break said;
        }
        assert!(begin.elapsed() < Duration::from_secs(60) && making.try_wait().unwrap().is_none(), "{said}");
        std::thread::sleep(Duration::from_millis(50));
    };
    making.kill().unwrap();
    making.wait().unwrap();
    assert!(said.contains("6 runs: 1 done, 1 running, 0 queued, 0 failed, 4 open\n"), "{said}");
    assert!(
        said.contains("\nplanned: 6 runs, 1 of them done; about ") && said.contains(" left with 1 at a time"),
        "{said}"
    );

    // Nothing of the note is left to do when all is done, and what else lies in the folder is no part of it.
    fs::write(folder.join("table.yaml"), table.replace("100000", "1")).unwrap();
    let short = ["reproduce", "table.yaml", "--quiet", "--seeds", "1"];
    assert!(xtask(folder, &short).stdout(Stdio::null()).status().unwrap().success());
    let said = status(folder);
    assert!(said.contains("\nplanned: 2 runs, 2 of them done\n"), "{said}");
}
