//! What comes from outside, a signal, a second process, a folder that cannot be written, a full disk, ends in one clear
//! message, and the same command then goes on to the same bits.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::explicit_write, reason = "helpers of tests; the macro would be captured")]

use std::{
    fs,
    io::Write,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use aim_tests::{assert_same, bundle_text, files, write_bundle};

const XTASK: &str = env!("CARGO_BIN_EXE_xtask");
/// Longer than any test takes.
const ENDLESS: &str = "train.epochs=1000000";

/// A folder with a bundle and a table of one row.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_bundle(folder.path());
    fs::write(folder.path().join("table.yaml"), bundle_text("  - {name: aim, method: {name: aim, warmup: 0}}"))
        .unwrap();
    folder
}

/// `train`, with run folders below `out`.
fn train(folder: &Path, out: &str, rest: &[&str]) -> Command {
    let mut command = Command::new(XTASK);
    command.current_dir(folder).args(["train", "--config", "table.yaml", "--row", "aim", "--out", out]).args(rest);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The run folder below `out`, once it and a file in it are there.
fn run_with(out: &Path, file: &str) -> PathBuf {
    let start = Instant::now();
    loop {
        let runs = fs::read_dir(out).into_iter().flatten().map(|e| e.unwrap().path().join("seed0"));
        if let Some(run) = runs.into_iter().find(|run| run.join(file).exists()) {
            return run;
        }
        assert!(start.elapsed() < Duration::from_secs(30), "no {file} in {}", out.display());
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn interrupt(child: Child) -> Output {
    // Not INT, which is ignored where this test was begun in the background.
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    child.wait_with_output().unwrap()
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The bits of a run that is done.
fn bits(run: &Path) -> Vec<Vec<u8>> {
    let names =
        ["last.safetensors", "best.safetensors", "metrics.jsonl", "predictions.csv", "result.json", "config.yaml"];
    names.map(|name| fs::read(run.join(name)).unwrap()).into()
}

/// The bits of a run left alone.
fn alone(folder: &Path, rest: &[&str]) -> Vec<Vec<u8>> {
    let output = train(folder, "alone", rest).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    bits(&run_with(&folder.join("alone"), "result.json"))
}

fn skip(why: &str) {
    // Past the capture of test output, which swallows what passing tests print.
    writeln!(std::io::stderr(), "skipped: {why}").unwrap();
}

#[test]
fn an_interrupt_ends_a_run_after_its_step_and_the_same_command_goes_on() {
    let folder = folder();
    let folder = folder.path();
    let epochs = "train.epochs=100";
    let want = alone(folder, &[epochs]);
    let child = train(folder, "runs", &[epochs, "--checkpoint-every", "0"]).spawn().unwrap();
    let run = run_with(&folder.join("runs"), "metrics.jsonl");
    let output = interrupt(child);
    assert_eq!(output.status.code(), Some(130), "{}", text(&output));
    assert!(text(&output).contains("was stopped; the same command goes on where it was"));
    assert!(!run.join("result.json").exists() && run.join("last.safetensors").exists());
    assert!(train(folder, "runs", &[epochs]).status().unwrap().success());
    assert!(bits(&run) == want);
}

#[test]
fn an_interrupted_table_is_no_failure() {
    let folder = folder();
    let table = fs::read_to_string(folder.path().join("table.yaml")).unwrap().replace("epochs: 3", "epochs: 1000000");
    fs::write(folder.path().join("table.yaml"), table).unwrap();
    let mut command = Command::new(XTASK);
    command.current_dir(folder.path()).args(["reproduce", "table.yaml", "--checkpoint-every", "0"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let row = |e: fs::DirEntry| e.path().join("seed0/metrics.jsonl").exists();
    while !fs::read_dir(folder.path().join("runs/test")).into_iter().flatten().any(|e| row(e.unwrap())) {
        std::thread::sleep(Duration::from_millis(5));
    }
    let output = interrupt(child);
    assert_eq!(output.status.code(), Some(130), "{}", text(&output));
    assert!(text(&output).contains("was stopped") && !text(&output).contains("FAILED"), "{}", text(&output));
}

#[test]
fn a_second_process_is_refused_and_a_killed_one_leaves_no_lock() {
    let folder = folder();
    let folder = folder.path();
    let mut first = train(folder, "runs", &[ENDLESS]).spawn().unwrap();
    run_with(&folder.join("runs"), "config.yaml");
    let second = train(folder, "runs", &[ENDLESS]).output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = text(&second);
    assert!(said.contains("is in use by process ") && said.contains("; wait until it is done"), "{said}");
    assert!(first.try_wait().unwrap().is_none(), "the first goes on");
    first.kill().unwrap();
    first.wait().unwrap();
    let third = train(folder, "runs", &[ENDLESS, "--checkpoint-every", "0"]).spawn().unwrap();
    run_with(&folder.join("runs"), "metrics.jsonl");
    assert_eq!(interrupt(third).status.code(), Some(130));
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = folder();
    let folder = folder.path();
    // Permissions do not bind an administrator, so that the program then runs as nobody.
    let program = folder.join("program");
    fs::copy(XTASK, &program).unwrap();
    let out = folder.join("runs");
    fs::create_dir(&out).unwrap();
    let mode = |path: &Path, bits| fs::set_permissions(path, fs::Permissions::from_mode(bits)).unwrap();
    mode(folder, 0o755);
    mode(&out, 0o555);
    let mut command = Command::new(&program);
    command.current_dir(folder).args(["train", "--config", "table.yaml", "--row", "aim"]).stderr(Stdio::piped());
    if fs::write(out.join("probe"), "").is_ok() {
        fs::remove_file(out.join("probe")).unwrap();
        command.uid(65534);
    }
    let output = command.output();
    mode(&out, 0o755);
    let Ok(output) = output else { return skip("the program cannot be run as another user") };
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("Permission denied") && text(&output).contains("check the permissions"));
    assert_eq!(fs::read_dir(out).unwrap().count(), 0);
}

#[test]
fn a_write_that_fails_keeps_the_checkpoint_before() {
    let folder = folder();
    let folder = folder.path();
    let epochs = "train.epochs=100";
    let want = alone(folder, &[epochs]);
    let child = train(folder, "runs", &[epochs, "--checkpoint-every", "0"]).spawn().unwrap();
    let run = run_with(&folder.join("runs"), "metrics.jsonl");
    interrupt(child);
    let kept = fs::read(run.join("last.safetensors")).unwrap();
    // A limit for the size of files stands for a disk that is full.
    let mut limited = Command::new("sh");
    limited.current_dir(folder).args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$@\"", "sh", XTASK]);
    limited.args(train(folder, "runs", &[epochs]).get_args());
    let output = limited.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    assert!(text(&output).contains("raise the limit for the size of files"), "{}", text(&output));
    assert!(fs::read(run.join("last.safetensors")).unwrap() == kept);
    let parts =
        fs::read_dir(&run).unwrap().filter(|e| e.as_ref().unwrap().path().extension().is_some_and(|x| x == "part"));
    assert_eq!(parts.count(), 0);
    assert!(train(folder, "runs", &[epochs]).status().unwrap().success());
    assert!(bits(&run) == want);
}

/// Trains on a small disk of its own that is full, then again with room; the disk goes with the process.
const FULL: &str = r#"
    mount -t tmpfs -o size=1m none full || exit 77
    cat /dev/zero > full/ballast 2> /dev/null
    truncate -s -16k full/ballast
    "$@" && exit 78
    rm full/ballast
    "$@" && cp -r full/runs runs
"#;

/// A command that finds the disk full and then goes on with room, its run folders being `full/runs` and in the end
/// `runs`; none where no such disk can be made.
fn on_a_full_disk(folder: &Path, command: &Command) -> Option<Output> {
    fs::create_dir(folder.join("full")).unwrap();
    let mut unshare = Command::new("unshare");
    unshare.current_dir(folder).args(["--map-root-user", "--mount", "sh", "-c", FULL, "sh", XTASK]);
    match unshare.args(command.get_args()).output() {
        Ok(output) if output.status.code() != Some(77) && !text(&output).contains("unshare") => Some(output),
        _ => {
            skip("no small disk can be mounted here");
            None
        }
    }
}

#[test]
fn a_full_disk_is_told_of_and_with_room_the_run_goes_on() {
    let folder = folder();
    let folder = folder.path();
    let want = alone(folder, &[]);
    let Some(output) = on_a_full_disk(folder, &train(folder, "full/runs", &[])) else { return };
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).contains("No space left on device") && text(&output).contains("free some space"));
    assert!(bits(&run_with(&folder.join("runs"), "result.json")) == want);
}

#[test]
fn a_sweep_makes_no_choice_while_the_disk_is_full() {
    let folder = folder();
    let folder = folder.path();
    let sweep = "sweep: {grid: {optimizer.lr: [0.1, 0.01]}}\nrows:\n  - {name: joint, method: joint}\n";
    let table = fs::read_to_string(folder.join("table.yaml")).unwrap();
    fs::write(folder.join("table.yaml"), table.replace("rows:\n", sweep)).unwrap();
    let sweep = |out: &str| {
        let mut command = Command::new(XTASK);
        command.current_dir(folder).args(["sweep", "--config", "table.yaml", "--jobs", "1", "--out", out]);
        command
    };
    assert!(sweep("alone").output().unwrap().status.success());
    let Some(output) = on_a_full_disk(folder, &sweep("full/runs")) else { return };
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).contains("No space left on device"), "{}", text(&output));
    assert_same(&files(&folder.join("alone")), &files(&folder.join("runs")));
}

