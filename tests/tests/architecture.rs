//! Invariants of the workspace's shape.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A room and the rooms that it may use.
type Arrows = (&'static str, &'static [&'static str]);

/// The crates from the ground up, each with those that it depends on.
const CRATES: [Arrows; 25] = [
    ("aim-pins", &[]),
    ("aim-ops", &["aim-pins"]),
    ("aim-media", &[]),
    ("aim-stats", &[]),
    ("aim-pats", &["aim-pins"]),
    ("aim-core", &["aim-pins"]),
    ("aim-config", &["aim-core"]),
    ("aim-backbones", &["aim-config", "aim-core", "aim-ops"]),
    ("aim-functional", &["aim-backbones", "aim-core", "aim-ops"]),
    ("aim-fusion", &["aim-backbones", "aim-config", "aim-core", "aim-ops"]),
    ("aim-optim", &["aim-config", "aim-core", "aim-ops"]),
    ("aim-balance", &["aim-config", "aim-core", "aim-ops", "aim-stats"]),
    ("aim-data", &["aim-config", "aim-core", "aim-media"]),
    (
        "aim-train",
        &[
            "aim-backbones",
            "aim-balance",
            "aim-config",
            "aim-core",
            "aim-data",
            "aim-fusion",
            "aim-ops",
            "aim-optim",
            "aim-stats",
        ],
    ),
    (
        "aim-golden",
        &["aim-backbones", "aim-balance", "aim-core", "aim-data", "aim-fusion", "aim-optim", "aim-stats", "aim-train"],
    ),
    ("aim-report", &["aim-balance", "aim-config", "aim-core", "aim-stats", "aim-train"]),
    ("aim-slurm", &["aim-core", "aim-train"]),
    (
        "aim-benches",
        &[
            "aim-backbones",
            "aim-balance",
            "aim-config",
            "aim-core",
            "aim-data",
            "aim-fusion",
            "aim-ops",
            "aim-optim",
            "aim-train",
        ],
    ),
    (
        "aim-cli",
        &[
            "aim-backbones",
            "aim-balance",
            "aim-benches",
            "aim-config",
            "aim-core",
            "aim-data",
            "aim-fusion",
            "aim-golden",
            "aim-ops",
            "aim-optim",
            "aim-report",
            "aim-slurm",
            "aim-stats",
            "aim-train",
        ],
    ),
    (
        "aim-learn",
        &[
            "aim-backbones",
            "aim-balance",
            "aim-cli",
            "aim-config",
            "aim-core",
            "aim-data",
            "aim-functional",
            "aim-fusion",
            "aim-ops",
            "aim-optim",
            "aim-report",
            "aim-stats",
            "aim-train",
        ],
    ),
    (
        "aim-examples",
        &[
            "aim-backbones",
            "aim-balance",
            "aim-core",
            "aim-data",
            "aim-fusion",
            "aim-learn",
            "aim-ops",
            "aim-optim",
            "aim-stats",
            "aim-train",
        ],
    ),
    ("aim-checks", &[]),
    (
        "aim-tests",
        &[
            "aim-balance",
            "aim-config",
            "aim-core",
            "aim-data",
            "aim-fusion",
            "aim-ops",
            "aim-optim",
            "aim-report",
            "aim-train",
        ],
    ),
    (
        "aim-attack",
        &[
            "aim-config",
            "aim-core",
            "aim-data",
            "aim-golden",
            "aim-media",
            "aim-report",
            "aim-slurm",
            "aim-tests",
            "aim-train",
        ],
    ),
    ("xtask", &["aim-cli", "aim-core"]),
];

/// The modules of `aim-train` from the ground up, each with those that it names.
const TRAIN: [Arrows; 6] = [
    ("learner", &[]),
    ("metrics", &[]),
    ("registries", &["metrics"]),
    ("config", &["metrics", "registries"]),
    ("run", &["config", "learner", "metrics", "registries"]),
    ("experiment", &["config", "learner", "metrics", "registries", "run"]),
];

/// Arrows that were found, each with the file that draws it.
type Found = BTreeMap<(String, String), PathBuf>;

/// Every arrow found is in the list and every arrow of the list is found, and all go down.
fn compare(list: &[Arrows], rooms: &BTreeSet<String>, found: &Found) {
    let listed: BTreeSet<String> = list.iter().map(|(room, _)| (*room).to_owned()).collect();
    assert_eq!(&listed, rooms, "the list names the rooms that there are");
    let all = list.iter().flat_map(|(from, to)| to.iter().map(move |to| ((*from).to_owned(), (*to).to_owned())));
    let all: BTreeSet<(String, String)> = all.collect();
    for (arrow @ (from, to), file) in found {
        assert!(all.contains(arrow), "{}: `{from}` must not use `{to}`, or the list must say so", file.display());
    }
    for (from, to) in &all {
        assert!(found.contains_key(&(from.clone(), to.clone())), "`{from}` no longer uses `{to}`: shorten the list");
        let floor = |room: &String| list.iter().position(|(other, _)| other == room);
        assert!(floor(to) < floor(from), "`{from}` uses `{to}`, which stands above it");
    }
}

/// Manifests of the workspace's members.
fn manifests() -> Vec<PathBuf> {
    let crates = fs::read_dir(Path::new(ROOT).join("crates")).unwrap().map(|entry| entry.unwrap().path());
    let others = ["xtask", "xtask/checks", "tests", "tests/attack", "benches", "examples"]
        .map(|name| Path::new(ROOT).join(name));
    crates.chain(others).map(|folder| folder.join("Cargo.toml")).filter(|path| path.exists()).collect()
}

/// The name in a manifest, and the crates of the workspace that it depends on outside its tests.
fn manifest(text: &str) -> (String, BTreeSet<String>) {
    let (mut name, mut section, mut crates) = (String::new(), "", BTreeSet::new());
    for line in text.lines().map(str::trim) {
        let key = line.split(['.', ' ', '=']).next().unwrap_or_default();
        if line.starts_with('[') {
            section = line;
        } else if section == "[package]" && key == "name" {
            name = line.split('"').nth(1).unwrap_or_default().into();
        } else if section.ends_with("dependencies]") && !section.contains("dev-") && key.starts_with("aim-") {
            crates.insert(key.to_owned());
        }
    }
    (name, crates)
}

#[test]
fn arrows_between_crates_are_those_of_the_list() {
    let (mut rooms, mut found) = (BTreeSet::new(), Found::new());
    for path in manifests() {
        let (name, crates) = manifest(&fs::read_to_string(&path).unwrap());
        found.extend(crates.into_iter().map(|to| ((name.clone(), to), path.clone())));
        rooms.insert(name);
    }
    compare(&CRATES, &rooms, &found);
}

/// Rust sources under a path, with their text.
fn sources(path: &Path) -> Vec<(PathBuf, String)> {
    if path.is_dir() {
        return fs::read_dir(path).unwrap().flat_map(|entry| sources(&entry.unwrap().path())).collect();
    }
    let rust = path.extension().is_some_and(|e| e == "rs");
    if rust { vec![(path.to_owned(), fs::read_to_string(path).unwrap())] } else { Vec::new() }
}

/// Names behind each `crate::` outside comments, those of a group included.
fn reached(source: &str) -> BTreeSet<String> {
    let code: Vec<&str> = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    code.join("\n").split("crate::").skip(1).flat_map(first_names).collect()
}

/// The first name of each path: `a::b` gives `a`; `{a, b::{c, d}}` gives `a` and `b`.
fn first_names(path: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_' || *c == '*').collect()
    };
    let Some(group) = path.strip_prefix('{') else { return vec![name(path)] };
    let (mut depth, mut names) = (1, vec![String::new()]);
    for c in group.chars() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        match names.last_mut() {
            _ if depth == 0 => break,
            _ if depth == 1 && c == ',' => names.push(String::new()),
            Some(last) => last.push(c),
            None => {}
        }
    }
    names.iter().map(|text| name(text)).filter(|name| !name.is_empty()).collect()
}

