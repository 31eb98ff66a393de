//! What makes a run the run it is.

use std::{collections::BTreeMap, path::Path};

use aim_config::yaml;
use aim_core::{Context, Error, Result};
use serde::{Deserialize, Serialize};
use serde_yaml::{Mapping, Value};

use super::{Difference, RunConfig, differences, run::typed, text};
use crate::Registries;

/// Version of the files that hold an identity: 1 left out the defaults of methods and their revisions.
pub(super) const FORMAT: u32 = 2;

/// The resolved configuration, the revisions of its methods, the seed and the data: two runs with the same identity
/// give the same bits on the same processor.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The seed.
    pub seed: u64,
    /// CRC-32 of the data.
    pub data_crc32: u32,
    /// Revision of each method's numbers.
    pub revisions: BTreeMap<String, u32>,
    /// The configuration.
    pub config: RunConfig,
}

/// As it is written.
#[derive(Serialize)]
pub(super) struct Written<'a> {
    format: u32,
    seed: u64,
    data_crc32: u32,
    revisions: &'a BTreeMap<String, u32>,
    #[serde(flatten)]
    config: &'a RunConfig,
}

/// What stands beside the sections of a run.
#[derive(Deserialize)]
struct Head {
    #[serde(default = "first")]
    format: u32,
    seed: u64,
    data_crc32: u32,
    revisions: Option<BTreeMap<String, u32>>,
}

fn first() -> u32 {
    1
}

/// Revisions of the methods of a configuration as this program has them, and of those that its preparations are trained
/// by. The first revision of a preparation goes without saying: identities were written before it counted.
fn revisions(config: &RunConfig) -> BTreeMap<String, u32> {
    let of = |config: &RunConfig| -> Vec<(String, u32)> {
        let infos = config.method.all().into_iter().map(aim_balance::MethodSettings::info);
        infos.map(|info| (info.name.to_owned(), info.revision)).collect()
    };
    let before = config.method.preparations(&config.modalities());
    let before = before.iter().flat_map(|which| of(&config.preparation(which))).filter(|(_, revision)| *revision > 1);
    before.chain(of(config)).collect()
}

/// Eight digits of a value: of its content, whatever the order of keys.
fn digits(value: &serde_json::Value) -> String {
    format!("{:08x}", crc32fast::hash(sorted(value).as_bytes()))
}

/// A value as compact JSON with sorted keys.
fn sorted(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Object(map) => {
            let entries: BTreeMap<&String, String> = map.iter().map(|(key, value)| (key, sorted(value))).collect();
            let entry = |(key, value): (&String, String)| format!("{}:{value}", serde_json::Value::from(key.as_str()));
            format!("{{{}}}", entries.into_iter().map(entry).collect::<Vec<_>>().join(","))
        }
        serde_json::Value::Array(list) => format!("[{}]", list.iter().map(sorted).collect::<Vec<_>>().join(",")),
        other => other.to_string(),
    }
}

impl Identity {
    /// The identity of a run on these data.
    pub fn new(config: &RunConfig, seed: u64, data_crc32: u32) -> Self {
        Self { seed, data_crc32, revisions: revisions(config), config: config.clone() }
    }

    /// As YAML: the content of a run folder's `config.yaml`, which can be run again.
    ///
    /// # Errors
    /// If a value cannot be written.
    pub fn to_yaml(&self) -> Result<String> {
        yaml::write(&self.written())
            .map_err(|e| Error::invalid("config", e.to_string(), "report this fault with the command that met it"))
    }

    /// As a value with the content of a run folder's `config.yaml`.
    ///
    /// # Errors
    /// If a value cannot be written.
    pub fn to_value(&self) -> Result<serde_json::Value> {
        serde_json::to_value(self.written())
            .map_err(|e| Error::invalid("config", e.to_string(), "report this fault with the command that met it"))
    }

