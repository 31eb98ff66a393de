//! The protocol by its commands: pilots, the table that they ask for, its ledger, the same table from it, and several
//! sets.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use aim_tests::{bundle_text, files, write_bundle};

const ROWS: &str = "  - {name: joint, method: joint}\n  - {name: aim, method: {name: aim, warmup: 0}}\n";

fn xtask(folder: &Path, line: &str) -> (Output, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    let output = command.current_dir(folder).args(line.split(' ')).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, told) = (text(&output.stdout), text(&output.stderr));
    (output, out, told)
}

/// A bundle and a table that plans a comparison.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_bundle(folder.path());
    let planned = "planned: {of: aim, against: [joint]}\npower: {pilots: 3, least: 2, most: 3}\nseeds: auto";
    fs::write(folder.path().join("one.yaml"), bundle_text(ROWS).replace("seeds: 1", planned)).unwrap();
    let other = bundle_text(ROWS).replace("seeds: 1", planned).replace("name: test", "name: other");
    fs::write(folder.path().join("other.yaml"), other).unwrap();
    folder
}

#[test]
fn from_pilots_to_a_table_that_another_machine_need_not_train() {
    let folder = folder();
    let folder = folder.path();
    let (early, _, told) = xtask(folder, "reproduce one.yaml");
    assert!(early.status.code() == Some(1) && told.contains("start the command `power`"), "{told}");

    let (power, out, told) = xtask(folder, "power one.yaml");
    assert!(
        power.status.success() && out.contains("seeds by sign flips") && out.contains("aim - joint"),
        "{out}{told}"
    );
    assert!(told.contains("plan: 2 rows with 3 seeds: 6 runs, 0 of them done; time unknown"), "{told}");

    let (made, out, told) = xtask(folder, "reproduce one.yaml");
    assert!(made.status.success() && out.contains("planned comparisons of `aim`"), "{out}{told}");
    assert!(told.contains("plan: 2 rows with 3 seeds (found by `power`") && told.contains("about 0.0 hours"), "{told}");
    let results = |out: &str| files(&folder.join(out)).keys().filter(|path| path.ends_with("result.json")).count();
    assert_eq!(results("runs"), 12);

    let (kept, out, told) = xtask(folder, "ledger runs/test --to ledger");
    assert!(kept.status.success() && out.contains("ledger/test.jsonl.gz: 12 runs"), "{out}{told}");
    let (again, out, told) = xtask(folder, "reproduce one.yaml --seeds 3 --ledger=ledger --out elsewhere");
    assert!(again.status.success() && out.contains("6 of the 6 runs are from the ledger"), "{out}{told}");
    assert!(told.contains("6 of them done; nothing is left to do"), "{told}");
    assert!(out.contains("declared before any run of the table was done"), "the ledger keeps that, too: {out}");
    assert_eq!(results("elsewhere"), 0);

    assert!(xtask(folder, "reproduce other.yaml --seeds 3").0.status.success());
    let (across, out, told) = xtask(folder, "across runs/test runs/other");
    assert!(across.status.success() && out.contains("mean over sets") && out.contains("were planned"), "{out}{told}");
    let (chosen, out, _) = xtask(folder, "across runs/test runs/other --of joint --against aim");
    assert!(chosen.status.success() && out.contains("ATTENTION: the comparisons were chosen"), "{out}");
}
