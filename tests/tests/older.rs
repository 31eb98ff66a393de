//! Runs of older programs are found, read and told apart from those of today's methods.

use std::{collections::BTreeMap, fs, path::Path};

use aim_tests::{files, run_options};
use aim_train::{
    Registries,
    config::{Scale, Source, TableConfig},
    experiment::{Results, run},
    metrics::{Metric, Metrics},
    run::Stop,
    standard,
};

/// A table that the program of commit `ed70526` finished, with what its methods needed trained before.
const FIXTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/older");

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let (path, to) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).unwrap();
        }
    }
}

/// Everything in the folders of runs but what an older program did not store.
fn runs(folder: &Path) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
    let all = files(&folder.join("runs")).into_iter();
    let own = |path: &Path| !path.ends_with(".lock") && !path.ends_with("preprocessing.json");
    all.filter(|(path, _)| path.components().count() > 3 && own(path)).collect()
}

/// The older table made again in a folder that has its runs, without the row of `aim`, which has another revision.
fn again(folder: &Path, registries: &Registries) -> Results {
    let source = Source::load(&Path::new(FIXTURE).join("older.yaml")).unwrap();
    let mut table = TableConfig::new(source, Scale::Normal, registries).unwrap();
    table.rows.retain(|row| row.config.name != "aim");
    run(&table, &run_options(folder), &Stop::default(), registries).unwrap()
}

fn fixture() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(Path::new(FIXTURE), folder.path());
    folder
}

#[test]
fn a_table_that_an_older_program_finished_is_found_finished() {
    let folder = fixture();
    let before = runs(folder.path());
    let results = again(folder.path(), standard());
    assert_eq!(results.failures, [""; 0]);
    assert_eq!(runs(folder.path()), before, "no run is trained, mended or renamed");
    let runs: Vec<_> = results.rows.iter().flat_map(|row| &row.runs).collect();
    assert_eq!(runs.len(), 2);
    // Of test samples 3 in 20, 2 in 20 and so on, as the older results say.
    for run in runs {
        let stored = fs::read_to_string(run.folder.as_ref().unwrap().join("result.json")).unwrap();
        let stored: serde_json::Value = serde_json::from_str(&stored).unwrap();
        assert_eq!(stored["test"]["accuracy"].as_f64(), Some(run.outcome.test.accuracy()), "{}", run.outcome.name);
        assert_eq!(run.outcome.program.commit, None, "the older program did not say which it was");
        assert_eq!(run.outcome.program.command, "cargo xtask", "pages name the command that there was");
    }
}

#[test]
fn a_new_metric_keeps_finished_runs() {
    const ANSWERS: Metric = Metric {
        name: "answers",
        column: Some("answers"),
        about: "number of samples",
        range: (0., f64::INFINITY),
        of: |evaluation, _| Ok(evaluation.labels.len() as f64),
    };
    let folder = fixture();
    let before = runs(folder.path());
    let metrics: Metrics = standard().metrics.clone().with(ANSWERS).unwrap();
    let registries = Registries { metrics, ..standard().clone() };
    let results = again(folder.path(), &registries);
    assert_eq!(results.failures, [""; 0]);
    assert_eq!(runs(folder.path()), before);
}

#[test]
fn runs_of_another_revision_are_made_anew() {
    let folder = fixture();
    let source = Source::load(&Path::new(FIXTURE).join("older.yaml")).unwrap();
    let table = TableConfig::new(source, Scale::Normal, standard()).unwrap();
    let before = runs(folder.path());
    let results = run(&table, &run_options(folder.path()), &Stop::default(), standard()).unwrap();
    assert_eq!(results.failures, [""; 0]);
    let after = runs(folder.path());
    assert!(before.iter().all(|(path, bytes)| after.get(path) == Some(bytes)), "the older runs stay as they are");
    let fresh: std::collections::BTreeSet<_> =
        after.keys().filter(|path| !before.contains_key(*path)).map(|path| path.iter().nth(1).unwrap()).collect();
    assert!(fresh.len() == 1 && fresh.first().unwrap().to_string_lossy().starts_with("aim."), "{fresh:?}");
}

#[test]
fn files_of_newer_programs_are_refused_by_name() {
    let folder = fixture();
    let joint = fs::read_dir(folder.path().join("runs/older")).unwrap().map(|entry| entry.unwrap().path());
    let joint = joint.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("joint.")).last().unwrap();
    let config = joint.join("seed0/config.yaml");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, format!("format: 9\n{text}")).unwrap();
    let error = aim_train::config::Identity::load(&joint.join("seed0"), standard()).unwrap_err().to_string();
    assert!(error.contains("format") && error.contains('9') && error.contains("newer"), "{error}");
}

/// The folder of the first row's run.
fn joint(folder: &Path) -> std::path::PathBuf {
    let rows = fs::read_dir(folder.join("runs/older")).unwrap().map(|entry| entry.unwrap().path());
    rows.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("joint.")).last().unwrap().join("seed0")
}

#[test]
fn a_result_of_a_newer_program_is_left_alone() {
    let folder = fixture();
    let result = joint(folder.path()).join("result.json");
    // Other words for everything but the version.
    fs::write(&result, "{\"version\": 9, \"outcome\": []}").unwrap();
    let before = runs(folder.path());
    let failures = again(folder.path(), standard()).failures;
    assert!(failures.len() == 1 && failures[0].contains("version 9") && failures[0].contains("newer"), "{failures:?}");
    assert_eq!(runs(folder.path()), before, "nothing is set aside or trained");
}

#[test]
fn a_metric_that_is_no_number_is_named_and_nothing_is_stored() {
    const UNDEFINED: Metric =
        Metric { name: "auc", column: None, about: "undefined", range: (0., 1.), of: |_, _| Ok(f64::NAN) };
    const TAKEN: Metric =
        Metric { name: "modality", column: None, about: "a name in results", range: (0., 1.), of: |_, _| Ok(1.) };
    for (metric, told) in [(UNDEFINED, "metric `auc`"), (TAKEN, "give the metric another name")] {
        let folder = tempfile::tempdir().unwrap();
        copy(Path::new(FIXTURE), folder.path());
        fs::remove_dir_all(folder.path().join("runs")).unwrap();
        let metrics: Metrics = standard().metrics.clone().with(metric).unwrap();
        let failures = again(folder.path(), &Registries { metrics, ..standard().clone() }).failures;
        assert!(!failures.is_empty() && failures.iter().all(|failure| failure.contains(told)), "{failures:?}");
        assert!(!runs(folder.path()).keys().any(|path| path.ends_with("result.json")));
    }
}
