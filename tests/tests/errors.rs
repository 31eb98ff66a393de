//! Wrong input gets one clear error that names the place, and leaves nothing half-written.

use std::{fs, path::Path};

use aim_tests::{bundle_config, run_folder, run_table, split, write_bundle, write_split};
use aim_train::{
    config::{Scale, TableConfig},
    standard,
};
use candle_core::{Device, Tensor};

const JOINT: &str = "  - {name: joint, method: {name: joint}}";

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_bundle(folder.path());
    folder
}

/// The message of a table that must be refused as a whole.
fn refusal(rows: &str, rest: &[&str], folder: &Path) -> String {
    let error = run_table(bundle_config(rows, rest), folder).err();
    assert!(!folder.join("runs").exists(), "a refused table leaves no folder");
    error.expect("must be refused").to_string()
}

/// Rows that must be refused, and what the message says.
const REFUSED: [(&str, &str); 47] = [
    (
        "  - {name: a, method: {name: joint}, model: {encoders: {heart: {name: resnet81}}}}",
        "model.encoders.heart.name: unknown encoder `resnet81`",
    ),
    (
        "  - {name: a, method: {name: frozen}, model: {encoders: {heart: {name: sequence, widths: [8]}}, fusion: {name: cross-attention, reads: tokens}}}",
        "model.fusion.reads: is tokens, and encoders trained alone for `frozen` hand on features; leave it out",
    ),
    ("  - {name: a, method: {name: aim, alpa: 1}}", "test.yaml:12: method.alpa: unknown field `alpa`"),
    ("  - {name: a, method: {name: aim, alpha: -1}}", "test.yaml:12: method.alpha: is -1; use a number from 0 to 100"),
    ("  - {name: a, method: {name: ain}}", "test.yaml:12: method.name: unknown method `ain`"),
    ("  - {name: a, metod: {name: aim}}", "test.yaml:12: metod: unknown field `metod`"),
    ("  - {name: a, method: {name: joint}, model: {fusion: film}}", "joins exactly 2 modalities, the network has 3"),
    ("  - {name: a, method: {name: joint}, model: {fusion: {memory: {hidden: 8, tua: 0.3}}}}", "unknown field `tua`"),
    ("  - {name: a, method: {name: joint}, model: {fusion: {memory: {hidden: 8, tau: 2}}}}", "fusion.tau: is 2"),
    ("  - {name: a, method: {name: joint}, model: {fusion: {mods: {heads: 3}}}}", "does not divide the width 64"),
    (
        "  - {name: a, method: joint, \
         model: {encoders: {heart: {name: sequence, widths: [4]}}, fusion: bottleneck, feature_norm: true}}",
        "test.yaml:12: model.feature_norm: makes tokens of padded frames, which `bottleneck` knows by their zeros",
    ),
    (
        "  - {name: a, method: joint, model: {fusion: inner-bottleneck}}",
        "test.yaml:12: model.encoders.breath: is `mlp`, and `inner-bottleneck` needs encoders whose layers take further \
         tokens; use one of vit, transformer, or a fusion behind the encoders",
    ),
    (
        "  - {name: a, method: agm, model: {fusion: inner-mmtm}}",
        "test.yaml:12: method.name: `agm` needs each modality's feature as it is without the others",
    ),
    ("  - {name: a, method: {name: mods}}", "set model.fusion to mods"),
    (
        "  - {name: a, method: {name: ma-afs}, model: {fusion: {scheduled: {hidden: 8}}, uni_heads: true}}",
        "and leave model.uni_heads out",
    ),
    ("  - {name: a, method: {name: mla}, model: {fusion: shared, uni_heads: true}}", "and leave model.uni_heads out"),
    (
        "  - {name: a, method: [opm, ogm], model: {uni_heads: true}}",
        "model.uni_heads: `opm` would read additional heads that no method of this stack trains",
    ),
    (
        "  - {name: a, method: {name: mslr, init: {smell: 2}}, model: {fusion: sum}}",
        "method.init: there is no modality `smell`",
    ),
    (
        "  - {name: a, method: {name: gblend, weights: {fused: 1, heart: 1, breath: 1, motion: 1, smell: 1}}, \
         model: {uni_heads: true}}",
        "method.weights: there is no modality `smell`",
    ),
    (
        "  - {name: a, method: {name: cml, removal_order: [smell]}}",
        "method.removal_order: there is no modality `smell`",
    ),
    (
        "  - {name: a, method: {name: cml, removal_order: [heart, heart]}}",
        "method.removal_order: names a modality twice",
    ),
    ("  - {name: a, method: {name: ensemble}}", "test.yaml:12: method.name: `ensemble` needs a head for each modality"),
    ("  - {name: a, method: {name: joint-unimodal}}", "set model.uni_heads: true"),
    ("  - {name: a, method: {name: unimodal}}", "test.yaml:12: method.modality: is missing"),
    ("  - {name: a/b, method: {name: joint}}", "`a/b` cannot name a folder"),
    (
        "  - {name: a, method: {name: joint}, optimizer: {name: adam, lr: -1}}",
        "optimizer.lr: is -1; use a number, 0 or more",
    ),
    ("  - {name: a, method: {name: joint}, train: {epochs: 0}}", "test.yaml:12: train.epochs: is 0"),
    (
        "  - {name: a, method: remix, model: {uni_heads: true}, train: {sampler: balanced}}",
        "train.sampler: chooses what an epoch shows, and so does `remix`",
    ),
    (
        "  - {name: a, method: joint, train: {patience: 0}}",
        "test.yaml:12: train.patience: is 0; use a number of at least 1",
    ),
    ("  - {name: a, method: joint, train: {patience: 2, select: last}}", "train.patience: waits for a better epoch"),
    ("  - {name: a, method: joint, train: {accumulate: 0}}", "test.yaml:12: train.accumulate: is 0"),
    (
        "  - {name: a, method: {ema: {inner: ogm}}, train: {accumulate: 2}}",
        "train.accumulate: needs methods with one update a step, and `ema(ogm)` owns its step",
    ),
    (
        "  - {name: a, method: {ema: {inner: remix}}, model: {uni_heads: true}, train: {accumulate: 2}}",
        "train.accumulate: needs methods with one update a step",
    ),
    (
        "  - {name: a, method: remix, model: {uni_heads: true}, train: {accumulate: 2}}",
        "train.accumulate: needs methods with one update a step of any batches, and those of `remix` take turns",
    ),
    (
        "  - {name: a, method: di-mml, model: {uni_heads: true, fusion: detached}, train: {patience: 2}}",
        "train.patience: may end the run before the last stage of `di-mml`; leave it out",
    ),
    ("  - {name: a, method: joint, train: {epochs: 4294967296}}", "train.epochs: is 4294967296; use a smaller number"),
    (
        "  - {name: a, method: joint, train: {groups: [{part: head, schedule: stepp}]}}",
        "test.yaml:12: train.groups[0].schedule.name: unknown schedule `stepp`",
    ),
    (
        "  - {name: a, method: joint, train: {groups: [{part: head}, {schedule: {name: step, every: 1, gama: 1}}]}}",
        "train.groups[1].schedule.gama: unknown field `gama`",
    ),
    (
        "  - {name: a, method: joint, train: {clip_norm: 0}}",
        "test.yaml:12: train.clip_norm: is 0; use a number above 0",
    ),
    (
        "  - {name: a, method: joint, train: {clip_value: -1}}",
        "test.yaml:12: train.clip_value: is -1; use a number above 0",
    ),
    (
        "  - {name: a, method: joint, train: {clip_norm: 1, clip_value: 1}}",
        "test.yaml:12: train.clip_value: bounds gradients that `train.clip_norm` bounds; leave one of them out",
    ),
    (
        "  - {name: a, method: joint, train: {label_smoothing: 1.5}}",
        "train.label_smoothing: is 1.5; use a number from 0",
    ),
    ("  - {name: a, method: tcmax, train: {label_smoothing: 0.1}}", "and `tcmax` has none"),
    (
        "  - {name: a, method: joint, train: {class_weights: even}}",
        "train.class_weights: is neither `balanced` nor a list",
    ),
    ("  - {name: a, method: joint, train: {class_weights: [1, 0, 1]}}", "train.class_weights: has a weight 0"),
    (
        "  - {name: a, method: joint, train: {class_weights: [1, 2]}}",
        "train.class_weights: has 2 weights, data set `bundle` has 3 classes; give one weight a class, or `balanced`",
    ),
    ("  - {name: a, method: {name: joint}}\n  - {name: a, method: {name: joint}}", "`a` is there twice"),
];

