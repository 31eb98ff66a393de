//! What tables leave, and golden cases.

use std::{borrow::Cow, fs, path::Path};

use aim_report::{across, agreed, power, protocols, summary};
use aim_train::{
    config::{Planned, Scale, Source, TableConfig},
    standard,
};
use candle_core::Device;

use super::{Target, choice, chosen, config::TABLE_TEXT, loose, safetensors, told};
use crate::place::{put, within};

/// The table of a name, with the rows that results are of.
fn table(name: &str, rest: &[&str]) -> TableConfig {
    let mut source = Source::parse("attack.yaml".as_ref(), TABLE_TEXT).expect("it is YAML");
    source.set(&format!("name={name}")).expect("a key");
    rest.iter().for_each(|rest| source.set(rest).expect("a key"));
    TableConfig::new(source, Scale::Normal, standard()).expect("it is a table")
}

fn lines() -> String {
    let line = |(row, seed, accuracy): (&str, u64, f64)| {
        format!(
            "{{\"row\":\"{row}\",\"title\":\"{row}\",\"seed\":{seed},\"test.accuracy\":{accuracy},\"test.most_frequent\":0.25,\
             \"baseline\":\"joint\",\"modalities\":\"sound+image\",\"probes.modality.sound\":0.5}}\n"
        )
    };
    let runs = [("joint", 0, 0.5), ("aim", 0, 0.625), ("joint", 1, 0.5), ("aim", 1, 0.75), ("ogm", 0, 0.25)];
    runs.into_iter().map(line).collect()
}

/// The records of a table.
pub(super) const RESULTS: Target = Target {
    name: "results",
    about: "the records of a table, summed up with another's",
    run: |bytes| {
        let make = |folder: &Path| {
            ["a", "b"].iter().for_each(|name| fs::create_dir(folder.join(name)).expect("a folder"));
            put(&folder.join("b/results.jsonl"), lines().as_bytes());
        };
        within("results", make, |folder| {
            put(&folder.join("a/results.jsonl"), bytes);
            let family = [table("a", &[]), table("b", &["protocol=balancebench"])];
            told(summary(&[table("a", &[]), table("b", &[])], folder));
            told(protocols(&family, folder));
            let planned = Planned { of: "aim".into(), against: vec!["joint".into()], test_to_train: None };
            told(across(&[folder.join("a"), folder.join("b")], &planned)).is_some()
        })
    },
    samples: || vec![lines().into()],
    words: &[
        "row",
        "seed",
        "fold",
        "test.accuracy",
        "test.most_frequent",
        "joint",
        "aim",
        "1e308",
        "-1e308",
        "\n",
        "null",
        "1",
    ],
    cost: 100,
};

/// The note of planned comparisons.
pub(super) const PLANNED: Target = Target {
    name: "planned",
    about: "the note of planned comparisons",
    run: |bytes| {
        within(
            "planned",
            |_| (),
            |folder| {
                put(&folder.join("planned.json"), bytes);
                told(agreed(&[folder.to_owned()])).is_some()
            },
        )
    },
    samples: || {
        let text = r#"[{"planned": {"of": "aim", "against": ["joint"]}, "runs_before": 0},
                       {"planned": {"of": "aim", "against": ["joint", "ogm"], "test_to_train": 0.25}, "runs_before": 2}]"#;
        vec![text.into()]
    },
    words: &["planned", "of", "against", "test_to_train", "runs_before", "null", "[]"],
    cost: 1,
};

/// The number of seeds that pilots found. One of other pilots is accepted too: it was understood.
pub(super) const POWER: Target = Target {
    name: "power",
    about: "the number of seeds that pilots found",
    run: |bytes| {
        let make = |folder: &Path| fs::create_dir(folder.join("a")).expect("a folder");
        within("power", make, |folder| {
            put(&folder.join("a/power.json"), bytes);
            let settled = power::settle(&mut table("a", &["seeds=auto"]), folder);
            let other = settled.as_ref().err().is_some_and(|error| error.to_string().contains("is of other"));
            told(settled).is_some() | other
        })
    },
    samples: || {
        let text = r#"{"asked": 1, "pilots": [2000, 2007], "comparisons":
                       [{"against": "joint", "std": 0.01, "by_t": 12, "by_sign_flips": null}], "seeds": 12, "chance": 0.8}"#;
        vec![text.into()]
    },
    words: &["asked", "pilots", "comparisons", "std", "by_t", "by_sign_flips", "seeds", "chance", "null"],
    cost: 60,
};

/// Files of golden cases.
const CASES: [(&str, &str); 7] = [
    ("joint-mlp-concat-sgd", "case.json"),
    ("joint-mlp-concat-sgd", "init.safetensors"),
    ("joint-mlp-concat-sgd", "batch.safetensors"),
    ("joint-mlp-concat-sgd", "expected.safetensors"),
    ("shapley-numeric-1", "case.json"),
    ("shapley-numeric-1", "batch.safetensors"),
    ("shapley-numeric-1", "expected.safetensors"),
];

/// The folder of golden cases.
const GOLDEN_CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../golden");

/// A golden case.
pub(super) const GOLDEN: Target = Target {
    name: "golden",
    about: "a file of a golden case",
    run: |bytes| {
        let (which, content) = choice(bytes, CASES.len());
        within(
            "golden",
            |_| (),
            |folder| {
                let (case, file) = CASES[which];
                let folder = folder.join(case);
                if !folder.exists() {
                    fs::create_dir(&folder).expect("a folder");
                    let own = CASES.iter().filter(|(of, _)| *of == case);
                    own.for_each(|(_, name)| put(&folder.join(name), &golden(case, name)));
                }
                let json = file.ends_with("json");
                put(&folder.join(file), &if json { Cow::Borrowed(content) } else { safetensors(content) });
                let verdict = told(aim_golden::check(&folder, &Device::Cpu));
                put(&folder.join(file), &golden(case, file));
                verdict.is_some_and(|verdict| verdict.passed())
            },
        )
    },
    samples: || {
        let all = CASES.iter().zip(0..).map(|((case, file), which)| {
            let content = golden(case, file);
            chosen(which, &if file.ends_with("json") { content } else { loose(&content) })
        });
        all.collect()
    },
    words: &[
        "method",
        "kind",
        "training",
        "numeric",
        "model",
        "modalities",
        "encoders",
        "fusion",
        "classes",
        "uni_heads",
        "hyper",
        "optimizer",
        "extra_init",
        "steps",
        "tolerance",
        "atol",
        "rtol",
        "mlp",
        "widths",
        "aim",
        "ogm-ge",
        "null",
        "[]",
        "{}",
        "[0,0]",
        "F64",
        "I64",
    ],
    cost: 30,
};

fn golden(case: &str, file: &str) -> Vec<u8> {
    fs::read(format!("{GOLDEN_CASES}/{case}/{file}")).expect("a golden case")
}
