//! Three sensors from Python: written, trained on and answered for by the commands of the book.
#![allow(clippy::unwrap_used, clippy::explicit_write, reason = "helpers of tests; the macro would be captured")]

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    path::Path,
    process::{Command, Output},
};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
const CLASSES: [&str; 5] = ["rest", "walk", "climb", "run", "fall"];

fn run(program: &str, folder: &Path, arguments: &str) -> Output {
    Command::new(program).current_dir(folder).args(arguments.split_whitespace()).output().unwrap()
}

/// What a command that must succeed prints.
fn done(program: &str, folder: &Path, arguments: &str) -> String {
    let output = run(program, folder, arguments);
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn has_numpy() -> bool {
    Command::new("python3").args(["-c", "import numpy"]).output().is_ok_and(|output| output.status.success())
}

fn xtask(folder: &Path, arguments: &str) -> String {
    done(env!("CARGO_BIN_EXE_xtask"), folder, arguments)
}

/// Rows of a file without quotes, by the names of its columns.
fn rows(path: &Path) -> Vec<BTreeMap<String, String>> {
    let text = fs::read_to_string(path).unwrap();
    let mut lines = text.lines().map(|line| line.split(',').map(String::from).collect::<Vec<_>>());
    let names = lines.next().unwrap();
    lines.map(|cells| names.iter().cloned().zip(cells).collect()).collect()
}

/// Mean over classes of the harmonic mean of precision and recall.
fn macro_f1(pairs: &[(&str, &str)]) -> f64 {
    let count = |of: &dyn Fn(&str, &str) -> bool| pairs.iter().filter(|(a, b)| of(a, b)).count() as f64;
    let f1 = |class: &&str| {
        let both = count(&|truth, said| truth == *class && said == *class);
        2. * both / (count(&|truth, _| truth == *class) + count(&|_, said| said == *class))
    };
    CLASSES.iter().map(f1).sum::<f64>() / CLASSES.len() as f64
}

#[test]
fn sensors_from_python_are_learnt_and_new_ones_answered_for() {
    if !has_numpy() {
        writeln!(std::io::stderr(), "skipped: there is no python3 with numpy").unwrap();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    done("python3", at, &format!("{ROOT}/examples/sensors.py sensors"));
    let card = xtask(at, &format!("data check {ROOT}/examples/sensors.yaml"));
    for split in ["train", "validation", "test"] {
        for sensor in ["heart", "breath", "motion"] {
            let lacks = |line: &&str| line.contains(&format!("{split} samples lack {sensor}"));
            assert!(card.lines().any(|line| lacks(&line)), "{split}, {sensor}: {card}");
        }
    }
    for row in ["balanced", "weighted"] {
        let said = xtask(at, &format!("train --config {ROOT}/examples/sensors.yaml --row {row} --quiet"));
        let value = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
        // Who always says `rest`: precision .8 and recall 1 of one class of five, 0 of the others.
        let majority = 2. * 0.8 / 1.8 / 5.;
        assert!(value("macro_f1").unwrap() > 2. * majority, "{said}");
        let run = said.lines().find_map(|line| line.strip_prefix("folder: ")).unwrap();
        let said = xtask(at, &format!("predict --run {run} sensors/new.csv --out answers.csv --quiet"));
        assert!(said.contains("200 samples"), "{said}");

        let [new, truth, answers] =
            ["sensors/new.csv", "sensors/answers.csv", "answers.csv"].map(|name| rows(&at.join(name)));
        let ids = |rows: &[BTreeMap<String, String>]| rows.iter().map(|row| row["id"].clone()).collect::<Vec<_>>();
        assert_eq!((ids(&answers), answers.len()), (ids(&new), 200));
        for answer in &answers {
            let shares: Vec<f64> =
                CLASSES.iter().map(|class| answer[&format!("probability.{class}")].parse().unwrap()).collect();
            let largest = (0..5).max_by(|a, b| shares[*a].total_cmp(&shares[*b])).unwrap();
            assert!((shares.iter().sum::<f64>() - 1.).abs() < 1e-5 && answer["predicted"] == CLASSES[largest]);
        }
        let pairs: Vec<_> = truth.iter().zip(&answers).map(|(t, a)| (&*t["label"], &*a["predicted"])).collect();
        assert!(macro_f1(&pairs) > 2. * majority, "{row}: {}", macro_f1(&pairs));
        assert!(new.iter().any(|row| row["heart"].is_empty()) && new.iter().any(|row| row["motion"].is_empty()));
    }
}
