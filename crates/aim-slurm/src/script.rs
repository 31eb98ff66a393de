//! Batch scripts.

use std::path::Path;

use crate::{
    launcher::Call,
    profile::{Profile, Resources},
};

/// What a script is made of.
pub(crate) struct Script<'a> {
    pub profile: &'a Profile,
    pub call: &'a Call,
    pub resources: &'a Resources,
    /// Of the job.
    pub name: &'a str,
    /// The folder of the array.
    pub folder: &'a Path,
    pub tasks: usize,
    /// Most tasks at a time.
    pub at_once: Option<usize>,
    /// Jobs that must have succeeded before.
    pub after: &'a [String],
}

impl Script<'_> {
    /// The script, for a shell that knows `module` where nodes have it. Slurm signals the shell of a script; the
    /// program takes its place, so that it hears them.
    pub fn text(&self) -> String {
        let Self { profile, call, folder, .. } = self;
        let all = self.own().into_iter().chain(self.resources.lines());
        let options: String = all.map(|option| format!("#SBATCH {}\n", whole(&option))).collect();
        let export = |(name, value): (&String, &String)| format!("export {name}={}\n", quoted(value));
        let environment: String = profile.environment.iter().map(export).collect();
        let prologue: String = profile.prologue.iter().map(|line| format!("{line}\n")).collect();
        let program = profile.program.clone().unwrap_or_else(|| call.program.display().to_string());
        let arguments: Vec<String> = call.arguments.iter().map(|argument| quoted(argument)).collect();
        let (program, tasks) = (quoted(&program), quoted(&folder.join("tasks.tsv").display().to_string()));
        format!(
            "#!/bin/bash -l\n{options}{environment}set -e\n{prologue}exec {program} work {} --threads \"${{SLURM_CPUS_PER_TASK:-1}}\" \
             --tasks {tasks} --task \"$SLURM_ARRAY_TASK_ID\"\n",
            arguments.join(" ")
        )
    }

    /// Options of `sbatch` on which it rests that the array is found again.
    pub fn own(&self) -> Vec<String> {
        let Self { call, folder, tasks, .. } = self;
        let throttle = self.at_once.map_or(String::new(), |most| format!("%{most}"));
        let mut options = vec![
            format!("--job-name={}", self.name),
            format!("--array=0-{}{throttle}", tasks - 1),
            // Percent signs of a path would be patterns.
            format!("--output={}/%a.log", folder.display().to_string().replace('%', "%%")),
            "--open-mode=append".into(),
            "--requeue".into(),
            format!("--chdir={}", call.folder.display()),
        ];
        if !self.after.is_empty() {
            let jobs = self.after.join(":");
            options.extend([format!("--dependency=afterok:{jobs}"), "--kill-on-invalid-dep=yes".into()]);
        }
        options
    }
}

/// An option that a line of a script holds as one, whatever is in its value.
fn whole(option: &str) -> String {
    match option.split_once('=') {
        Some((name, value)) if value.contains([' ', '#', '\'']) => format!("{name}=\"{value}\""),
        _ => option.to_owned(),
    }
}

/// A word as the shell takes it for itself.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_asks_for_what_the_profile_says_and_calls_the_program() {
        let text = "resources: {partition: long, time: 60}\nprologue: [module load cuda]\nenvironment: {A: it's}\n";
        let profile: Profile = serde_yaml::from_str(text).unwrap();
        let arguments = ["--out", "/home/a b/runs"].map(Into::into).to_vec();
        let call = Call { program: "/opt/aim-learn".into(), arguments, folder: "/home/me".into() };
        let resources = profile.of_row("joint");
        let script = Script {
            profile: &profile,
            call: &call,
            resources: &resources,
            name: "t.0001.89abcdef",
            folder: Path::new("/home/me/runs/t/slurm/0001"),
            tasks: 60,
            at_once: Some(20),
            after: &["7".into(), "8".into()],
        };
        let wanted = "#!/bin/bash -l
#SBATCH --job-name=t.0001.89abcdef
#SBATCH --array=0-59%20
#SBATCH --output=/home/me/runs/t/slurm/0001/%a.log
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --chdir=/home/me
#SBATCH --dependency=afterok:7:8
#SBATCH --kill-on-invalid-dep=yes
#SBATCH --partition=long
#SBATCH --time=60
export A='it'\\''s'
set -e
module load cuda
exec /opt/aim-learn work --out '/home/a b/runs' --threads \"${SLURM_CPUS_PER_TASK:-1}\" --tasks \
/home/me/runs/t/slurm/0001/tasks.tsv --task \"$SLURM_ARRAY_TASK_ID\"
";
        assert_eq!(script.text(), wanted);
        assert_eq!(whole("--output=/a b/%a.log"), "--output=\"/a b/%a.log\"");
    }
}
