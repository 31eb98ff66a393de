//! Cargo compiles candle once: whatever crate is asked for, its dependencies have the same features.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

/// Sets of features of each package that `cargo tree` lists, by name and version: one, unless it is compiled twice.
fn features(arguments: &[&str]) -> BTreeMap<String, BTreeSet<String>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut tree = Command::new(cargo);
    tree.args(["tree", "--prefix", "none", "--format", "{p};{f}"]).args(arguments);
    let output = tree.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut packages: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, features) in text.lines().filter_map(|line| line.split_once(';')) {
        packages.entry(name.to_owned()).or_default().insert(features.trim_end_matches(" (*)").to_owned());
    }
    packages
}

/// Every crate below `crates/`, and `xtask`.
fn members() -> Vec<String> {
    let folder = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/../crates")).unwrap();
    let names = folder.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.chain(["xtask".to_owned()]).collect()
}

#[test]
fn candle_is_compiled_once_whatever_crate_is_asked_for() {
    let candle: BTreeSet<String> =
        features(&["-p", "candle-core", "-p", "candle-nn", "-e", "normal,build"]).into_keys().collect();
    assert!(candle.len() > 50);
    let all = features(&["--workspace"]);
    let members = members();
    let alone = members.iter().flat_map(|name| [vec!["-p", name], vec!["-p", name, "-e", "normal,build"]]);
    let with = ["media", "parquet"].map(|feature| vec!["-p", "xtask", "--features", feature]);
    for arguments in alone.chain(with) {
        let found = features(&arguments);
        // A crate without candle does not compile it.
        if !found.keys().any(|package| package.starts_with("candle-core ")) {
            continue;
        }
        for (package, own) in found.iter().filter(|(package, _)| candle.contains(*package)) {
            assert!(
                own.is_subset(&all[package]),
                "{arguments:?}: {package} has features {own:?}, in the whole workspace {:?}: add them to crates/aim-pins",
                all[package]
            );
        }
    }
}