#[test]
fn an_edited_configuration_is_no_longer_the_run_s() {
    let folder = folder();
    let folder = folder.path();
    let told = train(folder, "runs", &[]).output().unwrap();
    assert!(told.status.success(), "{}", text(&told));
    let run = run_with(&folder.join("runs"), "result.json");
    let eval = || {
        let run = run.to_str().unwrap();
        Command::new(XTASK).current_dir(folder).args(["eval", "--run", run, "--data-root", "."]).output().unwrap()
    };
    let right = eval();
    assert!(right.status.success() && String::from_utf8_lossy(&right.stdout).contains("weights of epoch"));
    let file = run.join("config.yaml");
    let whole = fs::read_to_string(&file).unwrap();
    fs::write(&file, whole.replacen("warmup: 0", "warmup: 1", 1)).unwrap();
    let output = eval();
    assert_eq!(output.status.code(), Some(1), "{}", text(&output));
    let wanted = "has a config.yaml that is not the one it was trained with; undo the edit of that file";
    assert!(text(&output).contains(wanted), "{}", text(&output));
    fs::write(&file, whole).unwrap();
    assert!(eval().stdout == right.stdout);
}

#[test]
fn a_line_says_what_was_read_before_training() {
    let folder = folder();
    let read = "bundle: 90 training, 30 validation, 45 test samples; breath [5], heart [4], motion [6]; 3 classes\n";
    let told = text(&train(folder.path(), "runs", &["train.epochs=1"]).output().unwrap());
    assert!(told.contains(read), "{told}");
    let mut table = Command::new(XTASK);
    table.current_dir(folder.path()).args(["reproduce", "table.yaml", "--out", "table", "train.epochs=1"]);
    let told = text(&table.output().unwrap());
    assert!(told.contains(read), "{told}");
}

