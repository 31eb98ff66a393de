//! Tables on a real Slurm of one machine (`tests/slurm/cluster.sh`): the bits of the local launcher, whatever happens
//! to tasks and daemons meanwhile. Where it cannot be started the tests say that they are skipped.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::explicit_write, reason = "helpers of tests; the macro would be captured")]

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Output},
    thread::sleep,
    time::{Duration, Instant},
};

use aim_tests::{assert_same, bundle_text, every_method, files, write_bundle};

const XTASK: &str = env!("CARGO_BIN_EXE_xtask");
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/slurm/cluster.sh");
/// Largest array of the cluster.
const ARRAY: &str = "25";
/// A checkpoint after every step.
const EVERY: [&str; 2] = ["--checkpoint-every", "0"];
/// "Try again later".
const LATER: Option<i32> = Some(75);

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Waits until something holds.
fn wait(what: &str, holds: impl Fn() -> bool) {
    let begin = Instant::now();
    while !holds() {
        assert!(begin.elapsed() < Duration::from_secs(90), "{what}");
        sleep(Duration::from_millis(100));
    }
}

/// A cluster, which ends with this value.
struct Cluster {
    folder: tempfile::TempDir,
}

impl Cluster {
    /// Nothing where this machine cannot have one.
    fn start() -> Option<Self> {
        let cluster = Self { folder: tempfile::tempdir().unwrap() };
        let output = cluster.script("start");
        if output.status.code() == Some(77) {
            // Past the capture of test output, which swallows what passing tests print.
            writeln!(std::io::stderr(), "skipped: no Slurm here: {}", text(&output).trim()).unwrap();
            return None;
        }
        assert!(output.status.success(), "{}", text(&output));
        Some(cluster)
    }

    fn script(&self, verb: &str) -> Output {
        let port = 20000 + std::process::id() % 20000 * 2;
        let mut command = Command::new(SCRIPT);
        command.arg(verb).arg(self.folder.path()).env("SLURM_PORT", port.to_string()).env("SLURM_MAX_ARRAY", ARRAY);
        command.output().unwrap()
    }

    /// A command that finds this cluster, in a folder.
    fn command(&self, program: &str, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(folder).env("SLURM_CONF", self.folder.path().join("slurm.conf"));
        command
    }

