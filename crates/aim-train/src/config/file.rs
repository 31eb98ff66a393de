//! The schema of a file: its keys, and those of a row.

use aim_core::Result;
use schemars::JsonSchema;
use serde::{Deserialize, de::IgnoredAny};
use serde_yaml::Value;

use super::{Planned, Power, Protocol, Recipe, Search, Source, folds::Over, planned::Seeds};

/// A section that the schema describes elsewhere.
type Json = serde_json::Value;

/// A table, or a single run.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// Names the folder.
    pub name: String,
    /// What the table shows.
    pub title: Option<String>,
    /// Number of seeds, counted from 0; `auto` is as many as `power` asks for, which the command `power` finds out.
    #[serde(default = "five")]
    #[schemars(with = "Json", extend("anyOf" = [{"type": "integer", "minimum": 1}, {"const": "auto"}]))]
    pub seeds: Seeds,
    /// Runs each row with each seed on every fold of the data section.
    pub folds: Option<Over>,
    /// Name of the row that the others are tested against; `joint` by default.
    pub baseline: Option<String>,
    /// The comparisons that are tested; without it, every row is tested against the baseline.
    pub planned: Option<Planned>,
    /// What `seeds: auto` is to be enough for.
    #[serde(default)]
    pub power: Power,
    /// What the splits are used for.
    #[serde(default)]
    #[schemars(with = "Protocol")]
    pub protocol: Value,
    /// A recipe that lies below the sections: one that comes with the program, or the path of a file.
    pub recipe: Option<String>,
    /// The data set and its settings.
    #[serde(default)]
    #[schemars(with = "Json", extend("$ref" = "#/$defs/data"))]
    pub data: Value,
    /// Encoders and fusion.
    #[serde(default)]
    #[schemars(with = "Json", extend("$ref" = "#/$defs/model"))]
    pub model: Value,
    /// The optimizer.
    #[serde(default)]
    #[schemars(with = "Json", extend("$ref" = "#/$defs/optimizer"))]
    pub optimizer: Value,
    /// The learning-rate schedule.
    #[serde(default)]
    #[schemars(with = "Json", extend("$ref" = "#/$defs/schedule"))]
    pub schedule: Value,
    /// Length of training and choice of the checkpoint.
    #[serde(default)]
    #[schemars(with = "Json", extend("$ref" = "#/$defs/train"))]
    pub train: Value,
    /// The method of a single run.
    #[serde(default)]
    #[schemars(with = "Json", extend("$ref" = "#/$defs/method"))]
    pub method: Value,
    /// The rows, each of which may change any section.
    #[serde(default)]
    #[schemars(with = "Vec<RowHead>")]
    pub rows: Vec<Value>,
    /// What `sweep` searches for every row.
    pub sweep: Option<Search>,
    /// Seed of a single run: a run folder's configuration holds it and the next three, and runs again as it is.
    #[serde(default)]
    pub seed: u64,
    /// Checksum of its data.
    #[serde(default, rename = "data_crc32")]
    #[schemars(with = "u32")]
    _data_crc32: IgnoredAny,
    /// Version of the folder's files; sections of a file that says it are whole, and lie over no recipe.
    pub format: Option<u32>,
    /// Revision of each method's numbers.
    #[serde(default, rename = "revisions")]
    #[schemars(with = "std::collections::BTreeMap<String, u32>")]
    _revisions: IgnoredAny,
}

/// A row's own keys; the other sections are laid over what all rows share.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RowHead {
    /// Names the row and its folders.
    pub name: String,
    /// Its label.
    pub title: Option<String>,
    /// What is tried before, to choose the runs' configuration.
    pub tune: Option<Search>,
    /// What the splits are used for.
    #[serde(default, rename = "protocol")]
    #[schemars(with = "Protocol")]
    _protocol: IgnoredAny,
    /// Changes of the data set's settings.
    #[serde(default, rename = "data")]
    #[schemars(with = "Json", extend("$ref" = "#/$defs/data-changes"))]
    _data: IgnoredAny,
    /// Changes of encoders and fusion.
    #[serde(default, rename = "model")]
    #[schemars(with = "Json", extend("$ref" = "#/$defs/model-changes"))]
    _model: IgnoredAny,
    /// Changes of the optimizer.
    #[serde(default, rename = "optimizer")]
    #[schemars(with = "Json", extend("$ref" = "#/$defs/optimizer-changes"))]
    _optimizer: IgnoredAny,
    /// Changes of the schedule.
    #[serde(default, rename = "schedule")]
    #[schemars(with = "Json", extend("$ref" = "#/$defs/schedule-changes"))]
    _schedule: IgnoredAny,
    /// Changes of the training's length and choice.
    #[serde(default, rename = "train")]
    #[schemars(with = "Json", extend("$ref" = "#/$defs/train-changes"))]
    _train: IgnoredAny,
    /// The method.
    #[serde(rename = "method")]
    #[schemars(with = "Json", extend("$ref" = "#/$defs/method-changes"))]
    _method: IgnoredAny,
}

fn five() -> Seeds {
    Seeds::Number(5)
}

impl File {
    /// The recipe that it names, as it is to be told of.
    pub fn recipe(&self, source: &Source) -> Result<Option<Recipe>> {
        let load = |name| Recipe::load(name, source.recipes()).map_err(|e| source.locate(e, None));
        self.recipe.as_deref().map(load).transpose()
    }

    /// Of that recipe, what lies below the sections: nothing where these were written with all that it said, and with
    /// no word of what is neutral.
    pub fn below<'a>(&self, recipe: Option<&'a Recipe>) -> Option<&'a Recipe> {
        recipe.filter(|_| self.format.is_none())
    }

    /// What all rows share, as the mapping of a run of that name.
    pub fn shared(&self, name: &str) -> Value {
        let recipe = self.recipe.as_deref().map_or(Value::Null, Value::from);
        let sections = [
            ("recipe", &recipe),
            ("protocol", &self.protocol),
            ("data", &self.data),
            ("model", &self.model),
            ("optimizer", &self.optimizer),
            ("schedule", &self.schedule),
            ("train", &self.train),
            ("method", &self.method),
        ];
        let given = sections.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (Value::from(k), v.clone()));
        Value::Mapping(given.chain([(Value::from("name"), Value::from(name))]).collect())
    }
}
