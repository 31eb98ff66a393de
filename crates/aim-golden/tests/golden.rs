//! Golden cases, through the ordinary methods, fusions and optimizers: those of `tests/golden` on every clone, and
//! those of the folder that `AIM_GOLDEN` names where it is set. Every method has some, or a test that computes numbers
//! by hand.
#![allow(
    clippy::unwrap_used,
    clippy::explicit_write,
    reason = "helpers of tests; the macro for stderr would be captured"
)]

use std::{
    collections::BTreeSet,
    fmt, fs,
    io::Write,
    path::{Path, PathBuf},
};

use serde_json::Value;

const OWN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden");
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Folders of cases, by name.
fn cases(root: &Path) -> Vec<PathBuf> {
    let folders = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<PathBuf> = folders.filter(|dir| dir.join("case.json").exists()).collect();
    cases.sort();
    cases
}

fn name(case: &Path) -> String {
    case.file_name().unwrap().to_string_lossy().into_owned()
}

fn said(case: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(case.join("case.json")).unwrap()).unwrap()
}

/// Names of cases by how they ended.
#[derive(Default)]
struct Outcome {
    passed: usize,
    /// With what they name that does not exist.
    skipped: Vec<String>,
    failed: Vec<String>,
}

impl Outcome {
    fn of(cases: &[PathBuf], may_skip: bool) -> Self {
        let mut outcome = Self::default();
        for case in cases {
            match aim_golden::check(case, &candle_core::Device::Cpu) {
                Ok(verdict) if verdict.passed() => outcome.passed += 1,
                Ok(verdict) => outcome.failed.push(format!("{}:\n{verdict}", name(case))),
                Err(error) => match unknown(&said(case), &error.to_string()).filter(|_| may_skip) {
                    Some(what) => outcome.skipped.push(format!("{} ({what})", name(case))),
                    None => outcome.failed.push(format!("{}: {error}", name(case))),
                },
            }
        }
        outcome
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} golden cases passed, {} skipped, {} failed", self.passed, self.skipped.len(), self.failed.len())?;
        if !self.skipped.is_empty() {
            write!(f, "; skipped, not built: {}", self.skipped.join(", "))?;
        }
        self.failed.iter().try_for_each(|failure| write!(f, "\n{failure}"))
    }
}

/// The method, function or fusion of a refused case that is not there.
fn unknown(case: &Value, error: &str) -> Option<String> {
    let of = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (method, fusion) = (of(&case["method"]), of(&case["model"]["fusion"]));
    if case["kind"] == "numeric" {
        return error.contains("there is no numeric function").then(|| format!("function {method}"));
    }
    if aim_balance::builtin().get(&method, "method").is_err() {
        return Some(format!("method {method}"));
    }
    // Cases say `none` where the method has heads of its own.
    (fusion != "none" && aim_fusion::builtin().get(&fusion, "model.fusion").is_err())
        .then(|| format!("fusion {fusion}"))
}

/// Past the capture of test output, which swallows what passing tests print.
fn say(line: &str) {
    writeln!(std::io::stderr(), "{line}").unwrap();
}

#[test]
fn golden_cases() {
    let cases = cases(Path::new(OWN));
    let outcome = Outcome::of(&cases, false);
    assert!(outcome.passed == cases.len() && outcome.passed > 0, "{outcome}");
}

#[test]
fn further_golden_cases() {
    let Some(root) = std::env::var_os("AIM_GOLDEN").map(PathBuf::from) else {
        return say("skipped: AIM_GOLDEN is not set (further golden cases; those of the repository were run)");
    };
    let outcome = Outcome::of(&cases(&root), true);
    say(&format!("AIM_GOLDEN: {outcome}"));
    assert!(outcome.failed.is_empty() && outcome.passed > 0, "{outcome}");
}

#[test]
fn only_a_case_of_something_that_does_not_exist_may_be_skipped() {
    let training = |method: &str, fusion: &str| {
        let case = serde_json::json!({"kind": "training", "method": method, "model": {"fusion": fusion}});
        unknown(&case, "a wrong setting")
    };
    assert_eq!(training("joint", "concat"), None);
    assert_eq!(training("igm", "none"), None);
    assert_eq!(training("unheard", "concat").unwrap(), "method unheard");
    assert_eq!(training("joint", "unheard").unwrap(), "fusion unheard");
    let numeric = |error| unknown(&serde_json::json!({"kind": "numeric", "method": "unheard"}), error);
    assert_eq!(numeric("no batch tensor `x`"), None);
    assert_eq!(numeric("there is no numeric function `unheard`").unwrap(), "function unheard");
}

/// A row of the table of methods: the method, and the cases and tests that it names.
fn rows() -> Vec<(String, Vec<String>)> {
    let page = fs::read_to_string(Path::new(OWN).join("README.md")).unwrap();
    let (_, section) = page.split_once("\n## Methods\n").unwrap();
    let table = section.lines().take_while(|line| !line.starts_with("## ")).filter(|line| line.starts_with("| "));
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let row = |line: &str| {
        let cells = cells(line);
        (cells[1].clone(), cells[2].split('`').skip(1).step_by(2).map(str::to_owned).collect())
    };
    table.skip(1).map(row).collect()
}

/// Whether a name in the table is that of a case, or of a test in its file.
fn exists(reference: &str) -> bool {
    match reference.split_once("::") {
        None => Path::new(OWN).join(reference).join("case.json").exists(),
        Some((file, test)) => {
            let source = fs::read_to_string(Path::new(ROOT).join(file)).unwrap_or_default();
            let before = source.split_once(&format!("fn {test}()")).map(|(before, _)| before.trim_end());
            before.is_some_and(|before| before.ends_with("#[test]"))
        }
    }
}

#[test]
fn the_table_names_methods_cases_and_tests_that_exist() {
    let methods: Vec<&str> = aim_balance::builtin().iter().map(|card| card.name()).collect();
    for (method, references) in rows() {
        assert!(methods.contains(&method.as_str()), "`{method}` is no method");
        assert!(!references.is_empty(), "{method} has no case or test");
        let absent: Vec<&String> = references.iter().filter(|reference| !exists(reference)).collect();
        assert!(absent.is_empty(), "{method}: {absent:?} do not exist");
    }
    for absent in [
        "unheard-mlp-1",
        "crates/aim-golden/tests/golden.rs::unheard",
        "crates/aim-golden/tests/golden.rs::rows",
        "unheard.rs::rows",
    ] {
        assert!(!exists(absent), "{absent}");
    }
}

#[test]
fn every_method_has_reference_numbers() {
    let of_cases = cases(Path::new(OWN)).into_iter().map(|case| said(&case)["method"].as_str().unwrap().to_owned());
    let known = rows().into_iter().filter(|(_, references)| references.iter().any(|reference| exists(reference)));
    let covered: BTreeSet<String> = of_cases.chain(known.map(|(method, _)| method)).collect();
    let names = aim_balance::builtin().iter().map(|card| card.name());
    let without: Vec<&str> = names.filter(|name| !covered.contains(*name)).collect();
    assert_eq!(without, [""; 0], "put a case into tests/golden, or name a test in the table of its README.md");
}
