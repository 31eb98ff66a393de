//! Planned comparisons, pilots, the ledger, and what is said over several sets, from runs to tables.

use std::{
    fs,
    path::{Path, PathBuf},
};

use aim_core::Result;
use aim_report::{across, agreed, comparison, page, planned, power};
use aim_stats::table::Table;
use aim_tests::{bundle_config, run_folder, run_options, run_with, write_bundle, write_report};
use aim_train::{
    config::{Planned, Scale, TableConfig},
    experiment::{Ledger, Options, Results, RowResults, run},
    run::{Majority, Stop},
    standard,
};

const ROWS: &str = "  - {name: motion-alone, method: {name: unimodal, modality: motion}}
  - {name: joint, method: joint}
  - {name: ogm, method: ogm}
  - {name: aim, method: {name: aim, warmup: 0}}";
const PLANNED: &str = "planned={of: aim, against: [joint, ogm]}";

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_bundle(folder.path());
    folder
}

fn table(overrides: &[&str]) -> TableConfig {
    TableConfig::new(bundle_config(ROWS, overrides), Scale::Normal, standard()).unwrap()
}

fn make(table: &TableConfig, options: &Options) -> Result<Results> {
    run(table, options, &Stop::default(), standard())
}

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join("runs/test").join(name)).unwrap()
}

#[test]
fn only_what_was_planned_is_tested() {
    let folder = folder();
    let options = run_options(folder.path());
    let results = run_with(bundle_config(ROWS, &["seeds=3", PLANNED, "train.epochs=2"]), &options).unwrap();
    let written = write_report(&results, &options.out);
    let table = planned(&results, &standard().metrics).unwrap().unwrap();
    let names: Vec<String> = table.rows().iter().map(|row| row[0].content.shown(0)).collect();
    assert_eq!(names, ["aim - joint", "aim - ogm"]);
    // Three seeds: p is a multiple of 1/4, and at most doubled.
    for row in table.rows() {
        let p: f64 = row[3].content.shown(3).parse().unwrap();
        assert!([0.25, 0.5, 0.75, 1.].contains(&p), "{p}");
    }
    assert_eq!([&table.columns()[4].heading, &table.columns()[6].heading], ["Holm (decides)", "Holm (t)"]);
    let said = table.notes().join("\n");
    assert!(said.contains("AIM") && said.contains("The sign flips under Holm's correction decide"), "{said}");
    assert!(table.notes()[0].contains("declared before any run of the table was done"), "{:?}", table.notes());
    let comparison = read(folder.path(), "comparison.md");
    assert!(
        !comparison.contains("p seeds") && comparison.contains("difference to joint, 95 % interval"),
        "{comparison}"
    );
    assert!(comparison.contains("parameters"), "{comparison}");
    assert!(read(folder.path(), "diagnosis.md").contains("training, s"));
    let said = written.text(None);
    assert!(said.contains("aim - ogm") && written.verdict.iter().any(|line| line.contains("a chance of")), "{said}");
    assert!(read(folder.path(), "planned.md").contains("Holm"));
    assert!(read(folder.path(), "report.html").contains("planned comparisons of"));

    // Without a plan every row is tested against the baseline, as it always was.
    let results = run_with(bundle_config(ROWS, &["seeds=3", "train.epochs=2"]), &options).unwrap();
    write_report(&results, &options.out);
    let comparison = read(folder.path(), "comparison.md");
    assert!(comparison.contains("p seeds") && planned(&results, &standard().metrics).unwrap().is_none());
    // One that comes after the runs is told.
    let late = bundle_config(ROWS, &["seeds=3", "train.epochs=2", "planned={of: ogm, against: [joint]}"]);
    let results = run_with(late, &options).unwrap();
    let late = planned(&results, &standard().metrics).unwrap().unwrap();
    assert!(late.notes()[0].contains("declared, after others before, when 12 runs"), "{:?}", late.notes());
}

