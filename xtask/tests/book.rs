//! The commands of the README and the book do what they are there for. They are run as the pages have them, one page
//! after the other, with `--quick` where a command has it, in a folder in which the tables and files that they name
//! are small ones.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use aim_cli::{Application, command_line};
use aim_tests::{
    book::{ROOT, commands, of_the_book, ours},
    bundle_text, split, write_bundle, write_split,
};

/// What is not run, by a part of the command, and why.
const LEFT_OUT: [(&str, &str); 19] = [
    ("cargo test", "these are the tests"),
    ("xtask check", "the checks of the workspace"),
    ("--bin ", "`examples/tests/run.rs` runs the examples"),
    ("examples/sensors", "`sensors.rs` runs it"),
    ("sensors/new.csv", "`sensors.rs` runs it"),
    ("-p aim-pats", "language models"),
    ("cargo install", "installs"),
    ("pip download", "a download"),
    ("--features hub", "a download, by another build"),
    ("--features media", "another build; without it the same command is run"),
    ("--features cuda", "a device"),
    ("aim-ops/cuda", "a device"),
    ("benches/compare", "PyTorch"),
    ("xtask bench", "measures"),
    ("reproduce protocols", "real data"),
    ("reproduce field", "real data"),
    ("reproduce mvsa-minilm", "real data"),
    ("data check avmnist", "real data"),
    ("emotions.yaml", "real data"),
];

/// What has to be there before the first page, made by commands of the pages.
const BEFORE: [&str; 5] = [
    "cargo xtask reproduce --quick",
    "cargo xtask reproduce --quick --seeds 1 --out runs/changed",
    "cargo xtask reproduce mine.yaml --quick",
    "cargo xtask reproduce grid-noise --quick",
    "cargo xtask reproduce lis --quick",
];

/// The run that the pages name, whose digits nobody knows beforehand.
const RUN: &str = "runs/mine/aim.1234abcd/seed0";

/// A manifest of words and tracks, a bundle, new samples of both, and tables: one's own on the manifest, those of the
/// names `grid-noise` and `lis` on the bundle, and the first table on few samples.
fn prepare(folder: &Path) {
    let lines = |split: &str, samples: usize| -> String {
        let line = |i: usize| {
            let (id, label) = (format!("{split}{i}"), ["low", "high"][i % 2]);
            // No two samples are alike, of whatever split.
            let track: String = (0..3).map(|t| format!("{},{}\n", t + i % 2, 100 * split.len() + i + t)).collect();
            fs::write(folder.join(format!("{id}.csv")), format!("a,b\n{track}")).unwrap();
            format!("{id},{split},{label},a {label} word {},{id}.csv\n", i % 5)
        };
        (0..samples).map(line).collect()
    };
    let all = [lines("train", 24), lines("validation", 8), lines("test", 12)].concat();
    fs::write(folder.join("labels.csv"), format!("id,split,label,words,track\n{all}")).unwrap();
    fs::write(folder.join("new.csv"), "id,words,track\nnew,a low word 1,test0.csv\n").unwrap();
    let mine = "name: mine\n\
         data:\n  name: manifest\n  file: labels.csv\n  modalities:\n    words: {text: {length: 4, at_least: 2}}\n    \
         track: {series: {length: 3, columns: 2}, standardise: entry}\n\
         model:\n  encoders:\n    words: {name: transformer, vocabulary: 40, width: 8, layers: 1, heads: 2, blocks: 1}\n    \
         track: {name: mlp, widths: [6]}\n\
         optimizer: {name: adam, lr: 0.01}\ntrain: {epochs: 4, batch: 8}\nseeds: 4\nquick: {seeds: 2, train: {epochs: 2}}\n\
         power: {pilots: 3}\nplanned: {of: aim, against: [joint]}\n\
         rows:\n  - {name: joint, method: joint}\n  - {name: aim, method: aim}\n";
    fs::write(folder.join("mine.yaml"), mine).unwrap();

    write_bundle(folder);
    let mut new = split("test", 45);
    new.remove("y");
    write_split(folder, "new", &new);
    fs::create_dir(folder.join("configs")).unwrap();
    let rows = ["joint", "frozen", "aim"].map(|name| format!("  - {{name: {name}, method: {name}}}\n")).concat();
    let more = "quick: {seeds: 2, train: {epochs: 2}}\npower: {pilots: 3}\nplanned: {of: aim, against: [joint]}\n\
                sweep: {random: {trials: 2, ranges: {optimizer.lr: {low: 0.001, high: 0.1, log: true}}}}\nrows:";
    for name in ["grid-noise", "lis"] {
        let table = bundle_text(&rows).replace("name: test", &format!("name: {name}")).replace("rows:", more);
        fs::write(folder.join(format!("configs/{name}.yaml")), table).unwrap();
    }
    let first = fs::read_to_string(Path::new(ROOT).join("configs/synth-av.yaml")).unwrap();
    let few = "quick: {data: {train: 64, validation: 32, test: 32}, ";
    assert!(first.contains("quick: {"));
    fs::write(folder.join("configs/synth-av.yaml"), first.replace("quick: {", few)).unwrap();
}