#[test]
fn names_behind_crate_are_found_in_groups_too() {
    let source = "use crate::{\n    a::{b, c},\n    d,\n};\n// crate::comment\nfn f() { crate::e::g(super::h) }";
    assert_eq!(reached(source).into_iter().collect::<Vec<_>>(), ["a", "d", "e"]);
}

/// The module behind each name that a crate's root exports again.
fn exports(root: &str) -> BTreeMap<String, String> {
    let uses = root.lines().filter_map(|line| line.strip_prefix("pub use ")?.trim_end_matches(';').split_once("::"));
    uses.flat_map(|(module, names)| first_names(names).into_iter().map(|name| (name, module.to_owned()))).collect()
}

#[test]
fn arrows_between_modules_of_training_are_those_of_the_list() {
    let folder = Path::new(ROOT).join("crates/aim-train/src");
    let exports = exports(&fs::read_to_string(folder.join("lib.rs")).unwrap());
    let (mut rooms, mut found) = (BTreeSet::new(), Found::new());
    for entry in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
        let room = entry.file_stem().unwrap().to_str().unwrap().to_owned();
        if room == "lib" || sources(&entry).is_empty() {
            continue;
        }
        for (file, text) in sources(&entry) {
            // From the root of a module `super` is the crate.
            let up = if file.ends_with("mod.rs") || file == entry { "super::" } else { "super::super" };
            assert!(!text.contains(up), "{}: write `crate::`, which this test reads", file.display());
            let module = |name: String| exports.get(&name).cloned().unwrap_or(name);
            let others = reached(&text).into_iter().map(module).filter(|to| *to != room);
            found.extend(others.map(|to| ((room.clone(), to), file.clone())));
        }
        rooms.insert(room);
    }
    compare(&TRAIN, &rooms, &found);
}

