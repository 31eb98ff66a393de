//! What runs leave: checkpoints, their folders, and ledgers.

use std::{cell::OnceCell, fs, io::Read, path::Path, sync::OnceLock};

use aim_core::State;
use aim_tests::{
    Course, World, at_most_two, bundle_config, cases, fusion, requires, run_folder, run_table, write_bundle,
};
use aim_train::{
    config::{Identity, RunConfig, Select},
    experiment::{Ledger, RunResults},
    run::{Checkpoint, Folder, chosen as checkpoint_of},
    standard,
};
use candle_core::Device;
use flate2::read::GzDecoder;

use super::{Target, choice, chosen, loose, safetensors, samples::gzip, text, told};
use crate::place::{put, within};

/// A checkpoint, whose checksum refuses nearly every change.
pub(super) const CHECKPOINT: Target = Target {
    name: "checkpoint",
    about: "a checkpoint with its checksum",
    run: |bytes| {
        let Some(read) = told(Checkpoint::from_bytes("last.safetensors".as_ref(), &safetensors(bytes))) else {
            return false;
        };
        drop(read.of_best());
        let again = read.to_bytes().and_then(|bytes| Checkpoint::from_bytes("again".as_ref(), &bytes));
        assert_eq!(again.expect("it was read before").log, read.log);
        true
    },
    samples: || {
        let whole = file("last.safetensors");
        vec![loose(&whole), whole]
    },
    words: &[
        "__metadata__",
        "checkpoint",
        "crc32",
        "version",
        "\\\"log\\\":[]",
        "best",
        "F32",
        "[0,0]",
        "data_offsets",
    ],
    cost: 2,
};

/// The states of a method, its optimizer and its network, behind the checksum.
pub(super) const STATE: Target = Target {
    name: "state",
    about: "the state of every method, which then trains on",
    run: |bytes| {
        COURSES.with(|courses| {
            let (world, configs) = courses.get_or_init(courses_of_methods);
            let (which, tensors) = choice(bytes, configs.len());
            let Ok(tensors) = candle_core::safetensors::load_buffer(&safetensors(tensors), &Device::Cpu) else {
                return false;
            };
            let state = State(tensors.into_iter().collect());
            let Some(saved) = told(Checkpoint { log: vec![], best: None, state }.to_bytes()) else { return false };
            let course = Course::resumed(&configs[which], &world.data, 0, &saved);
            told(course.and_then(|mut course| course.finish())).is_some()
        })
    },
    samples: || {
        let (world, configs) = courses_of_methods();
        let state = |config| {
            let mut course = Course::new(config, &world.data, 0).expect("a method that trains");
            course.train(2).expect("a method that trains");
            let state = course.state().expect("a state");
            loose(&safetensors::serialize(state.0, None).expect("tensors"))
        };
        configs.iter().zip(0..).map(|(config, which)| chosen(which, &state(config))).collect()
    },
    words: &[
        "F32",
        "F64",
        "I64",
        "U32",
        "[]",
        "[0]",
        "[1]",
        "[0,0]",
        "[1,1]",
        "data_offsets",
        "method.",
        "opt.",
        "net.",
    ],
    cost: 200,
};

thread_local! {
    static COURSES: OnceCell<(World, Vec<RunConfig>)> = const { OnceCell::new() };
}

/// Runs of every method that needs none before its own, on data of three modalities.
fn courses_of_methods() -> (World, Vec<RunConfig>) {
    let world = World::three("{epochs: 2, batch: 45}");
    let config = |card| {
        let needs = requires(card);
        let config = world.config(&cases::active(card.name()), needs, fusion(needs)).expect("a method that is tested");
        config.method.preparations(&config.modalities()).is_empty().then_some(config)
    };
    let configs = standard().methods.iter().filter(|card| !at_most_two(card)).filter_map(config).collect();
    (world, configs)
}

/// Files of a run's folder, whose checksums are made to fit.
const FILES: [&str; 7] = [
    "config.yaml",
    "result.json",
    "predictions.csv",
    "metrics.jsonl",
    "timing.jsonl",
    "projection.json",
    "best.safetensors",
];

