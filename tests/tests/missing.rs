//! Modalities that samples are made to lack, in training and in further tests, from the configuration to the table.

use std::fs;

use aim_tests::{bundle_config, run_folder, run_options, run_table, run_with, write_bundle, write_report};
use aim_train::{
    config::{Scale, TableConfig},
    standard,
};

const ROWS: &str = "  - {name: motion-alone, method: {name: unimodal, modality: motion}}
  - {name: joint, method: joint}
  - {name: aim, method: {name: aim, warmup: 0}}";

#[test]
fn a_table_scores_further_tests_in_which_modalities_are_missing() {
    let folder = tempfile::tempdir().unwrap();
    write_bundle(folder.path());
    let missing = "train.missing={counts: modalities, train: 0.4, test: [0, 0.5, 1]}";
    let options = run_options(folder.path());
    let results = run_with(bundle_config(ROWS, &[missing, "seeds=2"]), &options).unwrap();
    for run in results.rows.iter().flat_map(|row| &row.runs) {
        let lacking = &run.outcome.lacking;
        assert_eq!(lacking.keys().collect::<Vec<_>>(), ["0", "0.5", "1"]);
        // At rate 0 nothing is missing.
        assert_eq!(lacking["0"], run.outcome.test);
        assert!(lacking["1"].loss() > lacking["0"].loss(), "{lacking:?}");
    }
    // Whose only modality is missing answers the same for every such sample.
    let alone = &results.rows[0].runs[0].outcome.lacking;
    assert!(alone["1"].accuracy() < alone["0.5"].accuracy() && alone["0.5"].accuracy() < alone["0"].accuracy());
    let joint = &results.rows[1].runs[0].outcome.lacking;
    assert!(joint["1"].accuracy() > alone["1"].accuracy(), "one modality of three stays");

    let written = write_report(&results, &options.out).lacking.unwrap();
    assert!(
        ["whole", "rate 0.5", "rate 1", "one stays", "rate 0.4"].iter().all(|part| written.contains(part)),
        "{written}"
    );
    assert!(fs::read_to_string(folder.path().join("runs/test/lacking.md")).unwrap().contains("| joint "));
    let config = fs::read_to_string(run_folder(folder.path(), "joint").join("config.yaml")).unwrap();
    assert!(config.contains("counts: modalities"), "{config}");

    // Training samples lack what the seed says: other draws are another run.
    let other = missing.replace("test:", "seed: 3, test:");
    let others = run_table(bundle_config(ROWS, &[&other]), folder.path()).unwrap();
    assert_ne!(others.rows[1].runs[0].outcome.test.loss(), results.rows[1].runs[0].outcome.test.loss());
}

#[test]
fn without_rates_there_is_no_such_table() {
    let folder = tempfile::tempdir().unwrap();
    write_bundle(folder.path());
    let results = run_table(bundle_config(ROWS, &["train.epochs=1"]), folder.path()).unwrap();
    assert!(write_report(&results, &run_options(folder.path()).out).lacking.is_none());
    let config = fs::read_to_string(run_folder(folder.path(), "joint").join("config.yaml")).unwrap();
    assert!(!config.contains("missing"), "{config}");
}

#[test]
fn rates_and_names_are_checked() {
    let say = |section: &str| {
        let source = bundle_config(ROWS, &[&format!("train.missing={section}")]);
        TableConfig::new(source, Scale::Normal, standard()).unwrap_err().to_string()
    };
    assert!(say("{counts: samples, train: 1.5}").contains("train.missing.train: is 1.5"));
    assert!(say("{counts: samples, test: [0.1, .nan]}").contains("train.missing.test[1]: is NaN"));
    assert!(say("{counts: samples, test: [0.1, 0.1]}").contains("there twice"));
    assert!(say("{counts: samples}").contains("train.missing: says of nothing that it is missing"));
    assert!(say("{train: 0.2}").contains("counts"), "what a rate counts must be said");

    let folder = tempfile::tempdir().unwrap();
    write_bundle(folder.path());
    let named = "train.missing={counts: samples, train: 0.2, modalities: [smell]}";
    let error = run_table(bundle_config(ROWS, &[named]), folder.path()).err().unwrap().to_string();
    assert!(error.contains("train.missing.modalities: names `smell`"), "{error}");
}
