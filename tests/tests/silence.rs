//! Data, networks and sizes that would give numbers which mean nothing: each is refused before training, by its name.

use std::{collections::HashMap, path::Path};

use aim_core::Error;
use aim_data::Dataset;
use aim_tests::{bundle_config, bundle_text, run_table, split, write_bundle, write_split};
use aim_train::{
    config::{RunConfig, Scale, Source, TableConfig},
    run::learner,
    standard,
};
use candle_core::{DType, Device, Tensor};

const JOINT: &str = "  - {name: joint, method: joint}";

/// What a run on a bundle says whose training split was changed.
fn changed(change: impl Fn(&mut HashMap<String, Tensor>), rest: &[&str]) -> Result<(), String> {
    let folder = tempfile::tempdir().unwrap();
    write_bundle(folder.path());
    let mut tensors = split("train", 90);
    change(&mut tensors);
    write_split(folder.path(), "train", &tensors);
    run_table(bundle_config(JOINT, rest), folder.path()).map(|_| ()).map_err(|error| error.to_string())
}

/// Labels of 90 samples, the eighth of which is another.
fn labels(other: i64, dtype: DType) -> Tensor {
    let labels: Vec<i64> = (0..90).map(|i| if i == 7 { other } else { i % 3 }).collect();
    Tensor::new(labels, &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
}

#[test]
fn labels_that_stand_for_something_else_make_no_classes() {
    for (label, dtype, message) in [
        (4_294_967_295, DType::U32, "label 4294967295 of row 7 is no class index below 1048576"),
        (255, DType::U8, "label 255 of row 7 makes 256 classes of 90 samples"),
        (90, DType::I64, "label 90 of row 7 makes 91 classes of 90 samples"),
        (1_000_000_000, DType::F32, "label 1000000000 of row 7 is no class index below 1048576"),
        (1_000_000, DType::F32, "label 1000000 of row 7 makes 1000001 classes of 90 samples"),
        (-100, DType::I64, "label -100 of row 7 is no class index"),
        (-1, DType::F32, "label -1 of row 7 is no class index"),
        (1 << 40, DType::I64, "label 1099511627776 of row 7 is no class index"),
        ((1 << 53) + 1, DType::I64, "label 9007199254740993 of row 7 is no class index"),
    ] {
        let change = |tensors: &mut HashMap<String, Tensor>| drop(tensors.insert("y".into(), labels(label, dtype)));
        let error = changed(change, &[]).unwrap_err();
        assert!(error.contains(message) && error.contains("train.safetensors"), "{error}");
    }
    assert!(changed(|tensors| drop(tensors.insert("y".into(), labels(89, DType::U8))), &[]).is_ok());
}

#[test]
fn tensors_that_nothing_reads_and_numbers_that_would_be_rounded_are_refused() {
    let put = |name: &str, value: Tensor| {
        let name = name.to_owned();
        move |tensors: &mut HashMap<String, Tensor>| drop(tensors.insert(name.clone(), value.clone()))
    };
    let rows = |value: i64| Tensor::full(value, (90, 4), &Device::Cpu).unwrap();
    let ids = |values: Vec<f64>| Tensor::new(values, &Device::Cpu).unwrap();
    for (name, value, message) in [
        ("X.heart", rows(1), "has a tensor `X.heart`, which nothing reads"),
        ("labels", rows(1), "has a tensor `labels`, which nothing reads"),
        ("x.", rows(1), "has a tensor `x.`, which nothing reads"),
        ("present.smell", ids(vec![1.; 90]), "has a tensor `present.smell`, which nothing reads"),
        ("present.heart", ids(vec![0.5; 90]), "present.heart is 0.5 in row 0; store 1 where a sample has it, else 0"),
        ("present.heart", ids(vec![1.; 89]), "present.heart"),
        ("x.heart", rows((1 << 24) + 1), "value 16777217 of tensor `x.heart` has more digits than are kept"),
        ("id", ids((0..90).map(|i| f64::from(i) + 0.5).collect()), "id 0.5 of row 0 is no whole number"),
    ] {
        let error = changed(put(name, value), &[]).unwrap_err();
        assert!(error.contains(message), "{error}");
    }
    // As floats these would be one id.
    let large: Vec<i64> = (0..90).map(|i| (1 << 60) + i).collect();
    assert!(changed(put("id", Tensor::new(large, &Device::Cpu).unwrap()), &[]).is_ok());
}

#[test]
fn splits_of_one_file_or_of_the_same_samples_are_refused() {
    let error = |rest: &[&str]| changed(|_| (), rest).unwrap_err();
    for (set, message) in [
        ("data.test=train.safetensors", "data.test: is the file of `data.train`, too"),
        ("data.validation=./train.safetensors", "data.validation: is the file of `data.train`, too"),
        ("data.test=validation.safetensors", "data.test: is the file of `data.validation`, too"),
    ] {
        let error = error(&[set]);
        assert!(error.contains(message), "{error}");
    }
    // A copy under another name, most of whose samples are those of training.
    let folder = tempfile::tempdir().unwrap();
    write_bundle(folder.path());
    let copy: HashMap<String, Tensor> =
        split("train", 90).into_iter().map(|(name, x)| (name, x.narrow(0, 20, 45).unwrap())).collect();
    write_split(folder.path(), "test", &copy);
    let error = run_table(bundle_config(JOINT, &[]), folder.path()).err().unwrap().to_string();
    assert!(
        error.contains("45 of the 45 samples of the test split have the content of samples of the train"),
        "{error}"
    );
}

/// The configuration of a run on `heart` alone with these overrides.
fn config(rest: &[&str]) -> Result<RunConfig, Error> {
    let row = "  - {name: joint, method: {name: unimodal, modality: heart}}";
    Ok(TableConfig::new(bundle_config(row, rest), Scale::Normal, standard())?.rows.remove(0).config)
}

/// The bundle with the sequences that `heart` has, and no other modality.
fn sequences(frames: usize) -> Dataset {
    let split = |name: &str| -> std::sync::Arc<dyn aim_data::Source> {
        let mut rng = aim_core::Rng::keyed(0, name);
        let x = rng.normal_tensor(&[12, 2, frames], 1., &Device::Cpu).unwrap();
        let ids = (0..12).map(|i| format!("{name}{i}")).collect();
        std::sync::Arc::new(aim_data::Subset::new(vec![x], (0..12).map(|i| i % 3).collect(), ids).unwrap())
    };
    Dataset {
        name: "sequences".into(),
        modalities: vec!["heart".into()],
        class_names: ["0", "1", "2"].map(String::from).into(),
        train: split("train"),
        validation: split("validation"),
        test: split("test"),
    }
}

#[test]
fn a_batch_norm_over_a_single_value_is_refused_before_training() {
    let model = "model={encoders: {heart: {name: cnn, widths: [4, 4]}}, fusion: concat}";
    let build = |batch: usize, frames: usize| {
        let config = config(&[model, &format!("train.batch={batch}")]).unwrap();
        learner(&config, &sequences(frames), 0, &Device::Cpu).map(|_| ()).map_err(|error| error.to_string())
    };
    // Strides of 2 leave one frame of four, two of eight.
    let error = build(1, 4).unwrap_err();
    assert!(error.contains("train.batch: is 1") && error.contains("the encoder of `heart`"), "{error}");
    assert_eq!((build(2, 4), build(1, 8)), (Ok(()), Ok(())));
}

#[test]
fn sizes_of_settings_are_refused_before_anything_is_allocated() {
    let whole = |set: &str| {
        let folder = tempfile::tempdir().unwrap();
        write_bundle(folder.path());
        run_table(bundle_config(JOINT, &[set]), folder.path()).err().unwrap().to_string()
    };
    for (set, message) in [
        ("model.encoders.heart.widths=[4294967296]", "more than 2^32 numbers"),
        ("model.encoders.heart.widths=[1000000, 1000000]", "more than 2^32 numbers"),
        ("model.encoders.heart.widths=[9223372036854775807]", "model.encoders.heart.widths[0]"),
        ("model.encoders.heart={name: cnn, widths: [100000, 100000]}", "more than 2^32 numbers"),
        ("model.fusion={deep: {hidden: [1000000, 1000000]}}", "more than 2^32 numbers"),
        ("seeds=100000000", "seeds: is 100000000"),
    ] {
        let error = whole(set);
        assert!(error.contains(message), "{set}: {error}");
    }
    let encoders: String = (0..43).map(|m| format!("    m{m}: {{name: mlp, widths: [4]}}\n")).collect();
    let text = bundle_text(JOINT);
    let (before, rest) = text.split_once("    heart").unwrap();
    let (_, after) = rest.split_once("optimizer").unwrap();
    let source = Source::parse(Path::new("t.yaml"), &format!("{before}{encoders}optimizer{after}")).unwrap();
    let error = TableConfig::new(source, Scale::Normal, standard()).unwrap_err().to_string();
    assert!(error.contains("are 43, whose Shapley values need 2^43 evaluations"), "{error}");
}