/// A file of a run's folder.
pub(super) const FOLDER: Target = Target {
    name: "folder",
    about: "a file of a finished run's folder",
    run: |bytes| {
        let (which, content) = choice(bytes, FILES.len());
        let make = |folder: &Path| done().files.iter().for_each(|(name, content)| put(&folder.join(name), content));
        within("run", make, |folder| {
            let content = safetensors_if(FILES[which] == "best.safetensors", content);
            put(&folder.join(FILES[which]), &content);
            if FILES[which] == "predictions.csv" {
                put(&folder.join("result.json"), resigned(&content).as_bytes());
            }
            let accepted = read(folder);
            for name in ["result.json", FILES[which]] {
                put(&folder.join(name), &file(name));
            }
            accepted
        })
    },
    samples: || FILES.iter().zip(0..).map(|(name, which)| chosen(which, &file(name))).collect(),
    words: &[
        "version",
        "format",
        "seed",
        "revisions",
        "epoch",
        "null",
        "train",
        "validation",
        "[]",
        "{}",
        ",",
        "\n\n",
        "1e400",
    ],
    cost: 12,
};

fn safetensors_if(wanted: bool, content: &[u8]) -> Vec<u8> {
    if wanted { safetensors(content).into_owned() } else { content.to_vec() }
}

fn read(folder: &Path) -> bool {
    told(Identity::load(folder, standard()));
    [Select::Last, Select::Best].iter().for_each(|select| drop(told(checkpoint_of(folder, *select))));
    let Some(folder) = told(Folder::open(folder, &done().identity, standard())) else { return false };
    told(RunResults::read(&folder, &done().identity.config))
        .flatten()
        .is_some_and(|run| !run.single_class() || !run.answers.is_empty())
}

/// The result with the checksum of other predictions.
fn resigned(predictions: &[u8]) -> String {
    let mut result: serde_json::Value = serde_json::from_slice(&file("result.json")).expect("JSON");
    result["predictions_crc32"] = crc32fast::hash(text(predictions).as_bytes()).into();
    result.to_string()
}

/// A ledger, packed or not.
pub(super) const LEDGER: Target = Target {
    name: "ledger",
    about: "a ledger of finished runs, packed or not",
    run: |bytes| {
        let packed = bytes.starts_with(&[0x1f, 0x8b]);
        let content = if packed { bytes.to_vec() } else { gzip(bytes) };
        within(
            "ledger",
            |_| (),
            |folder| {
                put(&Ledger::path(folder, "test"), &content);
                let Some(ledger) = told(Ledger::read(folder, "test", standard())).flatten() else { return false };
                ledger.find(&done().identity);
                !ledger.summary().is_empty()
            },
        )
    },
    samples: || {
        let packed = &done().ledger;
        let mut plain = vec![];
        GzDecoder::new(packed.as_slice()).read_to_end(&mut plain).expect("a whole ledger");
        vec![packed.clone(), plain, gzip(&vec![b'0'; 1 << 20])]
    },
    words: &["ledger", "table", "runs", "declared", "key", "identity", "outcome", "seconds", "null", "\n", "[]"],
    cost: 4,
};

/// A run that is done.
struct Done {
    files: Vec<(String, Vec<u8>)>,
    identity: Identity,
    ledger: Vec<u8>,
}

fn done() -> &'static Done {
    static DONE: OnceLock<Done> = OnceLock::new();
    DONE.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        write_bundle(folder.path());
        let rows = "  - {name: joint, method: joint}";
        let results = run_table(bundle_config(rows, &["train.epochs=2"]), folder.path()).expect("a table");
        assert_eq!(results.failures, [""; 0]);
        let (run, out) = (run_folder(folder.path(), "joint"), folder.path().join("runs/test"));
        let content = |entry: fs::DirEntry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            Some((name, fs::read(entry.path()).ok()?))
        };
        let files = fs::read_dir(&run).expect("a run").flatten().filter_map(content).collect();
        let identity = Identity::load(&run, standard()).expect("a run");
        // The records are the report's; a ledger asks only whether there are any.
        put(&out.join("results.jsonl"), b"");
        let (ledger, _) = Ledger::write(&out, folder.path(), standard(), &|_| ()).expect("a table");
        Done { files, identity, ledger: fs::read(ledger).expect("a ledger") }
    })
}

/// A file of that run.
fn file(name: &str) -> Vec<u8> {
    let found = done().files.iter().find(|(known, _)| known == name);
    found.map(|(_, content)| content.clone()).unwrap_or_else(|| panic!("a run leaves {name}"))
}