    /// What one of Slurm's commands says.
    fn slurm(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.command(program, self.folder.path()).args(arguments).output().unwrap();
        assert!(output.status.success(), "{program} {arguments:?}: {}", text(&output));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Tasks that wait or run.
    fn queue(&self) -> Vec<String> {
        self.slurm("squeue", &["-h", "-r", "-o", "%F_%K %T"]).lines().map(Into::into).collect()
    }

    fn wait_for_the_end(&self) {
        wait("the queue does not end", || {
            self.release();
            self.queue().is_empty()
        });
    }

    fn reproduce(&self, folder: &Path, table: &str, rest: &[&str]) -> Command {
        let mut command = self.command(XTASK, folder);
        command.args(["reproduce", table, "--launcher", "slurm"]).args(EVERY).args(rest);
        // What a user may have set for other purposes.
        for (name, value) in [("SQUEUE_STATES", "COMPLETED"), ("SQUEUE_FORMAT", "%i"), ("SBATCH_JOB_NAME", "mine")] {
            command.env(name, value);
        }
        command
    }

    /// Gives the command of a table; it must end like this.
    fn give(&self, folder: &Path, table: &str, code: Option<i32>) -> String {
        let output = self.reproduce(folder, table, &[]).output().unwrap();
        assert_eq!(output.status.code(), code, "{}", text(&output));
        text(&output)
    }

    /// Lets go of tasks that Slurm holds and nodes that it leaves out because a launch failed, as an administrator
    /// does.
    fn release(&self) {
        for task in self.slurm("squeue", &["-h", "-r", "-t", "PENDING", "-o", "%F_%K %r"]).lines() {
            if let Some((task, _)) = task.split_once(' ').filter(|(_, reason)| reason.contains("held")) {
                // It may have gone meanwhile.
                drop(self.command("scontrol", self.folder.path()).args(["release", task]).output());
            }
        }
        let nodes = self.slurm("sinfo", &["-h", "-N", "-o", "%N %T"]);
        for (node, _) in
            nodes.lines().filter_map(|line| line.split_once(' ')).filter(|(_, state)| state.starts_with("d"))
        {
            let mut resume = self.command("scontrol", self.folder.path());
            // A node that has not answered yet cannot be had back.
            drop(resume.args(["update", &format!("NodeName={node}"), "State=RESUME"]).output());
        }
    }

    /// Ends a daemon as a power cut would.
    fn kill(&self, daemon: &str) {
        signal("-KILL", fs::read_to_string(self.folder.path().join(format!("{daemon}.pid"))).unwrap().trim());
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.script("stop");
    }
}

fn signal(which: &str, process: &str) {
    assert!(Command::new("kill").args([which, process]).status().unwrap().success());
}

/// Stops a run in the middle, so that what comes next does not come too late; its process.
fn freeze(run: &Path) -> String {
    wait("no training", || run.join("last.safetensors").exists() && process(run).is_some());
    let process = process(run).unwrap();
    signal("-STOP", &process);
    process
}

/// A folder with a bundle and tables of these names and texts.
fn folder(tables: &[(&str, String)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    write_bundle(folder.path());
    for (name, table) in tables {
        let table = table.replacen("name: test", &format!("name: {name}"), 1);
        fs::write(folder.path().join(format!("{name}.yaml")), table).unwrap();
    }
    folder
}

/// Makes a table by workers of this machine; everything that must be the same bits elsewhere.
fn alone(folder: &Path, table: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut command = Command::new(XTASK);
    command.current_dir(folder).args(["reproduce", table, "--quiet", "--jobs", "2", "--out", "alone"]).args(EVERY);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
    made(&folder.join("alone"))
}

/// What lies in a folder but for what was submitted.
fn made(out: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let submitted = |path: &PathBuf| path.components().any(|part| part.as_os_str() == "slurm");
    files(out).into_iter().filter(|(path, _)| !submitted(path)).collect()
}

/// Folders of runs by the tasks of an array.
fn tasks(array: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string(array.join("tasks.tsv")).unwrap();
    text.lines().skip(1).map(|line| line.split('\t').nth(1).unwrap().into()).collect()
}

/// The process that holds a run's folder.
fn process(run: &Path) -> Option<String> {
    let lease = fs::read_dir(run).ok()?.flatten().map(|entry| entry.path());
    let text =
        fs::read_to_string(lease.into_iter().find(|path| path.display().to_string().contains(".lease."))?).ok()?;
    Some(text.split("\"process\":").nth(1)?.split(',').next()?.to_owned())
}

/// Sixty runs in arrays of at most [`ARRAY`] tasks, some of them behind preparations that they share.
fn sixty_runs(cluster: &Cluster) {
    let rows = every_method("{epochs: 1, batch: 64}");
    let rows: Vec<&str> = rows.lines().take(30).collect();
    let folder = folder(&[("sixty", bundle_text(&rows.join("\n")).replace("seeds: 1", "seeds: 2"))]);
    let folder = folder.path();
    let wanted = alone(folder, "sixty.yaml");

    let shown = text(&cluster.reproduce(folder, "sixty.yaml", &["--dry-run"]).output().unwrap());
    assert!(shown.contains("--dependency=afterok:<job>") && shown.contains("#SBATCH --requeue"), "{shown}");
    assert!(!folder.join("runs").exists() && cluster.queue().is_empty(), "a look leaves nothing");

    let said = cluster.give(folder, "sixty.yaml", LATER);
    assert!(said.contains("60 runs are missing; the same command collects them"), "{said}");
    let arrays = || fs::read_dir(folder.join("runs/sixty/slurm")).unwrap().count();
    let submitted = arrays();
    assert!(submitted > 2, "arrays are split");
    let said = cluster.give(folder, "sixty.yaml", LATER);
    assert!(said.contains("runs wait or run in Slurm") && arrays() == submitted, "{said}");
    cluster.wait_for_the_end();
    cluster.give(folder, "sixty.yaml", Some(0));
    assert_same(&wanted, &made(&folder.join("runs")));
    assert_eq!(arrays(), submitted);
    let status = text(&cluster.command(XTASK, folder).args(["status", "runs/sixty"]).output().unwrap());
    // Six of them are the preparations.
    assert!(status.contains("66 runs: 66 done, 0 running, 0 queued, 0 failed, 0 open"), "{status}");
}

/// A row that is searched: its trials first, then what was chosen.
fn searched(cluster: &Cluster) {
    let search = "{random: {trials: 3, ranges: {optimizer.lr: {low: 0.001, high: 0.01, log: true}}}}";
    let row = format!("  - {{name: joint, method: joint, train: {{epochs: 1}}, tune: {search}}}");
    let folder = folder(&[("searched", bundle_text(&row).replace("seeds: 1", "seeds: 2"))]);
    let folder = folder.path();
    let wanted = alone(folder, "searched.yaml");
    let missing = |many: usize| {
        let said = cluster.give(folder, "searched.yaml", LATER);
        assert!(said.contains(&format!("{many} runs are missing")), "{said}");
        cluster.wait_for_the_end();
    };
    missing(3);
    let choice = folder.join("runs/searched/joint.search.json");
    let shown = text(&cluster.reproduce(folder, "searched.yaml", &["--dry-run"]).output().unwrap());
    assert!(shown.contains("--array=0-1") && !choice.exists(), "a look notes no choice: {shown}");
    missing(2);
    assert!(choice.exists());
    cluster.give(folder, "searched.yaml", Some(0));
    assert_same(&wanted, &made(&folder.join("runs")));
}

/// A task past its limit, one that is cancelled, one whose node fails, a controller that is started anew.
fn disturbed(cluster: &Cluster) {
    let row = "  - {name: joint, method: joint, train: {epochs: 80, batch: 10}}";
    let folder = folder(&[("long", bundle_text(row).replace("seeds: 1", "seeds: 4"))]);
    let folder = folder.path();
    let wanted = alone(folder, "long.yaml");
    cluster.give(folder, "long.yaml", LATER);
    let array = folder.join("runs/long/slurm/0001");
    let (job, runs) = (fs::read_to_string(array.join("job")).unwrap().trim().to_owned(), tasks(&array));
    let state = |task: usize| cluster.slurm("squeue", &["-h", "-t", "all", "-j", &format!("{job}_{task}"), "-o", "%T"]);

    freeze(&runs[0]);
    let program = freeze(&runs[1]);
    cluster.slurm("scontrol", &["update", &format!("JobId={job}_0"), "EndTime=now"]);
    wait("no limit", || state(0) == "TIMEOUT");
    let said = cluster.give(folder, "long.yaml", LATER);
    assert!(said.contains(&format!("task {job}_0 left no result: TIMEOUT")), "{said}");
    assert!(said.contains(": 1 runs in 1 tasks"), "the others are not submitted twice: {said}");
    // A node that fails takes its daemon and all of a task with it.
    let step = fs::read_to_string(format!("/proc/{program}/stat")).unwrap();
    let step = step.rsplit(')').next().unwrap().split_whitespace().nth(1).unwrap().to_owned();
    freeze(&runs[2]);
    cluster.kill("slurmd");
    signal("-KILL", &step);
    signal("-KILL", &program);
    assert!(cluster.script("node").status.success());
    cluster.slurm("scancel", &[&format!("{job}_2")]);
    wait("not cancelled", || state(2) == "CANCELLED");
    let said = cluster.give(folder, "long.yaml", LATER);
    assert!(said.contains(&format!("task {job}_2 left no result: CANCELLED")), "{said}");
    // A controller that is killed at once may have forgotten the last things that it was told.
    cluster.kill("slurmctld");
    assert!(cluster.script("control").status.success());
    cluster.wait_for_the_end();
    if cluster.reproduce(folder, "long.yaml", &[]).output().unwrap().status.code() == LATER {
        cluster.wait_for_the_end();
    }
    cluster.give(folder, "long.yaml", Some(0));
    assert_same(&wanted, &made(&folder.join("runs")));
    for run in &runs[..3] {
        assert!(fs::read_to_string(run.join("log.txt")).unwrap().contains("goes on after"), "{}", run.display());
    }
}

/// What `status` says, and that `cancel` ends what it should alone.
fn looked_at(cluster: &Cluster) {
    let rows = "  - {name: wild, method: joint, optimizer: {lr: 1e30}}\n  - {name: endless, method: joint, train: {epochs: 1000000}}";
    let folder = folder(&[("looked-at", bundle_text(rows).replace("seeds: 1", "seeds: 2"))]);
    let folder = folder.path();
    let of = |verb: &str| text(&cluster.command(XTASK, folder).args([verb, "runs/looked-at"]).output().unwrap());
    let other = cluster.slurm("sbatch", &["--parsable", "--output=/dev/null", "--wrap", "sleep 300"]);
    cluster.give(folder, "looked-at.yaml", LATER);
    assert!(of("status").contains("4 runs: 0 done,"), "{}", of("status"));
    wait("no run fails", || of("status").contains("failed: wild"));
    // A task that has begun is told of before its run is.
    wait("no run runs", || ["running: endless", ", job "].iter().all(|part| of("status").contains(part)));
    let said = of("status");
    assert!(said.contains("is not finite") && said.contains(", job ") && said.contains("epochs done"), "{said}");
    assert!(of("cancel").contains("1 jobs cancelled"));
    wait("more than the other job is left", || cluster.queue() == [format!("{other}_N/A RUNNING")]);
    let said = of("status");
    assert!(said.contains("left no result: CANCELLED"), "{said}");
    cluster.slurm("scancel", &[&other]);
    assert!(of("cancel").contains("0 jobs cancelled"));
}

/// What cannot be done is said with what to do.
fn refused(cluster: &Cluster) {
    let folder = folder(&[("refused", bundle_text("  - {name: joint, method: joint}"))]);
    let folder = folder.path();
    fs::write(folder.join("nowhere.yaml"), "resources: {partition: nowhere}\n").unwrap();
    let reproduce = |launcher: &str| {
        let mut command = cluster.command(XTASK, folder);
        command.args(["reproduce", "refused.yaml", "--launcher", launcher]);
        command
    };
    let said = |command: &mut Command| {
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", text(&output));
        text(&output)
    };
    let wrong = said(&mut reproduce("nowhere.yaml"));
    assert!(wrong.contains("sbatch: says: ") && wrong.contains("nvalid partition"), "{wrong}");
    assert!(wrong.contains("mend the profile of --launcher"), "{wrong}");
    assert_eq!(fs::read_dir(folder.join("runs/refused/slurm")).unwrap().count(), 0);
    let missing = said(reproduce("slurm").env("PATH", "/nonexistent"));
    assert!(missing.contains("squeue: is no command here; log in to a node"), "{missing}");
    let unknown = said(&mut reproduce("mine"));
    assert!(unknown.contains("configs/launchers/mine.yaml"), "{unknown}");

    // Permissions do not bind an administrator, so that the program then runs as nobody.
    let (program, out) = (folder.join("program"), folder.join("shared"));
    fs::copy(XTASK, &program).unwrap();
    fs::create_dir(&out).unwrap();
    for (path, bits) in [(folder, 0o755), (&out, 0o555)] {
        fs::set_permissions(path, fs::Permissions::from_mode(bits)).unwrap();
    }
    for split in ["train", "validation", "test"] {
        let path = folder.join(format!("{split}.safetensors"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    }
    let mut command = cluster.command(program.to_str().unwrap(), folder);
    command.args(["reproduce", "refused.yaml", "--launcher", "slurm", "--out", "shared"]).uid(65534);
    let unwritable = said(&mut command);
    assert!(unwritable.contains("shared/refused: Permission denied"), "{unwritable}");
    assert!(cluster.queue().is_empty());
}

#[test]
fn a_table_on_slurm_has_the_bits_of_one_made_here_whatever_happens() {
    let Some(cluster) = Cluster::start() else { return };
    refused(&cluster);
    // How soon Slurm notices that daemons are gone depends on what else the machine does.
    if std::env::var_os("AIM_DISTURB").is_some() {
        disturbed(&cluster);
    }
    looked_at(&cluster);
    searched(&cluster);
    sixty_runs(&cluster);
}