/// Gives the runs of a row these accuracies: of seed 0 on folds 0, 1, 2, then of seed 1.
fn on_folds(row: &mut RowResults, accuracies: [f64; 6]) {
    row.runs.truncate(6);
    for (i, (run, accuracy)) in row.runs.iter_mut().zip(accuracies).enumerate() {
        (run.outcome.seed, run.fold) = ((i / 3) as u64, Some(i % 3));
        run.outcome.test.values.insert("accuracy".into(), accuracy);
        run.outcome.majority = Some(Majority { class: "0".into(), share: [0.5, 0.4, 0.3][i % 3] });
    }
}

#[test]
fn folds_are_the_values_of_their_tests_and_intervals_and_seeds_are_not() {
    let folder = folder();
    let overrides = ["seeds=6", "train.epochs=1", "planned={of: aim, against: [joint]}"];
    let mut results = run_with(bundle_config(ROWS, &overrides), &run_options(folder.path())).unwrap();
    (results.table.seeds, results.table.folds) = (2, Some(3));
    results.rows.retain(|row| row.name == "joint" || row.name == "aim");
    on_folds(&mut results.rows[0], [0.6, 0.5, 0.7, 0.6, 0.5, 0.7]);
    // By fold .01, .02, .06 more than joint; the seeds differ by more.
    on_folds(&mut results.rows[1], [0.64, 0.55, 0.79, 0.58, 0.49, 0.73]);
    let table = planned(&results, &standard().metrics).unwrap().unwrap();
    let headings: Vec<&str> = table.columns().iter().map(|column| column.heading.as_str()).collect();
    assert_eq!(headings[1..], ["folds", "difference, 95 % interval (t)", "p corrected t", "Holm (decides)"]);
    let cells =
        |table: &Table, row: usize| table.rows()[row].iter().map(|cell| cell.content.shown(4)).collect::<Vec<_>>();
    // Three folds, of which one trains: mean .03, variance .0007, t = .03 / sqrt((1/3 + 1) .0007) = .98198 with 2
    // degrees of freedom, p = 1 - t / sqrt(2 + t^2) = .42966; the interval .03 -+ 4.30265 * .030551.
    assert_eq!(cells(&table, 0), ["aim - joint", "3.0000", "0.0300 [-0.1014, 0.1614]", "0.430", "0.430"]);
    assert!(table.notes()[1].contains("of 3 folds with 1.000 test samples a training sample and 2 degrees of freedom"));
    let comparison = comparison(&results, &standard().metrics).unwrap();
    let joint = cells(&comparison, 0);
    // Folds .6, .5, .7: .6 -+ 4.30265 sqrt((1/3 + 1) .01) = .6 -+ .4968; the runs' deviation is sqrt(.04 / 5).
    assert_eq!(joint[1..5], ["6.0000", "0.6000 ± 0.0894 [0.1032, 1.0000]", "", "0.4000"]);
    assert!(cells(&comparison, 1).iter().any(|cell| cell == "0.0300 ± 0.0265 [-0.1014, 0.1614]"), "{comparison:?}");

    // The page's interval is the table's, cut where accuracies end.
    let aim = results.rows.pop().unwrap();
    let page = page::of_table(&results, &[], &[], &page::builtin());
    assert!(page.contains(">0.600 [0.103, 1.000]</span>"), "{page}");
    results.rows.push(aim);

    // A fold that one row lacks counts for neither; a row without runs is told.
    results.rows[1].runs.retain(|run| run.fold != Some(2));
    let fewer = planned(&results, &standard().metrics).unwrap().unwrap();
    assert_eq!(cells(&fewer, 0)[1..3], ["2.0000", "0.0150 [-0.0950, 0.1250]"]);
    results.rows[1].runs.clear();
    results.failures.push("aim, seed 0, fold 0: it broke".into());
    let none = planned(&results, &standard().metrics).unwrap().unwrap();
    assert_eq!(cells(&none, 0), ["aim - joint", "0.0000", "", "", ""]);
    let notes = none.notes().join(" ");
    assert!(notes.contains("NOT TESTED") && notes.contains("FAILED: aim, seed 0, fold 0: it broke"), "{notes}");
}