/// The folder of a row's run in a table of the folder.
fn run_of(folder: &Path, table: &str, row: &str) -> String {
    let rows = fs::read_dir(folder.join("runs").join(table)).unwrap().map(|entry| entry.unwrap().path());
    let done = |path: &Path| path.join("seed0/result.json").exists();
    let named = |path: &Path| path.file_name().unwrap().to_string_lossy().starts_with(&format!("{row}."));
    let of_row: BTreeSet<_> = rows.filter(|path| named(path) && done(path)).collect();
    of_row.first().unwrap().strip_prefix(folder).unwrap().join("seed0").display().to_string()
}

/// Whether a command has this option.
fn has(arguments: &[String], option: &str) -> bool {
    let line = command_line(&Application::default()).unwrap();
    let mut command = &line;
    while let Some(inner) = arguments.iter().find_map(|word| command.find_subcommand(word)) {
        command = inner;
    }
    command.get_arguments().any(|argument| argument.get_long() == Some(option))
}

/// Runs a command of the pages, which must succeed.
fn run(folder: &Path, line: &str) {
    assert!(ours(line).is_some(), "`{line}` is not run; say in LEFT_OUT why not");
    let (_, arguments) = ours(line).unwrap();
    // Runs on a bundle answer for arrays.
    let arrays = arguments.iter().any(|word| word.ends_with(".safetensors"));
    let run = |word: &str| match word {
        RUN if arrays => run_of(folder, "grid-noise", "aim"),
        RUN => run_of(folder, "mine", "aim"),
        "DIR" => ".".into(),
        "NAME" => "ogm".into(),
        word => word.into(),
    };
    let quick = !arguments.iter().any(|word| word == "--quick") && has(&arguments, "quick");
    let arguments = arguments.iter().map(|word| run(word)).chain(quick.then(|| "--quick".into()));
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    let output = command.current_dir(folder).args(arguments).env_remove("AIM_DATA").output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_commands_of_the_book_succeed() {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    BEFORE.iter().for_each(|line| run(folder.path(), line));
    let (mut done, mut left) = (BTreeSet::new(), BTreeSet::new());
    for command in
        commands().into_iter().filter(|command| of_the_book(command.place.split(':').next().unwrap().as_ref()))
    {
        let line = command.text.split(" #").next().unwrap().trim().to_owned();
        let reasons: Vec<&str> = LEFT_OUT.iter().map(|(part, _)| *part).filter(|part| line.contains(part)).collect();
        if reasons.is_empty() && done.insert(line.clone()) {
            run(folder.path(), &line);
        }
        left.extend(reasons);
    }
    assert!(done.len() > 40, "{done:?}");
    let parts = LEFT_OUT.iter().map(|(part, _)| *part);
    assert_eq!(parts.filter(|part| !left.contains(part)).collect::<Vec<_>>(), [""; 0], "no command is left out for it");
    for written in ["runs/synth-av/report.html", "runs/across/report.html", "runs/compared/report.html"] {
        assert!(folder.path().join(written).exists(), "{written}");
    }
}
