//! Slurm's own commands.

use std::{io::ErrorKind, path::Path, process::Command};

use aim_core::{Error, Result};

/// Largest number of tasks of an array where the cluster does not say, Slurm's default.
const ARRAY: usize = 1001;

/// What a command printed.
///
/// # Errors
/// If it is not there or says that something went wrong.
fn run(command: &mut Command, remedy: &str) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|e| match e.kind() {
        ErrorKind::NotFound => Error::invalid(
            name.clone(),
            "is no command here",
            "log in to a node from which jobs are submitted (or load its module), or use --launcher local",
        ),
        _ => Error::io(&name, e),
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let plain = |line: &str| line.trim_start_matches(&format!("{name}: ")).trim_start_matches("error: ").to_owned();
    let lines: Vec<String> = said.lines().map(plain).filter(|line| !line.is_empty()).collect();
    let problem = if lines.is_empty() { output.status.to_string() } else { lines.join(": ") };
    Err(Error::invalid(name, format!("says: {problem}"), remedy))
}

/// Whether an error says that the command is not there.
pub(crate) fn is_missing(error: &Error) -> bool {
    matches!(error, Error::Invalid { problem, .. } if problem == "is no command here")
}

/// Whether an error may come of a controller that did not answer in time, so that what was asked may have been done.
pub(crate) fn is_silent(error: &Error) -> bool {
    let silent = |said: &str| {
        ["timed out", "Unable to contact", "Connection", "no number of a job"].iter().any(|part| said.contains(part))
    };
    matches!(error, Error::Invalid { problem, .. } if silent(problem))
}

/// One of Slurm's commands that look, without what the user's environment would have it leave out.
fn asking(program: &str) -> Command {
    let mut command = Command::new(program);
    let prefix = format!("{}_", program.to_uppercase());
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with(&prefix)) {
        command.env_remove(name);
    }
    command
}

/// Submits a script; the number of its job. Options stand on the command line, too, where neither the environment nor
/// further options of a profile go over them.
pub(crate) fn submit(script: &Path, options: &[String]) -> Result<u64> {
    let remedy = "mend the profile of --launcher; --dry-run shows the script without submitting it";
    let said = run(Command::new("sbatch").arg("--parsable").args(options).arg(script), remedy)?;
    // A cluster's name may follow.
    let number = said.trim().split(';').next().and_then(|number| number.parse().ok());
    number.ok_or_else(|| {
        let problem = format!("says `{}`, which is no number of a job", said.trim());
        Error::invalid("sbatch", problem, "look for the job in squeue, and cancel it before you submit again")
    })
}

/// Most tasks of an array.
pub(crate) fn most_tasks() -> Result<usize> {
    let said = run(Command::new("scontrol").args(["show", "config"]), AGAIN)?;
    Ok(array_size(&said).unwrap_or(ARRAY))
}

/// What a cluster's configuration says of arrays: their indices are below it.
fn array_size(config: &str) -> Option<usize> {
    let line = config.lines().find(|line| line.starts_with("MaxArraySize"))?;
    line.split('=').nth(1)?.trim().parse().ok().filter(|size| *size > 0)
}

/// Every task of this user's jobs that Slurm still remembers: `job|task|name|state`.
pub(crate) fn queue() -> Result<String> {
    let all = ["--me", "--noheader", "--array", "--states=all", "--format=%F|%K|%j|%T"];
    run(asking("squeue").args(all), AGAIN)
}

/// What the accounts say of jobs: `job_task|name|state`. Clusters without accounts say nothing.
pub(crate) fn accounts(jobs: &[u64]) -> String {
    let jobs = jobs.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let all = ["--noheader", "--parsable2", "--allocations", "--format=JobID,JobName%200,State", "--jobs", &jobs];
    run(asking("sacct").args(all), AGAIN).unwrap_or_default()
}

/// Ends jobs.
pub(crate) fn cancel(jobs: &[u64]) -> Result<()> {
    run(asking("scancel").args(jobs.iter().map(ToString::to_string)), AGAIN).map(drop)
}

/// What helps where Slurm does not answer.
const AGAIN: &str = "give the same command again when Slurm answers";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_s_own_words_are_told() {
        let said = |command: &mut Command| run(command, "mend it").unwrap_err().to_string();
        let shell = |script: &str| said(Command::new("sh").args(["-c", script]));
        let two =
            shell("echo 'sh: error: invalid partition specified: x' >&2; echo 'sh: error: it failed' >&2; exit 1");
        assert_eq!(two, "sh: says: invalid partition specified: x: it failed; mend it");
        assert_eq!(shell("exit 3"), "sh: says: exit status: 3; mend it");
        let missing = run(&mut Command::new("no-such-command"), "").unwrap_err();
        assert!(is_missing(&missing) && missing.to_string().contains("use --launcher local"), "{missing}");
        assert_eq!(run(Command::new("sh").args(["-c", "echo 12"]), "").unwrap(), "12\n");
    }

    #[test]
    fn a_controller_that_did_not_answer_may_have_done_what_was_asked() {
        let says = |problem: &str| Error::invalid("sbatch", format!("says: {problem}"), "");
        assert!(is_silent(&says("Batch job submission failed: Socket timed out on send/recv operation")));
        assert!(!is_silent(&says("invalid partition specified: x")));
    }

    #[test]
    fn the_size_of_arrays_is_read_from_the_configuration() {
        assert_eq!(array_size("LaunchType = x\nMaxArraySize            = 40\nMaxJobCount = 1"), Some(40));
        assert_eq!(array_size("MaxArraySize = 0"), None);
        assert_eq!(array_size(""), None);
    }
}