#[test]
fn pilots_say_how_many_seeds_there_are_and_are_not_in_the_table() {
    let folder = folder();
    let options = run_options(folder.path());
    let asked = ["seeds=auto", PLANNED, "power={pilots: 3, least: 2, most: 4, difference: 0.5}"];
    let mut table = table(&asked);
    let missing = power::settle(&mut table.clone(), &options.out).unwrap_err().to_string();
    assert!(missing.contains("power.json: is missing") && missing.contains("start the command `power`"), "{missing}");
    let pilots = make(&table.pilot().unwrap(), &options).unwrap();
    let seeds: Vec<u64> = pilots.rows[0].runs.iter().map(|run| run.outcome.seed).collect();
    assert_eq!((pilots.rows.len(), seeds), (3, vec![2000, 2001, 2002]));
    let found = power::Found::of(&table, &pilots).unwrap();
    found.write(&table, &options.out).unwrap();
    let text = found.table(&table).unwrap().to_plain();
    // Two tests cannot reach .025 with fewer than 7 seeds by sign flips.
    assert!(found.seeds == 4 && text.contains("aim - joint") && text.contains("more than 4"), "{text}");

    power::settle(&mut table, &options.out).unwrap();
    assert_eq!((table.seeds, table.auto), (4, false));
    let results = make(&table, &options).unwrap();
    let all = results.rows.iter().flat_map(|row| &row.runs);
    assert!(all.clone().count() == 16 && all.into_iter().all(|run| run.outcome.seed < 4));
    let planned = planned(&results, &standard().metrics).unwrap().unwrap();
    let from = &planned.notes()[1];
    assert!(from.contains("4 seeds: found by `power` from pilots with the seeds 2000 to 2002"), "{from}");
    // Whatever the spread: no p of 4 seeds is below 1/8.
    assert!(from.contains("the most that were allowed and too few: the chance is 0 %"), "{from}");
    assert!(planned.notes()[0].contains("before any run"), "pilots are no runs of the table");

    let mut other = self::table(&[asked[0], asked[1], asked[2], "train.epochs=5"]);
    let other = power::settle(&mut other, &options.out).unwrap_err().to_string();
    assert!(other.contains("is of other planned rows, settings or aims"), "{other}");
    fs::write(options.out.join("test/power.json"), "{").unwrap();
    let damaged = power::settle(&mut self::table(&asked), &options.out).unwrap_err().to_string();
    assert!(damaged.contains("power.json: is damaged"), "{damaged}");
}

#[test]
fn a_table_from_the_ledger_is_the_same_and_trains_only_what_is_missing() {
    let first = folder();
    let options = run_options(first.path());
    let searched = ["seeds=2", "train.epochs=2", "sweep={grid: {optimizer.lr: [0.01, 0.02]}}"];
    let table = |overrides: &[&str]| table(overrides).swept(standard()).unwrap();
    let results = make(&table(&searched), &options).unwrap();
    write_report(&results, &options.out);
    let ledgers = first.path().join("ledgers");
    let write = |out: &Path| Ledger::write(&out.join("test-sweep"), &ledgers, standard(), &|_| ());
    let (path, runs) = write(&options.out).unwrap();
    assert_eq!(runs, 4 * (2 + 2));
    let bytes = fs::read(&path).unwrap();
    write(&options.out).unwrap();
    assert!(fs::read(&path).unwrap() == bytes && bytes.len() < 20_000, "{} bytes", bytes.len());

    // Elsewhere, with the same data.
    let elsewhere = tempfile::tempdir().unwrap();
    let options =
        Options { out: elsewhere.path().join("runs"), ledger: Some(ledgers.clone()), ..run_options(first.path()) };
    let mut again = make(&table(&searched), &options).unwrap();
    assert_eq!(again.failures, [""; 0]);
    assert!(again.rows.iter().flat_map(|row| &row.runs).all(|run| run.folder.is_none()));
    write_report(&again, &options.out);
    let same = |name: &str| {
        let of = |out: &Path| fs::read_to_string(out.join("test-sweep").join(name)).unwrap();
        (of(&first.path().join("runs")), of(&options.out))
    };
    for name in ["results.jsonl", "joint.search.json", "diagnosis.csv", "comparison.csv"] {
        let (one, other) = same(name);
        // What was answered for each sample is not kept, and with it the test over samples.
        let csv =
            |text: &str| text.lines().map(|l| l.split(',').take(6).collect::<Vec<_>>().join(",")).collect::<String>();
        assert!(if name.starts_with("comparison") { csv(&one) == csv(&other) } else { one == other }, "{name}");
    }
    assert!(same("comparison.md").1.contains("8 of the 8 runs are from the ledger"));

    // What is said of the answers is kept without them.
    let run = &mut again.rows[0].runs[0];
    for class in [None, Some("0".to_owned())] {
        run.outcome.single_class.clone_from(&class);
        assert_eq!(run.single_class(), class.is_some());
    }

    // One more seed is trained, nothing else.
    let more = make(&table(&["seeds=3", searched[1], searched[2]]), &options).unwrap();
    let trained = more.rows.iter().flat_map(|row| &row.runs).filter(|run| run.folder.is_some()).count();
    assert_eq!(trained, 4);
    // Other settings are other runs.
    let other = make(&table(&["seeds=1", "train.epochs=1", searched[2]]), &options).unwrap();
    assert!(other.rows.iter().flat_map(|row| &row.runs).all(|run| run.folder.is_some()));
    // What is kept stays, though only the new runs lie in this folder: 4 of seed 2, and 4 * (2 + 1) of other settings.
    write_report(&other, &options.out);
    assert_eq!(write(&options.out).unwrap().1, 16 + 4 + 12);

    damaged_ledgers_are_told(&ledgers, &path, bytes, &|| make(&table(&searched), &options));
}

