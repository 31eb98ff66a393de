//! The test split chooses nothing (I9), and only under a name that says so it does.

use std::{collections::HashMap, fs, path::Path};

use aim_report::{comparison, protocols, write_family};
use aim_stats::table::Table;
use aim_tests::{
    bits, bundle_config, bundle_text, every_method, run_folder, run_options, run_table, split, write_bundle,
    write_report, write_split,
};
use aim_train::{
    config::{Protocol, Scale, TableConfig, load_tables},
    experiment::{restrict, run},
    run::{Checkpoint, Stop},
    standard,
};
use candle_core::Tensor;

const JOINT: &str = "  - {name: joint, method: {name: joint}, train: {epochs: 8}}";

/// A bundle whose test split has these labels moved on by one, so that what is right there is wrong elsewhere.
fn write_other_test(folder: &Path) {
    write_bundle(folder);
    let mut tensors: HashMap<String, Tensor> = split("another test", 45);
    let labels: Vec<u32> = tensors["y"].to_vec1::<u32>().unwrap().iter().map(|y| (y + 1) % 3).collect();
    tensors.insert("y".into(), Tensor::new(labels, &candle_core::Device::Cpu).unwrap());
    write_split(folder, "test", &tensors);
}

/// Weights, log and chosen epoch of every row under a protocol, for either test split.
fn trained(rows: &str, protocol: &str) -> [Vec<(Vec<u8>, Vec<u8>)>; 2] {
    let writers: [fn(&Path); 2] = [write_bundle, write_other_test];
    writers.map(|write| {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path());
        let results = run_table(bundle_config(rows, &[protocol]), folder.path()).unwrap();
        assert_eq!(results.failures, [""; 0]);
        let of = |row: &aim_train::experiment::RowResults| {
            let run = run_folder(folder.path(), &row.name);
            (bits(&run).swap_remove(0), fs::read(run.join("metrics.jsonl")).unwrap())
        };
        results.rows.iter().map(of).collect()
    })
}

#[test]
fn under_the_clean_protocol_no_method_learns_anything_of_the_test_split() {
    let rows = every_method("{epochs: 2, batch: 32}");
    let [one, other] = trained(&rows, "protocol=clean");
    assert!(one.len() > 20);
    for ((a, b), row) in one.iter().zip(&other).zip(rows.lines()) {
        assert!(a == b, "{row} depends on the test split");
    }
}

#[test]
fn under_the_other_protocol_the_test_split_chooses_the_epoch() {
    let [one, other] = trained(JOINT, "protocol=balancebench");
    assert!(one != other);
}

#[test]
fn the_last_batch_is_left_out_and_the_table_says_so() {
    let folder = tempfile::tempdir().unwrap();
    write_bundle(folder.path());
    // Of 45 test samples, 40 fill batches of 8; of 90 training samples, 88.
    let source = bundle_config(JOINT, &["protocol=balancebench", "train.batch=8"]);
    let results = run_table(source, folder.path()).unwrap();
    let run = &results.rows[0].runs[0];
    assert_eq!(run.answers.len(), 40);
    assert_eq!(run.answers[39].id, "test.39");
    assert_eq!(run.outcome.test, run.outcome.validation, "the test split stands in for the validation split");
    let best = run.log.iter().map(|entry| entry.validation.accuracy()).fold(0., f64::max);
    assert_eq!(run.outcome.test.accuracy(), best, "and chooses the epoch");
    for text in [
        comparison(&results, &standard().metrics).unwrap().to_markdown(),
        comparison(&results, &standard().metrics).unwrap().to_latex(),
    ] {
        assert!(text.contains("NOT clean") && text.contains("the last incomplete batch is left out"), "{text}");
    }
    let clean = run_table(bundle_config(JOINT, &["train.batch=8"]), folder.path()).unwrap();
    assert_eq!(clean.rows[0].runs[0].answers.len(), 45);
    assert!(!comparison(&clean, &standard().metrics).unwrap().to_markdown().contains("NOT clean"));
    let refused = run_table(bundle_config(JOINT, &["protocol=balancebench", "train.batch=64"]), folder.path());
    let text = refused.err().unwrap().to_string();
    assert!(text.contains("a batch of 64 is more than the 45 samples of the test split"), "{text}");
    // Nor is there anything to train on where the only batch of an epoch is left out.
    let large = "  - {name: large, method: joint, train: {batch: 91, drop_last: train}}";
    for rows in [large.to_owned(), format!("{JOINT}\n{large}")] {
        let none = run_table(bundle_config(&rows, &[]), folder.path());
        let text = none.err().unwrap().to_string();
        assert!(text.contains("a batch of 91 is more than the 90 samples of the training split"), "{text}");
    }
}