#[test]
fn configurations() {
    let folder = folder();
    let mut wrong = String::new();
    for (rows, expected) in REFUSED {
        let text = refusal(rows, &[], folder.path());
        if !text.contains(expected) {
            wrong += &format!("{rows}\n{text}\nshould contain\n{expected}\n\n");
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn what_a_table_lacks() {
    let folder = folder();
    let text = refusal(JOINT, &["baseline=joit"], folder.path());
    assert!(text.contains("baseline: there is no row `joit`; use one of joint"), "{text}");
    let text = TableConfig::new(bundle_config(JOINT, &[]), Scale::Quick, standard()).unwrap_err().to_string();
    assert!(text.contains("quick: the table has no such section"), "{text}");
}

/// The message of a table on data that are not there.
fn before_data(rows: &str, rest: &[&str]) -> String {
    refusal(rows, rest, tempfile::tempdir().unwrap().path())
}

#[test]
fn widths_that_do_not_go_together_are_told_before_data_are_read() {
    assert!(before_data(JOINT, &[]).contains("train.safetensors: does not exist"), "data are missed otherwise");
    let wide = "model: {encoders: {heart: {widths: [8, 6]}}";
    let shared = format!("  - {{name: a, method: joint, {wide}, fusion: shared}}}}");
    let told = "`shared` joins features of equal widths, and `breath` has 8, `heart` has 6, `motion` has 8; give the \
                encoders the same last width, or use concat";
    assert_eq!(before_data(&shared, &[]), format!("test.yaml:12: model.fusion: {told}"));
    let mcr = format!("  - {{name: a, method: mcr, {wide}, uni_heads: true}}}}");
    let told =
        "test.yaml:12: method.contrast: `mcr` compares features of equal widths, and `breath` has 8, `heart` has 6";
    assert!(before_data(&mcr, &[]).starts_with(told), "{}", before_data(&mcr, &[]));
    // What is laid over a row is looked at as well: keys of the command line, and the values of a search.
    let row = "  - {name: a, method: joint, model: {fusion: shared}}";
    let over = before_data(row, &["model.encoders.motion={name: cnn, widths: [4]}"]);
    assert!(over.contains("model.fusion: `shared` joins") && over.contains("`motion` has 4"), "{over}");
    let sweep = bundle_config(row, &["sweep={grid: {model.encoders.motion.widths: [[8], [4]]}}"]);
    let swept = TableConfig::new(sweep, Scale::Normal, standard()).unwrap().swept(standard());
    let swept = swept.map(drop).unwrap_err().to_string();
    assert!(swept.contains("trial 1 of `a` cannot work: model.fusion: `shared` joins features"), "{swept}");
    let tune = "  - {name: a, method: joint, tune: {grid: {model.fusion: [concat, shared]}}, \
                model: {encoders: {heart: {widths: [8, 6]}}}}";
    let tune = before_data(tune, &[]);
    assert!(tune.contains("trial 1 of `a` cannot work: model.fusion: `shared` joins features"), "{tune}");
}

#[test]
fn data_files() {
    let folder = folder();
    let path = folder.path();
    let broken = |change: &dyn Fn(), expected: &str| {
        change();
        let text = refusal(JOINT, &[], path);
        assert!(text.contains(expected), "{text}\nshould contain\n{expected}");
        write_bundle(path);
    };
    let file = path.join("train.safetensors");
    broken(&|| fs::remove_file(&file).unwrap(), "train.safetensors: does not exist");
    broken(
        &|| fs::write(&file, &fs::read(&file).unwrap()[..400]).unwrap(),
        "train.safetensors: is no complete safetensors file",
    );
    let with = |key: &str, value: Tensor| {
        let mut tensors = split("train", 90);
        tensors.insert(key.into(), value);
        write_split(path, "train", &tensors);
    };
    let zeros = |shape: &[usize]| Tensor::zeros(shape, candle_core::DType::F32, &Device::Cpu).unwrap();
    broken(&|| with("x.heart", zeros(&[80, 4])), "x.heart");
    broken(&|| with("x.heart", zeros(&[90, 5])), "heart");
    broken(
        &|| with("x.heart", Tensor::full(f32::NAN, (90, 4), &Device::Cpu).unwrap()),
        "`heart` of the train split, sample `train.0` is not finite",
    );
    broken(
        &|| {
            let mut tensors = split("test", 45);
            tensors.insert("y".into(), Tensor::full(7u32, 45, &Device::Cpu).unwrap());
            write_split(path, "test", &tensors);
        },
        "label 7",
    );
    broken(
        &|| {
            let mut tensors = split("validation", 30);
            tensors.remove("x.breath");
            write_split(path, "validation", &tensors);
        },
        "breath",
    );
}

#[test]
fn an_encoder_without_its_modality() {
    let folder = folder();
    let rows = "  - {name: joint, method: {name: joint}, model: {encoders: {smell: {name: mlp, widths: [4]}}}}";
    let text = refusal(rows, &[], folder.path());
    assert!(text.contains("has no modality `smell`") && text.contains("row `joint`"), "{text}");
    let rows = "  - {name: joint, method: {name: joint}, model: {encoders: {heart: {name: resnet18}}}}";
    let text = refusal(rows, &[], folder.path());
    assert!(text.contains("encoders.heart") && text.contains("[C, H, W]"), "{text}");
}

#[test]
fn a_loss_that_explodes_names_tensor_epoch_and_step_and_keeps_the_last_good_checkpoint() {
    let folder = folder();
    let rows = "  - {name: joint, method: {name: joint}, optimizer: {name: sgd, lr: 1e18}}";
    let results = run_table(bundle_config(rows, &[]), folder.path()).unwrap();
    let text = &results.failures[0];
    assert!(text.contains("loss at epoch 0, step") || text.contains("at the end of epoch 0"), "{text}");

    // Decay of this size multiplies the weights by -10 in every step, so that some epochs are good before the overflow.
    let rows = "  - {name: later, method: {name: joint}, optimizer: {name: sgd, lr: 1, weight_decay: 11}, \
                train: {epochs: 60, batch: 128}}";
    let results = run_table(bundle_config(rows, &[]), folder.path()).unwrap();
    assert!(results.failures[0].contains("not finite"), "{:?}", results.failures);
    let run = run_folder(folder.path(), "later");
    let kept = fs::read(run.join("last.safetensors")).unwrap();
    let kept = aim_train::run::Checkpoint::from_bytes(&run, &kept).unwrap();
    assert!(kept.epochs() > 0 && !run.join("result.json").exists());
    for (name, tensor) in &kept.state.part("net").0 {
        let sum = tensor.abs().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap();
        assert!(sum.is_finite(), "{name}");
    }
}

#[test]
fn a_folder_of_another_run_is_refused() {
    use aim_train::{
        config::{Identity, RunConfig},
        run::Folder,
    };
    let folder = tempfile::tempdir().unwrap();
    let (config, _) = RunConfig::single(&bundle_config(JOINT, &[]), Some("joint"), standard()).unwrap();
    let identity = |seed| Identity::new(&config, seed, 1);
    let open = |seed| Folder::open(&folder.path().join("run"), &identity(seed), standard());
    let first = open(0).unwrap();
    assert!(open(0).unwrap_err().to_string().contains("is in use by process "));
    drop(first);
    open(0).unwrap();
    assert!(open(1).unwrap_err().to_string().contains("belongs to a run with another configuration, seed or data set"));
}