/// Damages the ledger of a searched table, which `again` makes from it, and looks for ledgers that are not there.
fn damaged_ledgers_are_told(ledgers: &Path, path: &Path, bytes: Vec<u8>, again: &dyn Fn() -> Result<Results>) {
    for (damage, told) in [
        (bytes[..bytes.len() / 2].to_vec(), "is damaged"),
        (b"no gzip".to_vec(), "is damaged"),
        (flipped(&bytes), "is damaged"),
    ] {
        fs::write(path, damage).unwrap();
        let error = again().map(drop).unwrap_err().to_string();
        assert!(error.contains("test-sweep.jsonl.gz") && error.contains(told), "{error}");
    }
    fs::write(Ledger::path(ledgers, "other"), bytes).unwrap();
    let renamed = Ledger::read(ledgers, "other", standard()).map(drop).unwrap_err().to_string();
    assert!(renamed.contains("is the ledger of `test-sweep`"), "{renamed}");
    assert!(Ledger::read(ledgers, "none", standard()).unwrap().is_none());
    let missing = Ledger::read(&ledgers.join("typo"), "other", standard()).map(drop).unwrap_err().to_string();
    assert!(missing.contains("typo: is no folder"), "{missing}");
}

#[test]
fn a_run_that_cannot_be_read_is_left_out_of_the_ledger_and_told_of() {
    let folder = folder();
    let options = run_options(folder.path());
    let results = make(&table(&["seeds=2"]), &options).unwrap();
    write_report(&results, &options.out);
    let damaged = run_folder(folder.path(), "joint");
    fs::write(damaged.join("config.yaml"), "no configuration").unwrap();
    let told = std::cell::RefCell::new(vec![]);
    let tell = |line: &str| told.borrow_mut().push(line.to_owned());
    let (_, runs) = Ledger::write(&options.out.join("test"), &folder.path().join("ledger"), standard(), &tell).unwrap();
    let told = told.into_inner();
    assert_eq!((runs, told.len()), (7, 1));
    assert!(told[0].contains("is left out") && told[0].contains(&damaged.display().to_string()), "{told:?}");
}

/// One bit of the middle is another.
fn flipped(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    bytes
}

/// A table's folder with these accuracies, one a seed, and probes of the weak modality, by row.
fn set(folder: &Path, name: &str, rows: &[(&str, &str, [f64; 3], [f64; 3])]) -> PathBuf {
    let mut text = String::new();
    for (row, modalities, accuracies, probes) in rows {
        for seed in 0..3 {
            text += &format!(
                "{{\"row\": \"{row}\", \"title\": \"{row}\", \"seed\": {seed}, \"baseline\": \"joint\", \"modalities\": \
                 \"{modalities}\", \"test.accuracy\": {}, \"test.most_frequent\": 0.5, \"probes.modality.image\": {}}}\n",
                accuracies[seed], probes[seed]
            );
        }
    }
    let folder = folder.join(name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("results.jsonl"), text).unwrap();
    folder
}

