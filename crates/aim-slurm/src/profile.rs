//! What a cluster wants to be told: a YAML file that a laboratory writes once.

use std::{collections::BTreeMap, fs, io::ErrorKind, num::NonZeroUsize, path::Path};

use aim_core::{Error, Result};
use serde::{Deserialize, Deserializer};

/// A cluster as its users see it. All defaults are neutral: what is not said is the cluster's own choice.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Profile {
    /// What a task asks for.
    pub resources: Resources,
    /// What tasks of a row ask for instead, by the row's name; what is not said is as in `resources`.
    pub rows: BTreeMap<String, Resources>,
    /// Most tasks of a table at a time.
    pub at_once: Option<NonZeroUsize>,
    /// Runs that share a task.
    pub runs_per_task: NonZeroUsize,
    /// Minutes that the runs of a task take together, by the runs of their rows that were timed; a task of rows that
    /// were not has `runs-per-task` runs.
    pub minutes_per_task: Option<NonZeroUsize>,
    /// Lines of shell before the program, such as `module load cuda`.
    pub prologue: Vec<String>,
    /// Variables of the program's environment.
    pub environment: BTreeMap<String, String>,
    /// Path of the program on the nodes, if it is not that of this one.
    pub program: Option<String>,
}

/// What `sbatch` is asked for; what is not said is the cluster's default.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Resources {
    /// Partition.
    #[serde(deserialize_with = "word")]
    pub partition: Option<String>,
    /// Account.
    #[serde(deserialize_with = "word")]
    pub account: Option<String>,
    /// Quality of service.
    #[serde(deserialize_with = "word")]
    pub qos: Option<String>,
    /// Devices, for instance `gpu:1`.
    #[serde(deserialize_with = "word")]
    pub gres: Option<String>,
    /// Features of nodes, for instance those of one instruction set.
    #[serde(deserialize_with = "word")]
    pub constraint: Option<String>,
    /// Processors, which are the threads of a run.
    #[serde(deserialize_with = "word")]
    pub cpus: Option<String>,
    /// Memory, for instance `4G`.
    #[serde(deserialize_with = "word")]
    pub memory: Option<String>,
    /// Longest time of a task, for instance `04:00:00`.
    #[serde(deserialize_with = "word")]
    pub time: Option<String>,
    /// Further options of `sbatch` as they are, for instance `--exclude=node7`.
    pub options: Vec<String>,
}

impl Default for Profile {
    fn default() -> Self {
        Self {
            resources: Resources::default(),
            rows: BTreeMap::new(),
            at_once: None,
            runs_per_task: NonZeroUsize::MIN,
            minutes_per_task: None,
            prologue: Vec::new(),
            environment: BTreeMap::new(),
            program: None,
        }
    }
}

/// A word or a number as a word.
fn word<'de, D: Deserializer<'de>>(from: D) -> std::result::Result<Option<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Scalar {
        Number(u64),
        Word(String),
    }
    Ok(Option::<Scalar>::deserialize(from)?.map(|scalar| match scalar {
        Scalar::Number(number) => number.to_string(),
        Scalar::Word(word) => word,
    }))
}

impl Profile {
    /// Reads a file; that of the name `slurm` need not be there, and is neutral then.
    ///
    /// # Errors
    /// If it cannot be read or understood.
    pub fn load(path: &Path) -> Result<Self> {
        match fs::read_to_string(path) {
            Err(e) if e.kind() == ErrorKind::NotFound && path == Path::new("configs/launchers/slurm.yaml") => {
                Ok(Self::default())
            }
            Err(e) => Err(Error::io(path, e)),
            Ok(text) => Self::parse(path, &text),
        }
    }

    fn parse(path: &Path, text: &str) -> Result<Self> {
        let wrong =
            |problem: String| Error::invalid(path.display().to_string(), problem, "see configs/launchers/slurm.yaml");
        let profile: Self = serde_yaml::from_str(text).map_err(|e| wrong(e.to_string()))?;
        let lines = std::iter::once(&profile.resources).chain(profile.rows.values()).flat_map(Resources::lines);
        if let Some(line) = lines.chain(profile.environment.keys().cloned()).find(|line| line.contains(['\n', '\r'])) {
            return Err(wrong(format!("`{}` has a line break", line.escape_debug())));
        }
        Ok(profile)
    }

    /// What tasks of a row ask for.
    pub fn of_row(&self, row: &str) -> Resources {
        self.rows.get(row).map_or_else(|| self.resources.clone(), |own| own.over(&self.resources))
    }
}

impl Resources {
    /// These where they say something, else the others.
    fn over(&self, other: &Self) -> Self {
        let either = |own: &Option<String>, other: &Option<String>| own.clone().or_else(|| other.clone());
        Self {
            partition: either(&self.partition, &other.partition),
            account: either(&self.account, &other.account),
            qos: either(&self.qos, &other.qos),
            gres: either(&self.gres, &other.gres),
            constraint: either(&self.constraint, &other.constraint),
            cpus: either(&self.cpus, &other.cpus),
            memory: either(&self.memory, &other.memory),
            time: either(&self.time, &other.time),
            options: if self.options.is_empty() { other.options.clone() } else { self.options.clone() },
        }
    }

    /// As options of `sbatch`.
    pub(crate) fn lines(&self) -> Vec<String> {
        let named = [
            ("partition", &self.partition),
            ("account", &self.account),
            ("qos", &self.qos),
            ("gres", &self.gres),
            ("constraint", &self.constraint),
            ("cpus-per-task", &self.cpus),
            ("mem", &self.memory),
            ("time", &self.time),
        ];
        let named = named.into_iter().filter_map(|(name, value)| Some(format!("--{name}={}", value.as_ref()?)));
        named.chain(self.options.iter().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Profile> {
        Profile::parse(Path::new("mine.yaml"), text)
    }

    #[test]
    fn the_file_that_comes_with_the_program_is_neutral_and_names_every_setting() {
        let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs/launchers/slurm.yaml"));
        assert_eq!(Profile::load(path).unwrap(), Profile::default());
        let text = fs::read_to_string(path).unwrap();
        for key in ["partition", "account", "qos", "gres", "constraint", "cpus", "memory", "time", "options", "rows"] {
            assert!(text.contains(&format!("{key}:")), "{key}");
        }
        assert_eq!(Profile::load(Path::new("configs/launchers/slurm.yaml")).unwrap(), Profile::default());
    }

    #[test]
    fn a_row_asks_for_what_it_says_and_else_for_what_all_do() {
        let text = "resources: {partition: long, cpus: 2, time: 04:00:00}\nrows: {aim: {cpus: 4, gres: gpu:1}}\n";
        let profile = parse(text).unwrap();
        assert_eq!(profile.of_row("joint").lines(), ["--partition=long", "--cpus-per-task=2", "--time=04:00:00"]);
        let aim = ["--partition=long", "--gres=gpu:1", "--cpus-per-task=4", "--time=04:00:00"];
        assert_eq!(profile.of_row("aim").lines(), aim);
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_place() {
        let said = |text: &str| parse(text).unwrap_err().to_string();
        let unknown = said("resources: {partitions: long}");
        assert!(unknown.contains("mine.yaml: resources: unknown field `partitions`"), "{unknown}");
        assert!(said("runs-per-task: 0").contains("runs-per-task"), "{}", said("runs-per-task: 0"));
        assert!(said("resources: {account: \"a\\n#SBATCH --x\"}").contains("has a line break"));
        assert!(Profile::load(Path::new("none.yaml")).unwrap_err().to_string().contains("none.yaml"));
    }
}
