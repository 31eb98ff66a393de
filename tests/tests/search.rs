//! Searches choose on validation alone, the same whatever the number of workers, and say why.

use std::{fs, path::Path};

use aim_core::Result;
use aim_tests::{bundle_config, run_options, run_with, split, write_bundle, write_split};
use aim_train::{
    config::{Scale, TableConfig, load_tables},
    experiment::{Choice, Options, Results, run},
    run::{Failure, Stop},
    standard,
};

const ROWS: &str = "  - {name: joint, method: joint}\n  - {name: ogm, method: ogm}";
const SWEEP: &str =
    "sweep={random: {trials: 3, method: [alpha], ranges: {optimizer.lr: {low: 0.001, high: 0.1, log: true}}}}";

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_bundle(folder.path());
    folder
}

/// The table's sweep.
fn sweep(folder: &Path, jobs: usize) -> Result<Results> {
    let options = Options { jobs, ..run_options(folder) };
    let table = TableConfig::new(bundle_config(ROWS, &[SWEEP]), Scale::Normal, standard())?.swept(standard())?;
    run(&table, &options, &Stop::default(), standard())
}

/// A table whose only row tries these learning rates.
fn rates(folder: &Path, rates: &str) -> Results {
    let row = format!("  - {{name: joint, method: joint, tune: {{grid: {{optimizer.lr: {rates}}}}}}}");
    let other = "  - {name: ogm, method: ogm}";
    run_with(bundle_config(&format!("{row}\n{other}"), &[]), &run_options(folder)).unwrap()
}

fn stored(folder: &Path, table: &str, row: &str) -> Vec<u8> {
    fs::read(folder.join("runs").join(table).join(format!("{row}.search.json"))).unwrap()
}

#[test]
fn every_row_has_its_trials_and_runs_what_they_chose() {
    let folder = folder();
    let results = sweep(folder.path(), 1).unwrap();
    assert_eq!(results.failures, [""; 0]);
    for (row, choice) in results.rows.iter().zip(&results.choices) {
        let best = choice.trials.iter().filter_map(|t| t.mean).fold(0., f64::max);
        let chosen = &choice.trials[choice.chosen];
        assert!(choice.trials.len() == 3 && chosen.mean == Some(best), "{choice:?}");
        assert_eq!(row.runs[0].outcome.seed, 0);
        let searched = folder.path().join(format!("runs/test-sweep/{}.{}/seed1000", row.name, chosen.key));
        assert!(searched.exists(), "trials have seeds apart from the table's");
        let rate = chosen.settings.get("optimizer.lr").and_then(|v| v.as_f64());
        assert_eq!(row.config.optimizer.lr(), rate.unwrap_or(0.01));
    }
    assert!(results.choices[1].trials[2].settings.contains_key("ogm.alpha"));
}

#[test]
fn trials_are_the_same_whatever_the_number_of_workers() {
    let (one, two) = (folder(), folder());
    sweep(one.path(), 1).unwrap();
    sweep(two.path(), 2).unwrap();
    for row in ["joint", "ogm"] {
        assert!(stored(one.path(), "test-sweep", row) == stored(two.path(), "test-sweep", row));
    }
}

#[test]
fn the_test_split_has_no_say() {
    let (one, other) = (folder(), folder());
    write_split(other.path(), "test", &split("another test", 21));
    let choices = |folder: &Path| {
        let choices = sweep(folder, 1).unwrap().choices;
        choices.into_iter().map(|c| (c.chosen, c.trials.into_iter().map(|t| t.validation).collect::<Vec<_>>()))
    };
    assert!(choices(one.path()).eq(choices(other.path())));
}

#[test]
fn a_trial_that_diverges_is_an_answer_and_no_failure() {
    let folder = folder();
    let results = rates(folder.path(), "[1e30, 0.01]");
    assert_eq!(results.failures, [""; 0]);
    let choice: &Choice = &results.choices[0];
    assert!(choice.chosen == 1 && choice.trials[0].mean.is_none(), "{choice:?}");
    assert!(choice.words().contains("1 diverged"), "{}", choice.words());
    let noted = |choice: &Choice, trial: usize| {
        let run = folder.path().join(format!("runs/test/joint.{}/seed1000", choice.trials[trial].key));
        Failure::read(&run).map(|failure| failure.is_divergence())
    };
    assert_eq!([noted(choice, 0), noted(choice, 1)], [Some(true), None], "folders say how their runs ended");
    let hopeless = rates(folder.path(), "[1e30, 1e31]");
    assert!(hopeless.failures[0].contains("every trial diverged"), "{:?}", hopeless.failures);
    assert!(hopeless.rows[0].runs.is_empty() && hopeless.rows[1].runs.len() == 1);
}

