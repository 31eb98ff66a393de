//! A folder with a table of four methods, and the command line in it.
#![allow(dead_code, reason = "every test uses a part")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;

/// Rows of [`TABLE`].
pub const ROWS: [&str; 4] = ["ogm-ge", "aim", "mbcd", "even-votes"];

/// A table of three methods of the workspace and our own; everything else in it is our own.
pub const TABLE: &str = "\
name: table
data: {name: pulses, train: 48, held_out: 24}
model:
  encoders: {wave: {plain-conv: {width: 6}}, pulse: plain-conv}
  fusion: voted
optimizer: {name: sign-descent, lr: 0.003}
schedule: {name: halving, every: 16}
train: {epochs: 48, batch: 12}
seeds: 1
baseline: ogm-ge
rows:
  - {name: ogm-ge, method: ogm-ge}
  - {name: aim, method: aim}
  - {name: mbcd, method: mbcd, model: {uni_heads: true}}
  - {name: even-votes, title: Even votes, method: {name: even-votes, weight: 2}}
";

/// A new folder with the file `table.yaml`.
pub fn folder(table: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("table.yaml"), table).unwrap();
    folder
}

/// Our program in a folder.
pub fn program(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outside"));
    command.current_dir(folder).args(args).env("CANDLE_NUM_THREADS", "1");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What the program prints when all goes well.
pub fn said(folder: &Path, args: &[&str]) -> String {
    let Output { status, stdout, stderr } = program(folder, args).output().unwrap();
    assert!(status.success(), "{args:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).unwrap()
}

/// What the program complains of.
pub fn refused(folder: &Path, args: &[&str]) -> String {
    let Output { status, stderr, .. } = program(folder, args).output().unwrap();
    assert!(!status.success(), "{args:?} is accepted");
    String::from_utf8(stderr).unwrap()
}

/// Every file below a folder.
pub fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut all, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for path in fs::read_dir(next).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else {
                all.insert(path.strip_prefix(folder).unwrap().to_owned(), fs::read(&path).unwrap());
            }
        }
    }
    all
}

/// The records of a table, by row.
pub fn records(out: &Path) -> BTreeMap<String, Value> {
    let text = fs::read_to_string(out.join("table/results.jsonl")).unwrap();
    let record = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    text.lines().map(record).map(|record| (record["row"].as_str().unwrap().to_owned(), record)).collect()
}

/// Folder of a row's run with seed 0.
pub fn run_folder(out: &Path, row: &str) -> PathBuf {
    let mine = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with(&format!("{row}."));
    let mut rows = fs::read_dir(out.join("table")).unwrap().map(|entry| entry.unwrap().path());
    rows.find(|path| path.is_dir() && mine(path)).unwrap().join("seed0")
}
