//! Golden cases with other settings: every expected quantity is still there, under its name, and nothing else is
//! refused.
//!
//! The values are others, so only their presence is looked at, except where a variation must not change them.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{collections::HashMap, path::Path};

use aim_golden::{Verdict, check};
use candle_core::{Device, Tensor};
use serde_json::{Value, json};

/// What the case says with each key of `changes` (`hyper` where it has no slash) set to its value; `null` removes it.
fn varied(case: &str, changes: &[(&str, Value)]) -> Verdict {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden"));
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
            None if value.is_null() => drop(spec["hyper"].as_object_mut().unwrap().remove(*key)),
            None => spec["hyper"][key] = value.clone(),
        }
    }
    std::fs::write(&path, spec.to_string()).unwrap();
    check(folder.path(), &Device::Cpu).unwrap()
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

/// Tensors of a file.
type Named = HashMap<String, Tensor>;

/// A case of a function of tensors: its settings, inputs and results.
fn numeric(method: &str, hyper: &Value, batch: Named, expected: Named) -> Verdict {
    let folder = tempfile::tempdir().unwrap();
    let group = |key: &String| (key.split('.').next().unwrap().to_owned(), json!({"atol": 1e-6, "rtol": 0.}));
    let tolerance: serde_json::Map<_, _> = expected.keys().map(group).collect();
    let case = json!({"method": method, "kind": "numeric", "model": null, "hyper": hyper, "optimizer": null,
        "steps": 0, "epoch": 0, "tolerance": tolerance});
    std::fs::write(folder.path().join("case.json"), case.to_string()).unwrap();
    for (file, tensors) in [("batch", batch), ("expected", expected)] {
        candle_core::safetensors::save(&tensors, folder.path().join(format!("{file}.safetensors"))).unwrap();
    }
    check(folder.path(), &Device::Cpu).unwrap()
}

#[test]
fn predictions_of_di_mml_by_hand() {
    // Largest probabilities 3/4, 1/2 and 4/5; a temperature of 1/2 doubles them.
    let all =
        [("a", [3f64.ln(), 0.], 1.5f64.exp()), ("b", [1., 1.], 1f64.exp()), ("fused", [0., 4f64.ln()], 1.6f64.exp())];
    for (count, key) in [(2, "temperature"), (3, "fuse_temperature")] {
        let known = &all[..count];
        let total: f64 = known.iter().map(|(.., sure)| sure).sum();
        let sum = |class: usize| known.iter().map(|(_, x, sure)| sure / total * x[class]).sum::<f64>();
        let row = |values: &[f64]| Tensor::new(values, &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        let batch = known.iter().map(|(name, x, _)| (format!("logits.{name}"), row(x))).collect();
        let weights: Vec<f64> = known.iter().map(|(.., sure)| sure / total).collect();
        let one = |((name, ..), w): (&(&str, _, _), &f64)| {
            (format!("weight.{name}"), Tensor::new(&[*w], &Device::Cpu).unwrap())
        };
        let mut expected: Named = known.iter().zip(&weights).map(one).collect();
        expected.extend([("weight".into(), row(&weights)), ("logits".into(), row(&[sum(0), sum(1)]))]);
        let verdict = numeric("dimml_fusion", &json!({"modalities": ["a", "b"], key: 0.5}), batch, expected);
        assert!(verdict.passed() && verdict.keys == count + 2, "{verdict}");
    }
}

#[test]
fn encoders_that_a_case_of_remix_leaves_out_rest_unless_it_says_otherwise() {
    let verdict = varied("remix-mlp-1", &[("absent", Value::Null)]);
    assert!(verdict.passed(), "{verdict}");
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