#[test]
fn ties_go_to_the_earlier_trial_and_are_told() {
    let folder = folder();
    // Nothing is learned at either rate, so that both networks are the same.
    let results = rates(folder.path(), "[0, 1e-30]");
    let choice = &results.choices[0];
    assert!(choice.chosen == 0 && choice.ties == [1], "{choice:?}");
    assert!(choice.words().contains("as good as 1"), "{}", choice.words());
}

#[test]
fn a_damaged_choice_is_made_anew_from_the_runs() {
    let folder = folder();
    sweep(folder.path(), 1).unwrap();
    let (path, whole) =
        (folder.path().join("runs/test-sweep/ogm.search.json"), stored(folder.path(), "test-sweep", "ogm"));
    let text = String::from_utf8(whole.clone()).unwrap();
    let edited = text.replacen("\"chosen\": ", "\"chosen\": 1", 1).into_bytes();
    for damaged in [&whole[..whole.len() / 2], b"", &edited] {
        fs::write(&path, damaged).unwrap();
        assert_eq!(sweep(folder.path(), 1).unwrap().failures, [""; 0]);
        assert!(fs::read(&path).unwrap() == whole);
    }
}

#[test]
fn a_choice_that_is_stored_needs_no_runs_and_another_search_is_made() {
    let folder = folder();
    let first = rates(folder.path(), "[0.01, 0.02]");
    let key = &first.choices[0].trials[1 - first.choices[0].chosen].key;
    let loser = folder.path().join(format!("runs/test/joint.{key}"));
    fs::remove_dir_all(&loser).unwrap();
    rates(folder.path(), "[0.01, 0.02]");
    assert!(!loser.exists());
    assert_eq!(rates(folder.path(), "[0.01, 0.02, 0.03]").choices[0].trials.len(), 3);
    assert!(loser.exists());
}

#[test]
fn a_choice_by_other_seeds_is_another_choice() {
    let folder = folder();
    let with = |seeds: &str| {
        let row = format!("  - {{name: joint, method: joint, tune: {{grid: {{optimizer.lr: [0.01, 0.02]}}{seeds}}}}}");
        let results = run_with(bundle_config(&row, &[]), &run_options(folder.path())).unwrap();
        results.choices[0].trials.iter().map(|t| t.validation.clone().unwrap()).collect::<Vec<_>>()
    };
    let first = with("");
    assert_eq!(with(", seeds: 2")[0].len(), 2);
    assert_ne!(with(", first_seed: 1007"), first, "seed 1007 is another than seed 1000");
}

/// Reference rows stand in every table that is a comparison, and every table can be searched.
#[test]
fn tables_of_the_repository_have_their_reference_rows() {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../configs");
    let files = fs::read_dir(configs).unwrap().map(|file| file.unwrap().path());
    for file in files.filter(|path| path.is_file()) {
        for table in load_tables(&file, Scale::Normal, &[], standard()).unwrap() {
            let methods: Vec<String> = table.rows.iter().map(|row| row.config.method.name()).collect();
            let encoders = table.rows[0].config.model.encoders.len();
            assert_eq!(methods.iter().filter(|m| *m == "unimodal").count(), encoders, "{}", table.name);
            for reference in ["ensemble", "frozen", "joint"] {
                assert!(methods.iter().any(|m| m == reference), "{} has no {reference}", table.name);
            }
            let tuned: Vec<_> = table.rows.iter().filter(|row| row.tune.is_some()).collect();
            assert!(tuned.len() == 1 && tuned[0].config.method.name() == "joint", "{}", table.name);
            let trials = tuned[0].tune.as_ref().map(|search| search.trials());
            assert_eq!(trials, table.sweep.as_ref().map(|search| search.trials()), "{}", table.name);
            table.swept(standard()).unwrap();
        }
    }
}
