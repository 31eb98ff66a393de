//! Modalities that samples are made to lack, in training and in further tests, from the configuration to the table.

use std::{fs, path::Path};

use aim_data::Dataset;
use aim_tests::{
    bundle_config, run_folder, run_options, run_table, run_with, split, write_bundle, write_report, write_split,
};
use aim_train::{
    config::{Scale, TableConfig, load_tables},
    standard,
};
use candle_core::{Device, Tensor};

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

    let written = aim_report::lacking(&results).unwrap().unwrap().to_plain();
    assert!(write_report(&results, &options.out).text(None).contains(&written));
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
fn a_bundle_says_which_samples_have_a_modality() {
    let folder = tempfile::tempdir().unwrap();
    write_bundle(folder.path());
    let load = || {
        let section = serde_json::json!({
            "name": "bundle", "train": "train.safetensors", "validation": "validation.safetensors", "test": "test.safetensors",
        });
        let spec = aim_data::builtin().read(&section, "data").unwrap();
        aim_data::load(&spec, Some(folder.path())).map_err(|e| e.to_string())
    };
    let lacking = |flags: Vec<u8>, value: f32| {
        let mut tensors = split("test", 45);
        let heart = tensors["x.heart"].to_vec2::<f32>().unwrap();
        let own = |(row, flag): (Vec<f32>, &u8)| if *flag == 0 { vec![value; row.len()] } else { row };
        let heart: Vec<Vec<f32>> = heart.into_iter().zip(&flags).map(own).collect();
        tensors.insert("x.heart".into(), Tensor::new(heart, &Device::Cpu).unwrap());
        tensors.insert("present.heart".into(), Tensor::new(flags, &Device::Cpu).unwrap());
        write_split(folder.path(), "test", &tensors);
    };
    let whole = load().unwrap();
    lacking(vec![1; 45], 0.);
    let digest = |set: &Dataset| aim_train::run::checksum(set).unwrap();
    assert_eq!(digest(&load().unwrap()), digest(&whole), "a mask of ones says nothing");
    let mut flags = vec![1; 45];
    (flags[0], flags[7]) = (0, 0);
    lacking(flags.clone(), f32::NAN);
    let set = load().unwrap();
    // Modalities are sorted: breath, heart, motion.
    assert_eq!([0, 1, 7, 8].map(|sample| set.test.has(sample, 1)), [false, true, false, true]);
    assert!((0..45).all(|sample| set.test.has(sample, 0)) && set.train.has(0, 1));
    let batch = set.test.batch(&[0, 1], &Device::Cpu).unwrap();
    assert_eq!(batch.present.unwrap().to_vec2::<f32>().unwrap(), [[1., 0., 1.], [1.; 3]]);
    assert_ne!(digest(&set), digest(&whole));
    // What stands in place of what is missing makes no other data.
    lacking(flags, 3.);
    assert_eq!(digest(&load().unwrap()), digest(&set));
    let mut tensors = split("test", 45);
    for modality in ["heart", "breath", "motion"] {
        tensors.insert(format!("present.{modality}"), Tensor::new(vec![0u8; 45], &Device::Cpu).unwrap());
    }
    write_split(folder.path(), "test", &tensors);
    let error = load().unwrap_err();
    assert!(error.contains("sample `test.0` of row 0 has none of the modalities"), "{error}");
}

#[test]
fn without_rates_there_is_no_such_table() {
    let folder = tempfile::tempdir().unwrap();
    write_bundle(folder.path());
    let results = run_table(bundle_config(ROWS, &["train.epochs=1"]), folder.path()).unwrap();
    assert!(aim_report::lacking(&results).unwrap().is_none());
    let config = fs::read_to_string(run_folder(folder.path(), "joint").join("config.yaml")).unwrap();
    assert!(!config.contains("missing"), "{config}");
}

#[test]
fn the_tables_over_rates_train_every_method_at_each_and_test_at_all() {
    for set in ["ravdess", "mvsa"] {
        let path = format!("{}/../configs/lacking/{set}.yaml", env!("CARGO_MANIFEST_DIR"));
        for scale in [Scale::Normal, Scale::Quick] {
            let tables = load_tables(Path::new(&path), scale, &[], standard()).unwrap();
            let [table] = &tables[..] else { panic!("{path} is one table") };
            let mut rows = vec![];
            for row in &table.rows {
                let missing = row.config.train.missing.clone().unwrap();
                assert_eq!(missing.test, [0., 0.3, 0.6], "{}", row.config.name);
                rows.push((missing.train.to_string(), row.config.method.name()));
            }
            let methods = ["joint", "opm", "mla", "aim"];
            let all = ["0", "0.3", "0.6"].map(|rate| methods.map(|method| (rate.to_owned(), method.to_owned())));
            assert_eq!(rows, all.concat());
        }
    }
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