#[test]
fn no_runs_at_a_time_and_no_seeds_are_refused() {
    let folder = folder();
    for flag in ["--jobs", "--seeds"] {
        let mut command = Command::new(XTASK);
        command.current_dir(folder.path()).args(["reproduce", "table.yaml", flag, "0"]);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", text(&output));
        assert!(text(&output).contains("invalid value '0'") && text(&output).contains(flag), "{}", text(&output));
    }
    assert!(!folder.path().join("runs").exists());
}

#[test]
fn an_accuracy_that_its_predictions_do_not_bear_out_is_made_anew_by_the_same_command() {
    let folder = folder();
    let whole = alone(folder.path(), &[]);
    let path = run_with(&folder.path().join("alone"), "result.json").join("result.json");
    let result = fs::read_to_string(&path).unwrap();
    // As an older program wrote it: without checksums but that of the predictions.
    let (older, _) = result.split_once(",\n  \"crc32\"").unwrap();
    let (before, test) = older.split_once("\"test\"").unwrap();
    let (name, value) = test.split_once("\"accuracy\": ").unwrap();
    let behind = &value[value.find([',', '\n']).unwrap()..];
    fs::write(&path, format!("{before}\"test\"{name}\"accuracy\": 0.0625{behind}\n}}")).unwrap();
    let output = train(folder.path(), "alone", &[]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    assert!(text(&output).contains("is damaged (accuracy 0.0625, but"), "{}", text(&output));
    assert!(alone(folder.path(), &[]) == whole);
}
