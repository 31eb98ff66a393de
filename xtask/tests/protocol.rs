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
fn the_plan_counts_trials_until_their_choice_is_stored() {
    let folder = folder();
    let folder = folder.path();
    let rows = "  - {name: joint, method: joint, tune: {grid: {optimizer.lr: [0.01, 0.02]}}}\n";
    fs::write(folder.join("t.yaml"), bundle_text(rows)).unwrap();
    for (seeds, plan) in [
        (2, "plan: 1 rows with 2 seeds and 2 trials before: 4 runs, 0 of them done"),
        (2, "plan: 1 rows with 2 seeds: 2 runs, 2 of them done; nothing is left to do"),
        (3, "plan: 1 rows with 3 seeds: 3 runs, 2 of them done"),
    ] {
        let (made, _, told) = xtask(folder, &format!("reproduce t.yaml --seeds {seeds}"));
        assert!(made.status.success() && told.contains(plan), "{told}");
    }
}

#[test]
fn runs_of_another_revision_are_told_of_once() {
    let folder = tempfile::tempdir().unwrap();
    for (path, bytes) in files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/older")) {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
    for times in [1, 0] {
        let (made, _, told) = xtask(folder.path(), "reproduce older.yaml --seeds 3 --jobs 2");
        assert!(made.status.success() && told.matches("they are made anew").count() == times, "{told}");
        assert_eq!(told.contains("revision 1 of `aim`, which is now at revision"), times == 1, "{told}");
    }
}

#[test]
fn from_pilots_to_a_table_that_another_machine_need_not_train() {
    let folder = folder();
    let folder = folder.path();
    let (early, _, told) = xtask(folder, "reproduce one.yaml");
    assert!(early.status.code() == Some(1) && told.contains("start the command `power`"), "{told}");

    let (printed, out, told) = xtask(folder, "power one.yaml --print-config --seeds 4");
    assert!(printed.status.success() && out.contains("seeds: auto") && out.contains("pilots: 4"), "{out}{told}");
    let (few, _, told) = xtask(folder, "power one.yaml --seeds 2");
    assert!(few.status.code() == Some(1) && told.contains("power.pilots: is out of range; use at least 3"), "{told}");
    assert!(!folder.join("runs/test").exists(), "nothing was made so far");

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
    let (typo, _, told) = xtask(folder, "reproduce one.yaml --seeds 3 --ledger=leger --out elsewhere");
    assert!(typo.status.code() == Some(1) && told.contains("leger: is no folder"), "{told}");
    assert!(!folder.join("elsewhere").exists(), "nothing was made");
    let (again, out, told) = xtask(folder, "reproduce one.yaml --seeds 3 --ledger=ledger --out elsewhere");
    assert!(again.status.success() && out.contains("6 of the 6 runs are from the ledger"), "{out}{told}");
    assert!(told.contains("6 of them done; nothing is left to do"), "{told}");
    assert!(out.contains("declared before any run of the table was done"), "the ledger keeps that, too: {out}");
    assert_eq!(results("elsewhere"), 0);

    assert!(xtask(folder, "reproduce other.yaml --seeds 3").0.status.success());
    let (across, out, told) = xtask(folder, "across runs/test runs/other");
    assert!(across.status.success() && out.contains("mean over sets") && out.contains("were planned"), "{out}{told}");
    let (chosen, out, _) = xtask(folder, "across runs/test runs/other --of joint --against aim");
    let said = out.contains("ATTENTION: not all comparisons were planned before the runs");
    assert!(chosen.status.success() && said, "{out}");
}
