//! Every example runs and says what it should; none is long.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{fs, path::Path, process::Command};

/// What a program prints.
fn said(program: &str, arguments: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let output = Command::new(program).args(arguments).current_dir(root).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The numbers behind a word, in order.
fn numbers(text: &str, word: &str) -> Vec<f64> {
    let after = text.split(word).skip(1).filter_map(|rest| rest.split_whitespace().next());
    after.map(|number| number.trim_end_matches([',', ':']).parse().unwrap()).collect()
}

/// The first epoch is AIM's warm-up, whose loss is that of one pass.
fn falls_after_warmup(losses: &[f64]) {
    assert!(losses.len() > 2 && losses[losses.len() - 1] < losses[1], "{losses:?}");
}

#[test]
fn own_network_learns() {
    let text = said(env!("CARGO_BIN_EXE_own_network"), &[]);
    falls_after_warmup(&numbers(&text, "loss"));
    // Of ten classes.
    assert!(numbers(&text, "accuracy")[0] > 0.2, "{text}");
}

#[test]
fn bimodal_learns() {
    falls_after_warmup(&numbers(&said(env!("CARGO_BIN_EXE_bimodal"), &[]), "loss"));
}

#[test]
fn the_mechanism_is_told() {
    let out = tempfile::tempdir().unwrap();
    let text = said(env!("CARGO_BIN_EXE_mechanism"), &["2", out.path().to_str().unwrap()]);
    assert_eq!(text, fs::read_to_string(out.path().join("mechanism.md")).unwrap());
    // In its warm-up AIM is joint training; afterwards its auxiliary passes add to what reaches each encoder.
    let epoch = |n: usize| text.lines().find(|line| line.starts_with(&format!("| {n} |"))).unwrap();
    let norms = |n| epoch(n).split('|').skip(2).filter_map(|cell| cell.trim().parse().ok()).collect::<Vec<f64>>();
    assert!(norms(1)[0] == norms(1)[1] && norms(2)[1] > norms(2)[0] && norms(2)[3] > norms(2)[2], "{text}");
    let units = |name: &str| text.lines().filter(|line| line.starts_with(&format!("| {name}, depth"))).count();
    assert_eq!((units("sound"), units("image")), (3, 3), "{text}");
    let picture = fs::read_to_string(out.path().join("mechanism.svg")).unwrap();
    // 2 + 4 + 7 units of a tenth of 16, 32 and 64, of two encoders, in one epoch; and six frames.
    assert_eq!(picture.matches("<rect").count(), 2 * (2 + 4 + 7) + 6);
}

#[test]
fn own_method_trains_a_network() {
    let text = said(env!("CARGO_BIN_EXE_own_method"), &[]);
    assert!(numbers(&text, "accuracy")[0] > 0.3, "{text}");
}

#[test]
fn own_data_is_a_table() {
    let out = tempfile::tempdir().unwrap();
    let folder = out.path().to_str().unwrap();
    let text =
        said(env!("CARGO_BIN_EXE_own_data"), &["reproduce", "examples/own_data.yaml", "--quiet", "--out", folder]);
    assert!(["clear", "joint", "ogm-ge", "AIM"].iter().all(|row| text.contains(row)), "{text}");
    assert!(out.path().join("two-clocks/report.html").exists());
}

#[test]
fn ops_learns_with_plain_candle() {
    let losses = numbers(&said(env!("CARGO_BIN_EXE_ops"), &[]), "loss");
    assert!(losses[losses.len() - 1] < 0.5 * losses[0], "{losses:?}");
}

#[test]
fn stats_tells_the_better_from_the_noisy() {
    let text = said(env!("CARGO_BIN_EXE_stats"), &[]);
    let of = |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap().to_owned();
    assert!(of("better").ends_with("differs from joint"), "{text}");
    assert!(of("noisy").ends_with("no difference established"), "{text}");
}

#[test]
fn each_example_has_under_eighty_lines() {
    for name in ["bimodal", "own_network", "own_method", "own_data", "ops", "stats"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("{name}.rs"));
        let lines = fs::read_to_string(path).unwrap().lines().count();
        assert!(lines < 80, "{name}: {lines} lines");
    }
}
