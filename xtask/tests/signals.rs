//! What happens to a run from outside while it goes on: signals that are ignored and those that are not, readers of its
//! output that go away, readers of its logs that stay.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::{
    fs,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use aim_tests::{bundle_text, write_bundle};

const XTASK: &str = env!("CARGO_BIN_EXE_xtask");

/// A folder with a bundle and a table of one row.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_bundle(folder.path());
    fs::write(folder.path().join("table.yaml"), bundle_text("  - {name: joint, method: joint}")).unwrap();
    folder
}

/// `train` of so many epochs with a checkpoint after each, behind a shell that ignores these signals.
fn train(folder: &Path, ignored: &str, epochs: usize) -> Command {
    let mut command = Command::new("sh");
    let script = if ignored.is_empty() { "exec \"$@\"".into() } else { format!("trap '' {ignored}; exec \"$@\"") };
    command.current_dir(folder).args(["-c", &script, "sh", XTASK, "train", "--config", "table.yaml", "--row", "joint"]);
    command.args(["--checkpoint-every", "0", &format!("train.epochs={epochs}")]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn wait_for<T>(what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "no {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The run's folder, once it has a log of an epoch.
fn begun(folder: &Path) -> PathBuf {
    let with_log = || {
        let runs = fs::read_dir(folder.join("runs")).into_iter().flatten().map(|e| e.unwrap().path().join("seed0"));
        runs.into_iter().find(|run| run.join("metrics.jsonl").exists())
    };
    wait_for("metrics.jsonl", with_log)
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap().success());
}

#[test]
fn a_signal_that_is_ignored_when_a_run_starts_stays_ignored() {
    for name in ["HUP", "INT", "TERM"] {
        let folder = folder();
        let child = train(folder.path(), name, 400).spawn().unwrap();
        let run = begun(folder.path());
        signal(&child, name);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(run.join("result.json").exists(), "{name}");
    }
}

#[test]
fn a_signal_that_is_not_ignored_stops_a_run() {
    for name in ["HUP", "TERM"] {
        let folder = folder();
        let child = train(folder.path(), "", 1_000_000).spawn().unwrap();
        let run = begun(folder.path());
        signal(&child, name);
        assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130), "{name}");
        assert!(!run.join("result.json").exists() && run.join("last.safetensors").exists(), "{name}");
    }
}

#[test]
fn a_signal_is_heard_while_data_are_read() {
    let folder = folder();
    // A pipe that nobody writes to: data that never come.
    let data = folder.path().join("train.safetensors");
    fs::remove_file(&data).unwrap();
    assert!(Command::new("mkfifo").arg(&data).status().unwrap().success());
    let child = train(folder.path(), "", 3).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    let start = Instant::now();
    signal(&child, "TERM");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(start.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_reader_of_the_output_that_goes_away_ends_no_run() {
    let folder = folder();
    let mut child = train(folder.path(), "", 30).spawn().unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    assert!(child.wait().unwrap().success());
    assert!(begun(folder.path()).join("result.json").exists());
}

#[test]
fn logs_are_the_same_files_from_the_first_epoch_to_the_last() {
    let folder = folder();
    let names = ["metrics.jsonl", "events.out.tfevents"];
    let epochs = 600;
    let child = train(folder.path(), "", epochs).spawn().unwrap();
    let run = begun(folder.path());
    let [metrics, events] = names.map(|name| wait_for(name, || fs::File::open(run.join(name)).ok()));
    let size = |name: &str| fs::metadata(run.join(name)).unwrap().len();
    let first = names.map(size);
    wait_for("growth", || (0..2).all(|i| size(names[i]) > first[i] + 2_000).then_some(()));
    signal(&child, "TERM");
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
    assert!(train(folder.path(), "", epochs).status().unwrap().success());
    for (mut file, name) in [metrics, events].into_iter().zip(names) {
        assert_eq!(file.metadata().unwrap().ino(), fs::metadata(run.join(name)).unwrap().ino(), "{name}");
        let mut seen = vec![];
        file.read_to_end(&mut seen).unwrap();
        assert!(seen == fs::read(run.join(name)).unwrap(), "{name}");
    }
    assert_eq!(fs::read_to_string(run.join("metrics.jsonl")).unwrap().lines().count(), epochs);
}
