//! A table of our own entries that is killed in every row, and started again by the same command, ends with the bits of
//! one left alone.

mod common;

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use common::{ROWS, TABLE, files, folder, program, run_folder, said};

fn reproduce(out: &str) -> [&str; 7] {
    ["reproduce", "table.yaml", "--quiet", "--jobs=1", "--checkpoint-every=0", "--out", out]
}

/// Whether a row has been trained for some epochs, but not for all.
fn midway(out: &Path, row: &str) -> bool {
    let begun = fs::read_dir(out.join("table")).is_ok_and(|rows| {
        let names = rows.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.into_iter().any(|name| name.starts_with(&format!("{row}.")))
    });
    let has = |file: &str| run_folder(out, row).join(file).exists();
    begun && has("previous.safetensors") && !has("result.json")
}

/// Starts the table, and kills it midway in a row where it was not killed before; the row, if it was in time.
fn killed(folder: &Path, out: &str, before: &BTreeSet<&'static str>) -> Option<&'static str> {
    let mut child = program(folder, &reproduce(out)).spawn().unwrap();
    while child.try_wait().unwrap().is_none() {
        let new = ROWS.into_iter().filter(|row| !before.contains(row)).find(|row| midway(&folder.join(out), row));
        if let Some(row) = new {
            child.kill().unwrap();
            child.wait().unwrap();
            return midway(&folder.join(out), row).then_some(row);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    None
}

#[test]
fn killed_midway_in_every_row_a_table_ends_with_the_same_bits() {
    let folder = folder(TABLE);
    let folder = folder.path();
    said(folder, &reproduce("alone"));
    let mut rows = BTreeSet::new();
    while let Some(row) = killed(folder, "killed", &rows) {
        rows.insert(row);
    }
    assert_eq!(rows, BTreeSet::from(ROWS), "rows that were killed");
    said(folder, &reproduce("killed"));

    let (alone, killed) = (files(&folder.join("alone")), files(&folder.join("killed")));
    assert_eq!(alone.keys().collect::<Vec<_>>(), killed.keys().collect::<Vec<_>>());
    let timed = |path: &Path| {
        let name = path.file_stem().unwrap().to_string_lossy();
        ["timing", "diagnosis", "report", "log", "events.out"].contains(&&*name)
    };
    for (path, bytes) in alone.iter().filter(|(path, _)| !timed(path)) {
        assert!(bytes == &killed[path], "{} differs", path.display());
    }
    assert!(alone.contains_key(Path::new("table/results.jsonl")));
}