#[test]
fn over_sets_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let rows = |aim: [f64; 3], regained: [f64; 3]| {
        [
            ("image-alone", "image", [0.6; 3], [0.7, 0.8, 0.9]),
            ("joint", "image+sound", [0.7, 0.8, 0.9], [0.6, 0.7, 0.8]),
            ("ogm", "image+sound", [0.9; 3], [0.6; 3]),
            ("aim", "image+sound", aim, regained),
        ]
    };
    let one = set(folder.path(), "one", &rows([0.72, 0.81, 0.93], [0.65, 0.75, 0.85]));
    let other = set(folder.path(), "other", &rows([0.71, 0.84, 0.92], [0.6, 0.7, 0.8]));
    let planned = |against: &[&str]| Planned {
        of: "aim".into(),
        against: against.iter().map(|name| (*name).to_owned()).collect(),
        test_to_train: None,
    };
    let tables = across(&[one.clone(), other.clone()], &planned(&["joint", "ogm"])).unwrap();
    let cells = |table: usize, row: usize| {
        tables[table].rows()[row].iter().map(|cell| cell.content.shown(3)).collect::<Vec<_>>()
    };
    let joint = cells(0, 0);
    // All six differences are positive: 2 of 64 patterns.
    assert!(joint[1].starts_with("0.020 [") && joint[2].starts_with("0.023 ["), "{joint:?}");
    assert_eq!(joint[3..], ["0.022", "0.031", "0.062"], "mean of .02 and .07 / 3, p 1 / 32, twice that");
    let ogm = cells(0, 1);
    assert_eq!(ogm[3], "-0.078");
    // Means .82 and .823 against .9, .8, .6: second of four.
    assert_eq!(cells(1, 0)[..5], ["one", "2.000", "4.000", "ogm", "image"]);
    // Half of the gap of .1 in each seed; nothing of it on the other set.
    assert_eq!(cells(1, 0)[5..], ["0.700", "0.750", "0.800", "0.500 [0.500, 0.500]"]);
    assert_eq!(cells(1, 1)[8], "0.000 [0.000, 0.000]");
    assert!(tables[1].notes()[0].contains("mean rank 2.0"));

    let say = |folders: &[PathBuf], against: &[&str]| across(folders, &planned(against)).unwrap_err().to_string();
    assert!(
        say(&[one.clone(), other.clone()], &["agm"]).contains("has no row `agm`; use one of image-alone, joint, ogm")
    );
    assert!(say(std::slice::from_ref(&one), &["joint"]).contains("needs tables of several sets"));
    let none = folder.path().join("none");
    assert!(say(&[one.clone(), none], &["joint"]).contains("none: holds no results"));
    assert!(say(&[one.clone(), one.clone()], &["joint"]).contains("is of the same set as"));
    assert!(agreed(&[one, other]).unwrap_err().to_string().contains("plans no comparison"));
}

/// A table's folder with these runs of `joint` and `aim`: seed, fold and accuracy; `rest` ends each record.
fn on(folder: &Path, name: &str, rows: [&[(u64, usize, f64)]; 2], rest: &str) -> PathBuf {
    let line = |row: &str, (seed, fold, accuracy): (u64, usize, f64)| {
        format!(
            "{{\"row\": \"{row}\", \"title\": \"{row}\", \"seed\": {seed}, \"fold\": {fold}, \"baseline\": \"joint\", \"modalities\": \
             \"a+b\", \"test.accuracy\": {accuracy}, \"test.most_frequent\": 0.5{rest}}}\n"
        )
    };
    let of = |(row, runs): (&str, &[(u64, usize, f64)])| runs.iter().map(|run| line(row, *run)).collect::<String>();
    let folder = folder.join(name);
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("results.jsonl"), ["joint", "aim"].into_iter().zip(rows).map(of).collect::<String>())
        .unwrap();
    folder
}

