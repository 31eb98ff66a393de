//! The commands `predict` and `export`: from a table to the answers for a file, in one folder and in another.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use aim_tests::{bundle_text, split, write_bundle, write_split};

fn xtask(folder: &Path, arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.current_dir(folder).args(arguments.split_whitespace()).output().unwrap()
}

/// What a command that must succeed prints.
fn done(folder: &Path, arguments: &str) -> String {
    let output = xtask(folder, arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_run_and_its_export_answer_for_new_samples_from_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write_bundle(at);
    fs::write(at.join("table.yaml"), bundle_text("  - {name: joint, method: joint}")).unwrap();
    let trained = done(at, "train --config table.yaml --row joint --quiet");
    let run = PathBuf::from(trained.lines().find_map(|line| line.strip_prefix("folder: ")).unwrap());
    let evaluated = done(at, &format!("eval --run {}", run.display()));
    let accuracy = evaluated.lines().find_map(|line| line.strip_prefix("test accuracy ")).unwrap();
    let said = done(at, &format!("predict --run {} test.safetensors --out own.csv", run.display()));
    assert!(said.contains(&format!("45 samples, {} of 45", &accuracy[..6])), "{said}\n{evaluated}");

    done(at, &format!("export --run {} --out exported", run.display()));
    let mut new = split("test", 45);
    new.remove("y");
    write_split(at, "new", &new);
    let said = done(at, "predict --run exported new.safetensors --out exported.csv --quiet");
    assert!(said.contains("45 samples\n") && said.contains("predictions: exported.csv"), "{said}");
    assert_eq!(fs::read(at.join("own.csv")).unwrap(), fs::read(at.join("exported.csv")).unwrap());

    let refused = xtask(at, "predict --run exported table.yaml --out none.csv");
    let error = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && error.contains("is no file of tensors"), "{error}");
    assert!(!at.join("none.csv").exists());
}