/// Runs `frozen` as published; weights of every preparation after its last epoch, by modality, and the samples of the
/// training split.
fn prepared_as_published(write: fn(&Path)) -> (Vec<(String, Vec<u8>)>, usize) {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path());
    let recipe = "about: a\nsource: s\nfacts: []\nas-published: {train: {drop_last: train}}\n";
    fs::write(folder.path().join("mine.yaml"), recipe).unwrap();
    let row = "  - {name: frozen, method: {name: frozen}, model: {fusion: shared}}";
    let path = folder.path().join("t.yaml");
    fs::write(&path, format!("{}recipe: mine.yaml\nprotocol: as-published\n", bundle_text(row))).unwrap();
    let tables = load_tables(&path, Scale::Normal, &[], standard()).unwrap();
    let results = run(&tables[0], &run_options(folder.path()), &Stop::default(), standard()).unwrap();
    assert_eq!(results.failures, [""; 0]);
    let entries = fs::read_dir(folder.path().join("runs/prepared")).unwrap().map(|entry| entry.unwrap().path());
    let weights = |path: std::path::PathBuf| {
        let file = path.join("seed0/last.safetensors");
        let last = Checkpoint::from_bytes(&file, &fs::read(&file).unwrap()).unwrap();
        let weights = Checkpoint { state: last.state.part("net"), log: vec![], best: None };
        (path.file_stem().unwrap().to_string_lossy().into_owned(), weights.to_bytes().unwrap())
    };
    let mut all: Vec<_> = entries.map(weights).collect();
    all.sort();
    let config = &tables[0].rows[0].config;
    let data = restrict(config, &aim_data::load(&config.data, Some(folder.path())).unwrap()).unwrap();
    (all, data.train.len())
}

#[test]
fn as_published_what_validates_is_trained_on_and_the_test_split_is_not() {
    let (one, samples) = prepared_as_published(write_bundle);
    let (other, _) = prepared_as_published(write_other_test);
    assert_eq!((one.len(), samples), (3, 90 + 30));
    for ((name, weights), (_, others)) in one.iter().zip(&other) {
        assert!(weights == others, "{name} is trained on the test split");
    }
}

/// Two sets under two protocols, in a folder.
fn family(folder: &Path) -> std::path::PathBuf {
    write_bundle(folder);
    let rows = "  - {name: heart-alone, method: {name: unimodal, modality: heart}}\n  - {name: joint, method: {name: joint}}\n  \
                - {name: ogm, title: OGM, method: {name: ogm}}";
    for name in ["first", "second"] {
        let text =
            bundle_text(rows).replace("name: test\n", &format!("name: {name}\n")).replace("batch: 32", "batch: 16");
        fs::write(folder.join(format!("{name}.yaml")), text).unwrap();
    }
    let path = folder.join("family.yaml");
    fs::write(&path, "name: both\nsets: [first, second]\nprotocols: [clean, balancebench]\nseeds: 2\n").unwrap();
    path
}