const AIM: &str = "{\"of\": \"aim\", \"against\": [\"joint\"]}";

#[test]
fn over_sets_runs_are_paired_by_seed_and_fold() {
    let folder = tempfile::tempdir().unwrap();
    // Fold 1 is harder. By the runs that both have aim gains .02 with either seed; the means of all runs would say .12.
    let joint = [(0, 0, 0.7), (0, 1, 0.5), (1, 0, 0.7), (1, 1, 0.5)];
    let one = on(folder.path(), "one", [&joint, &[(0, 0, 0.72), (1, 0, 0.72)]], "");
    // Seeds 0 and 1 gain .01 and .03 over both folds.
    let other = on(folder.path(), "other", [&joint, &[(0, 0, 0.72), (0, 1, 0.5), (1, 0, 0.72), (1, 1, 0.54)]], "");
    let planned: Planned = serde_json::from_str(AIM).unwrap();
    let tables = across(&[one.clone(), other], &planned).unwrap();
    let cells: Vec<String> = tables[0].rows()[0].iter().map(|cell| cell.content.shown(3)).collect();
    // Differences .02, .02 and .01, .03: four of one sign, 2 of 16 patterns.
    assert!(cells[1].starts_with("0.020 [0.020") && cells[2].starts_with("0.020 [-0.107"), "{cells:?}");
    assert_eq!(cells[3..], ["0.020", "0.125", "0.125"]);
    assert!(tables[0].notes()[1].starts_with("Over folds") && tables[0].notes()[1].ends_with(": one, other."));

    let apart = on(folder.path(), "apart", [&[(0, 0, 0.7)], &[(0, 1, 0.7)]], "");
    let error = across(&[one, apart], &planned).unwrap_err().to_string();
    assert!(error.contains("apart: has no seed of both `aim` and `joint`"), "{error}");
}

#[test]
fn what_the_sets_tables_warn_of_is_said_over_them() {
    let folder = tempfile::tempdir().unwrap();
    let set = |name: &str, rest: &str, declared: &str| {
        let runs: [&[_]; 2] = [&[(0, 0, 0.7)], &[(0, 0, 0.8)]];
        let folder = on(folder.path(), name, runs, &format!(", \"set\": \"{name}\"{rest}"));
        fs::write(folder.join("planned.json"), declared).unwrap();
        folder
    };
    let noted = |runs: usize| format!("[{{\"planned\": {AIM}, \"runs_before\": {runs}}}]");
    let one = set("one", "", &noted(0));
    let other = set("other", "", &noted(0));
    let late = set("late", ", \"protocol\": \"balancebench\", \"provenance\": \"AIM: by hand.\"", &noted(7));
    let notes = |folders: &[PathBuf]| across(folders, &agreed(folders).unwrap()).unwrap()[0].notes().join("\n");
    let early = notes(&[one.clone(), other.clone()]);
    assert!(early.contains("planned before any run") && !early.contains("ATTENTION"), "{early}");
    let told = notes(&[one.clone(), late.clone()]);
    assert!(told.contains("ATTENTION") && told.contains("late declared them when 7 of its runs were done"), "{told}");
    assert!(!told.contains("one declared"), "{told}");
    assert!(
        told.contains("late: Protocol `balancebench`, NOT clean") && told.contains("late: AIM: by hand."),
        "{told}"
    );

    // What nobody planned, and one set under two names.
    let chosen = Planned { of: "joint".into(), against: vec!["aim".into()], test_to_train: None };
    let told = across(&[one.clone(), other], &chosen).unwrap()[0].notes().join("\n");
    assert!(told.contains("one does not plan them; other does not plan them"), "{told}");
    assert!(agreed(&[one.clone(), set("none", "", "[]")]).unwrap_err().to_string().contains("none: does not plan"));
    let again = set("again", "", &noted(0));
    fs::write(again.join("results.jsonl"), fs::read(one.join("results.jsonl")).unwrap()).unwrap();
    let error = across(&[one, again], &chosen).unwrap_err().to_string();
    assert!(error.contains("again: is of the same set as"), "{error}");
}
