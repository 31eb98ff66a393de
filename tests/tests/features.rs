//! Cargo compiles candle once: whatever crate is asked for, its dependencies have the same features.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

/// Features of each package that `cargo tree` lists, by name and version.
fn features(arguments: &[&str]) -> BTreeMap<String, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut tree = Command::new(cargo);
    tree.args(["tree", "--prefix", "none", "--format", "{p};{f}"]).args(arguments);
    let output = tree.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/..")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let package = |line: &str| {
        let (name, features) = line.split_once(';')?;
        Some((name.to_owned(), features.trim_end_matches(" (*)").to_owned()))
    };
    text.lines().filter_map(package).collect()
}

#[test]
fn candle_is_compiled_once_whatever_crate_is_asked_for() {
    let candle: BTreeSet<String> =
        features(&["-p", "candle-core", "-p", "candle-nn", "-e", "normal,build"]).into_keys().collect();
    assert!(candle.len() > 50);
    let all = features(&["--workspace"]);
    let asked = ["aim-core", "aim-ops", "aim-balance", "aim-data", "aim-train", "aim-learn", "xtask"];
    for arguments in asked.iter().flat_map(|name| [vec!["-p", name], vec!["-p", name, "-e", "normal,build"]]) {
        for (package, own) in features(&arguments).iter().filter(|(package, _)| candle.contains(*package)) {
            assert_eq!(
                own, &all[package],
                "{arguments:?}: {package} has other features than in the whole workspace: add them to crates/aim-pins"
            );
        }
    }
}