    /// As it is written.
    pub(super) fn written(&self) -> Written<'_> {
        let Self { seed, data_crc32, revisions, config } = self;
        Written { format: FORMAT, seed: *seed, data_crc32: *data_crc32, revisions, config }
    }

    /// Understands the content of a `config.yaml`, of this program or of an older one; settings that it leaves out have
    /// their defaults, and methods without a revision their first.
    ///
    /// # Errors
    /// If it is no identity, or one of a newer program.
    pub fn parse(text: &str, registries: &Registries) -> Result<Self> {
        let wrong = |problem: String| Error::invalid("config.yaml", problem, "name the folder of a run");
        let mut value: Value = yaml::value(text).map_err(|e| wrong(format!("is no YAML ({e})")))?;
        let Value::Mapping(map) = &mut value else { return Err(wrong("is no mapping".into())) };
        let own: Mapping = ["format", "seed", "data_crc32", "revisions"]
            .into_iter()
            .filter_map(|key| Some((key.into(), map.remove(key)?)))
            .collect();
        let Head { format, seed, data_crc32, revisions } = typed(Value::Mapping(own), "").map_err(named)?;
        if format > FORMAT {
            let problem = format!("has format {format}, this program knows formats up to {FORMAT}");
            return Err(Error::invalid("config.yaml", problem, "use the newer program that wrote it"));
        }
        let config = RunConfig::read(value, registries).map_err(named)?;
        let names = config.method.all().into_iter().map(|method| method.info().name.to_owned());
        let revisions = revisions.unwrap_or_else(|| names.map(|name| (name, 1)).collect());
        Ok(Self { seed, data_crc32, revisions, config })
    }

    /// The identity of the run in a folder.
    ///
    /// # Errors
    /// If the folder holds none, or it is damaged.
    pub fn load(folder: &Path, registries: &Registries) -> Result<Self> {
        let path = folder.join("config.yaml");
        let text = std::fs::read_to_string(&path).map_err(|e| Error::io(&path, e))?;
        Self::parse(&text, registries).at(|| path.display().to_string())
    }

    /// Eight hexadecimal digits that stand for configuration, revisions and data, whatever the seed: of their values,
    /// not of how they are written.
    ///
    /// # Errors
    /// If a value cannot be written.
    pub fn key(&self) -> Result<String> {
        let value = serde_json::to_value(Written { seed: 0, ..self.written() });
        let value = value
            .map_err(|e| Error::invalid("config", e.to_string(), "report this fault with the command that met it"))?;
        Ok(digits(&value))
    }

    /// The key that a program of today's format gave to a run with this `config.yaml`: of what is written there, with
    /// the defaults of that program.
    pub fn stored_key(stored: &str) -> Option<String> {
        Self::key_of(serde_yaml::from_str(stored).ok()?)
    }

    /// The same of such a value.
    pub fn key_of(mut value: serde_json::Value) -> Option<String> {
        *value.get_mut("seed")? = 0.into();
        Some(digits(&value))
    }

    /// Whether another is that of the same run, whatever their seeds and the methods' revisions.
    pub fn is_like(&self, other: &Self) -> bool {
        self.data_crc32 == other.data_crc32 && self.config == other.config
    }

    /// The first place where a stored `config.yaml` says something else, in words; none if it says the same.
    pub fn difference(&self, stored: &str, registries: &Registries) -> Option<String> {
        let found = match Self::parse(stored, registries).and_then(|found| found.to_yaml()) {
            Ok(found) => found,
            // What cannot be understood differs in what is written.
            Err(_) => stored.into(),
        };
        difference(&found, &self.to_yaml().ok()?)
    }

    /// The key in the names of folders that programs before format 2 gave to a run with this `config.yaml`.
    pub fn first_key(stored: &str) -> Option<String> {
        let rest = stored.strip_prefix("seed: ")?.split_once('\n')?.1;
        Some(format!("{:08x}", crc32fast::hash(format!("seed: 0\n{rest}").as_bytes())))
    }
}

/// Gives an error about the file as a whole its place.
fn named(error: Error) -> Error {
    match error {
        Error::Invalid { place, problem, remedy } if place.is_empty() => Error::invalid("config.yaml", problem, remedy),
        other => other,
    }
}

/// The first place where a stored YAML text says something else than the wanted one, in words; none if they agree.
fn difference(found: &str, wanted: &str) -> Option<String> {
    let parse = |text| serde_yaml::from_str::<Value>(text).ok();
    match (parse(found), parse(wanted)) {
        (Some(found), Some(wanted)) => {
            let say = |d: &Difference| format!("says `{}: {}`, this run `{}`", d.key, text(&d.left), text(&d.right));
            differences(&found, &wanted).first().map(say)
        }
        _ => Some("is no YAML".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Identity, difference, digits};

    #[test]
    fn keys_are_of_values_in_any_order() {
        let one: serde_json::Value = serde_json::from_str(r#"{"b": [1, {"d": 2.0, "c": "x"}], "a": null}"#).unwrap();
        let other: serde_json::Value = serde_json::from_str(r#"{"a": null, "b": [1, {"c": "x", "d": 2.0}]}"#).unwrap();
        assert_eq!(digits(&one), digits(&other));
        assert_ne!(digits(&one), digits(&serde_json::json!({"a": null, "b": [1, {"c": "x", "d": 3.0}]})));
    }

    #[test]
    fn a_stored_configuration_keeps_its_key_whatever_defaults_this_program_has() {
        let key = |seed| Identity::stored_key(&format!("format: 2\nseed: {seed}\ntrain: {{epochs: 3, lr: 1.0}}\n"));
        assert_eq!(key(0), key(7));
        assert_eq!(
            key(0),
            Some(digits(&serde_json::json!({"format": 2, "seed": 0, "train": {"lr": 1.0, "epochs": 3}})))
        );
        assert_eq!(Identity::stored_key("no: seed"), None);
    }

    #[test]
    fn a_section_that_is_missing_is_missing_from_the_file() {
        let error = Identity::parse("{format: 2, seed: 0, data_crc32: 1}", crate::standard()).unwrap_err().to_string();
        assert!(error.starts_with("config.yaml: missing field"), "{error}");
    }

    #[test]
    fn the_first_difference_is_named() {
        let a = "{seed: 1, train: {epochs: 3, batch: 32}, rows: [1, 2]}";
        assert_eq!(difference(a, "train: {batch: 32, epochs: 3}\nrows: [1, 2]\nseed: 1"), None);
        for (b, said) in [
            ("{seed: 1, train: {epochs: 4, batch: 32}, rows: [1, 2]}", "says `train.epochs: 4`, this run `3`"),
            ("{seed: 1, train: {epochs: 3}, rows: [1, 2]}", "says `train.batch: null`, this run `32`"),
            ("{seed: 1, train: {epochs: 3, batch: 32}, rows: [2]}", "says `rows: [2]`, this run `[1,2]`"),
            ("{seed: 1, tra", "is no YAML"),
        ] {
            assert_eq!(difference(b, a).as_deref(), Some(said));
        }
    }
}