#[test]
fn a_family_is_summed_up_over_its_sets_and_its_protocols() {
    let folder = tempfile::tempdir().unwrap();
    let tables = load_tables(&family(folder.path()), Scale::Normal, &[], standard()).unwrap();
    let names: Vec<&str> = tables.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["both-first", "both-first-balancebench", "both-second", "both-second-balancebench"]);
    assert!(tables[1].rows.iter().all(|row| row.config.protocol == Protocol::BalanceBench));
    let options = run_options(folder.path());
    let make = |i: usize| {
        let results = run(&tables[i], &options, &Stop::default(), standard()).unwrap();
        assert_eq!(results.failures, [""; 0]);
        write_report(&results, &options.out);
        results
    };
    // As long as there is one set there is nothing to sum up.
    let clean = make(0);
    assert!(write_family(&tables, &options.out).unwrap().is_none());
    let other = make(1);
    let (text, page) = write_family(&tables, &options.out).unwrap().unwrap();
    assert!(!text.contains("interquartile") && text.contains("first: the same methods under two protocols"), "{text}");
    (2..4).for_each(|i| drop(make(i)));
    let (text, _) = write_family(&tables, &options.out).unwrap().unwrap();
    assert!(text.contains("Over 2 sets: first, second") && text.contains("second: the same methods"), "{text}");
    let html = fs::read_to_string(page).unwrap();
    assert!(html.contains("NOT clean") && html.contains("OGM"));
    // The mean difference of OGM's accuracies between the protocols, by hand.
    let accuracy = |results: &aim_train::experiment::Results, row: usize, seed: usize| {
        results.rows[row].runs[seed].outcome.test.accuracy()
    };
    let added = (0..2).map(|s| accuracy(&other, 2, s) - accuracy(&clean, 2, s)).sum::<f64>() / 2.;
    let csv = fs::read_to_string(options.out.join("both/protocols-1.csv")).unwrap();
    let line = csv.lines().find(|line| line.starts_with("OGM")).unwrap();
    let cells: Vec<&str> = line.split(',').collect();
    let column = csv.lines().next().unwrap().split(',').position(|h| h == "accuracy by protocol").unwrap();
    assert!((cells[column].parse::<f64>().unwrap() - added).abs() < 1e-12, "{csv}");

    // The clean table need not be the first, and what is planned is said over clean tables only.
    let more = "protocols: [balancebench, clean]\nplanned: {of: ogm, against: [joint]}\n";
    fs::write(folder.path().join("family.yaml"), format!("name: both\nsets: [first, second]\nseeds: 2\n{more}"))
        .unwrap();
    let tables = load_tables(&folder.path().join("family.yaml"), Scale::Normal, &[], standard()).unwrap();
    let captions: Vec<_> = protocols(&tables, &options.out).unwrap().iter().map(Table::to_csv).collect();
    assert_eq!(captions, [csv, fs::read_to_string(options.out.join("both/protocols-2.csv")).unwrap()]);
    let (text, _) = write_family(&tables, &options.out).unwrap().unwrap();
    let left_out = "LEFT OUT: both-first-balancebench (its protocol is not clean); both-second-balancebench (its protocol is \
                    not clean)";
    assert_eq!(text.matches(left_out).count(), 2, "over sets and across: {text}");
    assert!(text.contains("ogm - joint") && text.contains("both-first does not plan them"), "{text}");

    sets_without_planned_runs_are_left_out(&tables, &options.out);
}

fn sets_without_planned_runs_are_left_out(tables: &[TableConfig], out: &Path) {
    // A set whose planned row has no runs does not keep the others from being summed up.
    let path = out.join("both-second/results.jsonl");
    let lines = fs::read_to_string(&path).unwrap();
    let rest: String =
        lines.lines().filter(|line| !line.contains("\"row\":\"ogm\"")).map(|line| format!("{line}\n")).collect();
    fs::write(&path, rest).unwrap();
    let (text, _) = write_family(tables, out).unwrap().unwrap();
    assert!(text.contains("Over 2 sets") && text.contains("`ogm`: fewer than two sets can be compared"), "{text}");
    assert!(text.contains("both-second (has no row `ogm`)"), "{text}");
    fs::write(&path, "").unwrap();
    let (text, _) = write_family(tables, out).unwrap().unwrap();
    assert!(text.contains("both-second (holds no results)"), "{text}");
}
