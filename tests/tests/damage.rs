//! Damage in a run's folder is noticed and told of, and the run ends with the same bits all the same.

use std::{cell::RefCell, fs, path::Path, time::Duration};

use aim_core::Rng;
use aim_data::load;
use aim_tests::{bundle_config, run_folder, run_options, run_table, run_with, train_run, write_bundle};
use aim_train::{
    config::Identity,
    experiment::Options,
    run::{EpochLog, Folder, Stop, Watch},
    standard,
};

const AIM: &str = "  - {name: aim, method: {name: aim, warmup: 0}, train: {epochs: 5}}";

/// Files of a run that are the same bits every time.
const FILES: [&str; 6] =
    ["last.safetensors", "previous.safetensors", "best.safetensors", "metrics.jsonl", "predictions.csv", "result.json"];

type Files = Vec<(&'static str, Vec<u8>)>;

/// Trains the table with a checkpoint after every epoch.
fn train(folder: &Path) -> Files {
    let options = Options { checkpoint_every: Duration::ZERO, ..run_options(folder) };
    assert_eq!(run_with(bundle_config(AIM, &[]), &options).unwrap().failures, [""; 0]);
    let run = run_folder(folder, "aim");
    FILES.map(|name| (name, fs::read(run.join(name)).unwrap())).into()
}

/// A run that is done, its folder and its files.
fn done() -> (tempfile::TempDir, std::path::PathBuf, Files) {
    let folder = tempfile::tempdir().unwrap();
    write_bundle(folder.path());
    let files = train(folder.path());
    let run = run_folder(folder.path(), "aim");
    (folder, run, files)
}

fn put(run: &Path, files: &Files) {
    files.iter().for_each(|(name, bytes)| fs::write(run.join(name), bytes).unwrap());
}

/// Positions all over a file: its header's beginning, and others by chance.
fn positions(len: usize) -> Vec<usize> {
    let mut rng = Rng::keyed(0, "positions");
    (0..16).chain((0..60).map(|_| rng.below(len))).collect()
}

/// What restoring the folder says, and how many epochs it finds done.
fn restore(run: &Path) -> (Vec<String>, Option<usize>) {
    let folder = Folder::open(run, &Identity::load(run, standard()).unwrap(), standard()).unwrap();
    let told = RefCell::new(Vec::new());
    let last = folder.restore(&|line| told.borrow_mut().push(line.to_owned())).unwrap();
    (told.into_inner(), last.map(|c| c.epochs()))
}

#[test]
fn a_checkpoint_of_a_newer_program_is_named_and_left_alone() {
    let (_folder, run, files) = done();
    let last = &files[0].1;
    // The header stands as text in the file's metadata.
    let (version, newer) = (br#"\"version\":1"#, br#"\"version\":9"#);
    let at = last.windows(version.len()).position(|window| window == version).unwrap();
    let mut bytes = last.clone();
    bytes[at..at + newer.len()].copy_from_slice(newer);
    fs::write(run.join("last.safetensors"), &bytes).unwrap();
    let folder = Folder::open(&run, &Identity::load(&run, standard()).unwrap(), standard()).unwrap();
    let error = folder.restore(&|_| ()).err().unwrap().to_string();
    assert!(error.contains("has version 9") && error.contains("newer program"), "{error}");
    assert_eq!(fs::read(run.join("last.safetensors")).unwrap(), bytes);
}

#[test]
fn a_damaged_checkpoint_gives_way_to_the_one_before() {
    let (_folder, run, files) = done();
    let last = &files[0].1;
    for at in positions(last.len()) {
        put(&run, &files);
        let mut bytes = last.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(run.join("last.safetensors"), &bytes).unwrap();
        let (told, epochs) = restore(&run);
        assert_eq!(epochs, Some(4), "byte {at}: {told:?}");
        assert!(
            told[0].contains("last.safetensors: is damaged") && told[1].contains("goes on after epoch 4"),
            "{told:?}"
        );
        assert_eq!(fs::read(run.join("last.safetensors.damaged")).unwrap(), bytes);
    }
}

#[test]
fn a_damaged_best_checkpoint_is_made_anew_from_the_last() {
    let (_folder, run, files) = done();
    let best = &files[2].1;
    for at in positions(best.len()) {
        put(&run, &files);
        let mut bytes = best.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(run.join("best.safetensors"), &bytes).unwrap();
        let (told, epochs) = restore(&run);
        assert!(epochs == Some(5) && told.len() == 1, "byte {at}: {told:?}");
        assert!(told[0].contains("best.safetensors: is damaged"), "{told:?}");
        assert!(&fs::read(run.join("best.safetensors")).unwrap() == best, "byte {at}");
    }
}

#[test]
fn whatever_is_damaged_the_run_ends_with_the_same_bits() {
    let (folder, run, files) = done();
    let half = |name: &str| {
        let bytes = fs::read(run.join(name)).unwrap();
        fs::write(run.join(name), &bytes[..bytes.len() / 2]).unwrap();
    };
    let damages: [&[&str]; 7] = [
        &["result.json"],
        &["predictions.csv"],
        &["metrics.jsonl"],
        &["timing.jsonl"],
        &["result.json", "metrics.jsonl", "best.safetensors"],
        &["result.json", "last.safetensors"],
        &["result.json", "last.safetensors", "previous.safetensors", "best.safetensors"],
    ];
    for names in damages {
        names.iter().for_each(|name| half(name));
        let again = train(folder.path());
        for (before, after) in files.iter().zip(&again) {
            assert!(before == after, "{} after damage to {names:?}", before.0);
        }
    }
}

#[test]
fn without_a_whole_checkpoint_a_run_starts_anew_and_says_so() {
    let (_folder, run, _) = done();
    for name in ["last.safetensors", "previous.safetensors"] {
        fs::write(run.join(name), b"no checkpoint").unwrap();
    }
    let (told, epochs) = restore(&run);
    assert_eq!(epochs, None);
    assert!(told.last().unwrap().ends_with("has no whole checkpoint, starts anew"), "{told:?}");
}

#[test]
fn an_edited_configuration_is_refused_and_named_and_nothing_is_elsewhere() {
    let (folder, run, files) = done();
    let path = run.join("config.yaml");
    let config = fs::read_to_string(&path).unwrap();
    fs::write(&path, config.replace("epochs: 5", "epochs: 6")).unwrap();
    let failures = run_table(bundle_config(AIM, &[]), folder.path()).unwrap().failures;
    assert!(failures[0].contains("its config.yaml says `train.epochs: 6`, this run `5`"), "{failures:?}");
    assert!(failures[0].contains("undo an edit of that file"), "{failures:?}");
    fs::write(&path, config).unwrap();
    assert!(train(folder.path()) == files);
}

#[test]
fn no_file_of_a_finished_run_is_changed_without_a_word() {
    let (folder, run, files) = done();
    // Checkpoints have checksums of their own, which the tests above are of; nothing depends on the others.
    let own = [
        "last.safetensors",
        "previous.safetensors",
        "best.safetensors",
        "timing.jsonl",
        "events.out.tfevents",
        "log.txt",
        // It has a checksum of its own, and nothing of the result depends on it.
        "preprocessing.json",
    ];
    let names = fs::read_dir(&run).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let names: Vec<String> = names.filter(|name| !own.contains(&name.as_str()) && name != ".lock").collect();
    assert_eq!(names.len(), 5, "{names:?}");
    let result = || {
        let folder = Folder::open(&run, &Identity::load(&run, standard())?, standard())?;
        folder.result()
    };
    assert!(result().unwrap().is_some());
    for name in &names {
        let whole = fs::read(run.join(name)).unwrap();
        for at in positions(whole.len()) {
            let mut bytes = whole.clone();
            // A digit becomes another, anything else another letter.
            bytes[at] ^= 1;
            fs::write(run.join(name), &bytes).unwrap();
            let told = result().err().map(|error| error.to_string());
            assert!(told.is_some_and(|told| told.contains(&*run.to_string_lossy())), "byte {at} of {name}");
        }
        fs::write(run.join(name), &whole).unwrap();
    }
    assert!(train(folder.path()) == files);
}

#[test]
fn an_accuracy_that_its_predictions_do_not_bear_out_is_made_anew() {
    let (folder, run, files) = done();
    let path = run.join("result.json");
    let text = fs::read_to_string(&path).unwrap();
    // As an older program wrote it: without checksums but that of the predictions.
    let (before, _) = text.split_once(",\n  \"crc32\"").unwrap();
    let older = format!("{before}\n}}");
    let at =
        older.find("\"test\"").unwrap() + older[older.find("\"test\"").unwrap()..].find("\"accuracy\": ").unwrap() + 12;
    let end = at + older[at..].find([',', '\n']).unwrap();
    let forged = format!("{}0.0625{}", &older[..at], &older[end..]);
    for (text, right) in [(&older, true), (&forged, false)] {
        fs::write(&path, text).unwrap();
        let runs = run_table(bundle_config(AIM, &[]), folder.path()).unwrap();
        let accuracy = runs.rows[0].runs[0].outcome.test.accuracy();
        assert!(accuracy > 0.1, "{accuracy}");
        // What bears its predictions out is left as it is, the other made anew.
        assert_eq!(fs::read(&path).unwrap() == text.as_bytes(), right);
    }
    assert!(train(folder.path()) == files);
}

/// Another machine takes the folder over after the first epoch.
struct Thief(std::path::PathBuf);

impl Watch for Thief {
    fn epoch(&self, log: &EpochLog, _: usize, _: f64) {
        if log.epoch == 1 {
            let lease = r#"{"host": "elsewhere", "kernel": "another", "process": 7, "token": "t", "beat": "0"}"#;
            fs::write(self.0.join(".lease.2"), lease).unwrap();
        }
    }

    fn say(&self, _: &str) {}
}

#[test]
fn a_run_whose_folder_another_machine_has_taken_over_writes_nothing_more() {
    let (folder, run, files) = done();
    let identity = Identity::load(&run, standard()).unwrap();
    let data = load(&identity.config.data, Some(folder.path())).unwrap();
    for (name, _) in &files {
        fs::remove_file(run.join(name)).unwrap();
    }
    let opened = Folder::open(&run, &identity, standard()).unwrap();
    let of = (&identity.config, identity.seed);
    let error = train_run(of, &data, &opened, (&Thief(run.clone()), &Stop::default()), Duration::ZERO).unwrap_err();
    assert!(error.is_elsewhere() && error.to_string().contains("was taken over by process 7 on elsewhere"), "{error}");
    let left = fs::read(run.join("last.safetensors")).unwrap();
    drop(opened);
    assert!(run.join(".lease.2").exists(), "the other machine's lease is not taken away");
    fs::remove_file(run.join(".lease.2")).unwrap();
    assert_eq!(restore(&run).1, Some(1), "what was written before the other machine came");
    assert_eq!(fs::read(run.join("last.safetensors")).unwrap(), left);
    assert!(!fs::read_dir(&run).unwrap().any(|e| e.unwrap().path().extension().is_some_and(|end| end == "part")));
    assert!(train(folder.path()) == files, "the same bits in the end");
}
