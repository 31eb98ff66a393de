//! Methods that decide which samples an epoch shows.

use aim_core::capability;
use std::path::Path;

use aim_tests::{bits, bundle_config, requires, run_folder, run_table, write_bundle};
use aim_train::config::{Scale, TableConfig};
use aim_train::standard;

fn run(rows: &str, folder: &Path, rest: &[&str]) {
    write_bundle(folder);
    let results = run_table(bundle_config(rows, rest), folder).unwrap();
    assert_eq!(results.failures, [""; 0]);
}

#[test]
fn without_copies_it_is_joint_training() {
    let folder = tempfile::tempdir().unwrap();
    let rows = "  - {name: joint, method: joint}
  - {name: late, method: {name: valuation, warmup: 3}}
  - {name: none, method: {name: valuation, level: modality, warmup: 0, alpha: 0}}
  - {name: sample, method: {name: valuation, warmup: 1}}
  - {name: modality, method: {name: valuation, level: modality, warmup: 1}}";
    run(rows, folder.path(), &[]);
    let joint = bits(&run_folder(folder.path(), "joint"));
    let of = |row: &str| bits(&run_folder(folder.path(), row));
    assert!(of("late") == joint && of("none") == joint);
    assert!(of("sample") != joint && of("modality") != joint && of("sample") != of("modality"));
}

#[test]
fn every_method_that_stacks_sees_batches_with_missing_modalities() {
    let folder = tempfile::tempdir().unwrap();
    write_bundle(folder.path());
    let mut ran = 0;
    for card in aim_balance::builtin() {
        let (name, uni_heads) = (card.name(), requires(card).wants(capability::UNI_HEADS));
        for fusion in ["concat", "separate", "shared"] {
            let row = format!(
                "  - {{name: {name}, method: [{name}, {{name: valuation, warmup: 1}}], train: {{epochs: 2}}, \
                 model: {{fusion: {fusion}, uni_heads: {uni_heads}}}}}"
            );
            let source = bundle_config(&row, &[]);
            if TableConfig::new(source.clone(), Scale::Normal, standard()).is_ok() {
                assert_eq!(run_table(source, folder.path()).unwrap().failures, [""; 0], "{name} with {fusion}");
                ran += 1;
            }
        }
    }
    assert!(ran > 20, "{ran} ran");
}

#[test]
fn masks_and_held_gates_change_a_run_and_neutral_settings_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let linear = "model: {fusion: sum-linear, uni_heads: true}";
    let gates = "model: {fusion: {mmtm: {squeeze: 4}}}";
    let rows = format!(
        "  - {{name: linear, method: joint-unimodal, {linear}}}
  - {{name: no-masks, method: {{name: amco, sigma: 1}}, {linear}}}
  - {{name: masks, method: {{name: amco, sigma: 0.3}}, {linear}}}
  - {{name: gates, method: joint, {gates}}}
  - {{name: free, method: {{name: greedy, window: 0}}, {gates}}}
  - {{name: slow, method: {{name: greedy, alpha: 1000}}, {gates}}}
  - {{name: held, method: greedy, {gates}}}"
    );
    run(&rows, folder.path(), &[]);
    let of = |row: &str| bits(&run_folder(folder.path(), row));
    assert!(of("no-masks") == of("linear") && of("masks") != of("linear"));
    assert!(of("free") == of("gates") && of("slow") == of("gates") && of("held") != of("gates"));
}

#[test]
fn arm_shows_samples_again() {
    let folder = tempfile::tempdir().unwrap();
    let rows = "  - {name: once, method: arm}
  - {name: late, method: {name: arm, resample: true, warmup: 3}}
  - {name: again, method: {name: arm, resample: true, warmup: 1}}
  - {name: min-max, method: {name: arm, min_max: 0.1}}";
    run(rows, folder.path(), &["model.fusion=shared", "model.modalities=[heart, breath]"]);
    let once = bits(&run_folder(folder.path(), "once"));
    let of = |row: &str| bits(&run_folder(folder.path(), row));
    assert!(of("late") == once && of("again") != once && of("min-max") != once);
}