/// Crates that a crate of the workspace depends on, directly or not.
fn dependencies(of: &str) -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let tree = Command::new(cargo)
        .args(["tree", "--package", of, "--edges", "normal", "--prefix", "none"])
        .current_dir(ROOT)
        .output()
        .unwrap();
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    String::from_utf8(tree.stdout).unwrap()
}

#[test]
fn methods_see_no_network_optimizer_or_data() {
    let tree = dependencies("aim-balance");
    assert!(tree.contains("aim-core v"));
    for other in ["aim-backbones", "aim-fusion", "aim-optim", "aim-data", "aim-train"] {
        assert!(!tree.contains(other), "aim-balance must not depend on {other}");
    }
}

/// Crates of the workspace below one, but for the empty one that asks for features.
fn ours_below(name: &str) -> Vec<String> {
    let ours = |line: &&str| line.starts_with("aim-") && !line.starts_with("aim-pins ");
    dependencies(name).lines().skip(1).filter(ours).map(Into::into).collect()
}

#[test]
fn the_vocabulary_stands_on_candle_alone() {
    assert_eq!(ours_below("aim-core"), [""; 0]);
}

#[test]
fn crates_are_used_without_yaml() {
    for name in ["aim-core", "aim-balance", "aim-backbones", "aim-fusion", "aim-optim"] {
        let tree = dependencies(name);
        assert!(!tree.contains("serde_norway") && !tree.contains("serde_yaml"), "{name} reads YAML:\n{tree}");
    }
}

/// Rust files of the workspace outside its test crates and folders of tests.
fn product(folder: &Path, found: &mut Vec<PathBuf>) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && !["tests", "target"].contains(&name.as_str()) && !name.starts_with('.') {
            product(&path, found);
        } else if name.ends_with(".rs") {
            found.push(path);
        }
    }
}

#[test]
fn there_is_one_training_loop() {
    let mut files = vec![];
    product(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")), &mut files);
    assert!(files.len() > 100, "{} files", files.len());
    let calls = |path: &PathBuf| fs::read_to_string(path).unwrap().matches(".step(&mut Step").count();
    let found: Vec<_> = files.iter().map(|path| (path, calls(path))).filter(|(_, calls)| *calls > 0).collect();
    assert!(matches!(&found[..], [(path, 1)] if path.ends_with("aim-train/src/learner.rs")), "{found:?}");
}

#[test]
fn operations_and_search_know_nothing_of_modalities_and_statistics_nothing_of_tensors() {
    assert_eq!(ours_below("aim-ops"), [""; 0]);
    assert_eq!(ours_below("aim-pats"), [""; 0]);
    assert!(!dependencies("aim-stats").contains("candle"));
}
