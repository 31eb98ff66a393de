//! Golden cases with other settings: every expected quantity is still there, under its name, and nothing else is
//! refused.
//!
//! The values are others, so only their presence is looked at, except where a variation must not change them.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;

use aim_golden::{Verdict, check};
use serde_json::{Value, json};

/// What the case says with each key of `changes` (`hyper` where it has no slash) set to its value; `null` removes it.
fn varied(case: &str, changes: &[(&str, Value)]) -> Verdict {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/golden"));
    let folder = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(root.join(case)).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), folder.path().join(file.file_name())).unwrap();
    }
    let path = folder.path().join("case.json");
    let mut spec: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
    for (key, value) in changes {
        match key.strip_prefix('/') {
            Some(key) => spec[key] = value.clone(),
            None => spec["hyper"][key] = value.clone(),
        }
    }
    std::fs::write(&path, spec.to_string()).unwrap();
    check(folder.path(), &candle_core::Device::Cpu).unwrap()
}

#[test]
fn words_that_are_no_settings_change_nothing() {
    for (case, word) in [("ogm-mlp-1", "quality"), ("cml-mlp-1", "conflict"), ("mbcd-mlp-1", "note")] {
        let verdict = varied(case, &[(word, json!(true))]);
        assert!(verdict.passed(), "{case}: {verdict}");
        assert!(verdict.unused.contains(&format!("hyper.{word}")), "{:?}", verdict.unused);
    }
}

#[test]
fn methods_without_a_stated_end_modulate_in_every_epoch() {
    for case in ["agm-mlp-1", "pmr-mlp-1"] {
        let verdict = varied(case, &[("/epoch", json!(1000))]);
        assert!(verdict.passed(), "{case}: {verdict}");
    }
}

#[test]
fn neutral_and_inactive_steps_say_all_that_others_say() {
    let zero = json!(0.);
    let variants: &[(&str, &[(&str, Value)])] = &[
        ("ogm-mlp-1", &[("/epoch", json!(60))]),
        ("ogm-mlp-1", &[("coefficient", json!("tpami")), ("/epoch", json!(60))]),
        ("sam-mlp-1", &[("rho", zero.clone())]),
        ("msam-mlp-literal", &[("rho", zero.clone())]),
        ("pmr-mlp-1", &[("alpha", zero.clone()), ("mu", zero.clone())]),
        ("igm-mlp-1", &[("lambda", zero.clone())]),
        ("igm-mlp-1", &[("rho", zero.clone())]),
        ("gblend-mlp-1", &[("weights", json!({"audio": 0., "visual": 0.6, "fused": 0.4}))]),
        ("reconboost-mlp-phase1", &[("previous", Value::Null)]),
    ];
    for (case, changes) in variants {
        let verdict = varied(case, changes);
        let absent = |f: &&aim_golden::Failure| f.problem.contains("missing") || f.problem.contains("absent");
        let absent: Vec<_> = verdict.failures.iter().filter(absent).map(|f| &f.key).collect();
        assert!(absent.is_empty(), "{case} with {changes:?}: {absent:?}");
    }
}
