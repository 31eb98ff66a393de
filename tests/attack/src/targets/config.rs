//! Configurations, in files and on the command line.

use std::path::Path;

use aim_train::{
    config::{Identity, Recipe, RunConfig, Scale, Source, TableConfig, load_tables},
    standard,
};

use super::{Target, text, told};
use crate::place::{put, within};

const WORDS: &[&str] = &[
    "name",
    "data",
    "model",
    "encoders",
    "fusion",
    "optimizer",
    "schedule",
    "train",
    "method",
    "rows",
    "seeds",
    "sets",
    "sweep",
    "tune",
    "planned",
    "against",
    "recipe",
    "protocol",
    "as-published",
    "balancebench",
    "folds",
    "all",
    "baseline",
    "power",
    "auto",
    "scale",
    "quick",
    "title",
    "modalities",
    "mlp",
    "widths",
    "concat",
    "joint",
    "aim",
    "ogm-ge",
    "synth-av",
    "&a ",
    "*a",
    "<<: *a",
    "!!binary ",
    "!tag ",
    "? ",
    "- ",
    "|",
    ">",
    "---",
    "...",
    "# ",
    "%YAML ",
    "\t",
    "  ",
    ".inf",
    "{}",
    "[]",
    "~",
    "[0]",
    ".",
    "=",
];

pub(super) const TABLE_TEXT: &str = "name: attack
title: A table
data: {name: synth-av, train: 20, validation: 10, test: 10}
model: {encoders: {sound: {name: mlp, widths: [4]}, image: {name: mlp, widths: [4, 4]}}, fusion: concat}
optimizer: {name: adam, lr: 0.01}
schedule: {name: cosine}
train: {epochs: 2, batch: 8}
seeds: 2
planned: {of: aim, against: [joint]}
rows:
  - {name: joint, method: joint}
  - {name: ogm, title: OGM, method: {name: ogm-ge, alpha: 0.5}, train: {epochs: 3}}
  - name: aim
    method: {name: aim, warmup: 0}
    tune: {grid: {optimizer.lr: [0.1, 0.01]}}
";

/// A table's file, then overrides, one a line, behind a zero.
pub(super) const TABLE: Target = Target {
    name: "config",
    about: "a table or a run in YAML, with overrides",
    run: table,
    samples: || {
        let overrides = "\0train.epochs=1\nmethod.alpha=.5\nseeds=1\nmodel.encoders.sound.widths=[2, 2]";
        vec![
            TABLE_TEXT.into(),
            [TABLE_TEXT, overrides].concat().into(),
            "name: one\nrecipe: cremad/ogm-257x188\nprotocol: as-published\ndata: {folder: x}\nrows:\n  - {name: joint, method: joint}\n"
                .into(),
            "name: all\nsets: [base, base]\nprotocols: [clean, balancebench]\nrows:\n  - {name: sam, method: sam, sets: [base], each_encoder: {}}\n"
                .into(),
            "a: &a {name: mlp, widths: [4]}\nname: r\ndata: synth-av\nmodel: {encoders: {sound: *a, image: *a}}\nmethod: joint\n"
                .into(),
        ]
    },
    words: WORDS,
    cost: 8,
};

fn table(bytes: &[u8]) -> bool {
    let all = text(bytes);
    let (yaml, overrides) = all.split_once('\0').unwrap_or((&all, ""));
    let overrides: Vec<String> = overrides.lines().map(ToOwned::to_owned).collect();
    let make = |folder: &Path| put(&folder.join("base.yaml"), TABLE_TEXT.as_bytes());
    within("config", make, |folder| {
        let path = folder.join("attack.yaml");
        put(&path, yaml.as_bytes());
        let mut accepted = false;
        for row in [None, Some("ogm")] {
            let source = Source::load(&path).and_then(|mut source| source.set_all(&overrides).map(|()| source));
            let Some(source) = told(source) else { continue };
            let run = told(RunConfig::single(&source, row, standard()));
            accepted |= run.is_some_and(|(run, seed)| told(run.resolved(seed)).is_some());
        }
        let tables = told(load_tables(&path, Scale::Normal, &overrides, standard()));
        accepted | tables.is_some_and(|tables| tables.iter().all(reads_again))
    })
}

/// A table with everything filled in is one again.
fn reads_again(table: &TableConfig) -> bool {
    let Some(value) = told(table.resolved()) else { return false };
    let yaml = aim_config::yaml::serde_yaml::to_string(&value).expect("a value is YAML");
    let source = Source::parse(Path::new("resolved.yaml"), &yaml);
    let again = source.and_then(|source| TableConfig::new(source, Scale::Normal, standard()));
    again.map(drop).unwrap_or_else(|error| panic!("a resolved table is refused: {error}\n{yaml}"));
    true
}

/// The `config.yaml` of a run's folder.
pub(super) const IDENTITY: Target = Target {
    name: "identity",
    about: "the configuration in a run's folder",
    run: |bytes| {
        let Some(identity) = told(Identity::parse(&text(bytes), standard())) else { return false };
        let Some(yaml) = told(identity.to_yaml()) else { return false };
        let again = Identity::parse(&yaml, standard()).and_then(|again| again.key());
        assert_eq!(again.ok(), identity.key().ok(), "another key once it is written:\n{yaml}");
        true
    },
    samples: || vec![identity_text().into()],
    words: WORDS,
    cost: 6,
};

/// A run's `config.yaml`.
fn identity_text() -> String {
    let source = Source::parse(Path::new("attack.yaml"), TABLE_TEXT).expect("it is YAML");
    let (config, seed) = RunConfig::single(&source, Some("ogm"), standard()).expect("it is a run");
    Identity::new(&config, seed, 7).to_yaml().expect("it can be written")
}

/// A recipe of one's own.
pub(super) const RECIPE: Target = Target {
    name: "recipe",
    about: "a recipe of one's own",
    run: |bytes| {
        within(
            "recipe",
            |_| (),
            |folder| {
                put(&folder.join("own.yaml"), bytes);
                let Some(recipe) = told(Recipe::load("own.yaml", Some(folder))) else { return false };
                let head = "name: r\nrecipe: own.yaml\nrows:\n  - {name: joint, method: joint}\n";
                let source = Source::parse(&folder.join("table.yaml"), head).expect("it is YAML");
                told(TableConfig::new(source, Scale::Normal, standard()));
                !recipe.name.is_empty()
            },
        )
    },
    samples: || {
        let text = "about: a recipe\nsource: a paper\nfacts:\n  - {what: length, is: 2 epochs, sure: paper}\n\
                    data: {name: synth-av, train: 20}\n\
                    model: {encoders: {sound: {name: mlp}, image: {name: mlp}}}\noptimizer: {name: sgd, lr: 0.1}\n\
                    train: {epochs: 2}\nas-published: {train: {epochs: 3}}\n";
        vec![text.into()]
    },
    words: WORDS,
    cost: 4,
};
