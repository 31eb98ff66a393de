//! The configuration of a table: what all runs share, and what each row changes.

use std::{collections::BTreeSet, path::Path};

use aim_core::{Error, Result};
use schemars::JsonSchema;
use serde::{Deserialize, de::IgnoredAny};
use serde_yaml::Value;

use super::{Protocol, RunConfig, Search, Source, run::typed, source::merge};

/// A section that the schema describes elsewhere.
type Json = serde_json::Value;

/// A table of runs.
#[derive(Clone, Debug)]
pub struct TableConfig {
    /// Name of the table, of its folder and its report.
    pub name: String,
    /// What it shows.
    pub title: String,
    /// Number of seeds, counted from 0.
    pub seeds: u64,
    /// The row that the others are compared with.
    pub baseline: String,
    /// The rows, in order.
    pub rows: Vec<Row>,
    /// What `sweep` searches for every row.
    pub sweep: Option<Search>,
    /// The family of tables that it belongs to, if any.
    pub family: Option<String>,
    /// The set that it is of, as the family names it.
    pub set: Option<String>,
}

/// One row.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its label.
    pub title: String,
    /// Its runs.
    pub config: RunConfig,
    /// What is tried before, to choose the runs' configuration.
    pub tune: Option<Search>,
}

/// How much of a table is run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scale {
    /// As the file says.
    #[default]
    Normal,
    /// With the file's `quick` section laid over it.
    Quick,
    /// With the file's `full` section laid over it.
    Full,
}

/// A table, or a single run.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// Names the folder.
    name: String,
    /// What the table shows.
    title: Option<String>,
    /// Number of seeds, counted from 0.
    #[serde(default = "five")]
    seeds: u64,
    /// Name of the row that the others are tested against; `joint` by default.
    baseline: Option<String>,
    /// What the splits are used for.
    #[serde(default)]
    #[schemars(with = "Protocol")]
    protocol: Value,
    /// The data set and its settings.
    #[serde(default)]
    #[schemars(with = "Json", extend("$ref" = "#/$defs/data"))]
    data: Value,
    /// Encoders and fusion.
    #[serde(default)]
    #[schemars(with = "Json", extend("$ref" = "#/$defs/model"))]
    model: Value,
    /// The optimizer.
    #[serde(default)]
    #[schemars(with = "Json", extend("$ref" = "#/$defs/optimizer"))]
    optimizer: Value,
    /// The learning-rate schedule.
    #[serde(default)]
    #[schemars(with = "Json", extend("$ref" = "#/$defs/schedule"))]
    schedule: Value,
    /// Length of training and choice of the checkpoint.
    #[serde(default)]
    #[schemars(with = "Json", extend("$ref" = "#/$defs/train"))]
    train: Value,
    /// The method of a single run.
    #[serde(default)]
    #[schemars(with = "Json", extend("$ref" = "#/$defs/method"))]
    method: Value,
    /// The rows, each of which may change any section.
    #[serde(default)]
    #[schemars(with = "Vec<RowHead>")]
    rows: Vec<Value>,
    /// What `sweep` searches for every row.
    sweep: Option<Search>,
    /// Seed of a single run: a run folder's configuration holds these two, and runs again as it is.
    #[serde(default)]
    seed: u64,
    /// Checksum of its data.
    #[serde(default, rename = "data_crc32")]
    #[schemars(with = "u32")]
    _data_crc32: IgnoredAny,
}

/// A row's own keys; the other sections are laid over what all rows share.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct RowHead {
    /// Names the row and its folders.
    name: String,
    /// Its label.
    title: Option<String>,
    /// What is tried before, to choose the runs' configuration.
    tune: Option<Search>,
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

fn five() -> u64 {
    5
}

impl TableConfig {
    /// Reads a table.
    ///
    /// # Errors
    /// Whatever is wrong with the file, with its line.
    pub fn load(path: &Path, scale: Scale) -> Result<Self> {
        Self::new(Source::load(path)?, scale)
    }

    /// Understands a table.
    ///
    /// # Errors
    /// Whatever is wrong with it, with its line.
    pub fn new(mut source: Source, scale: Scale) -> Result<Self> {
        apply_scale(&mut source.value, scale).map_err(|e| source.locate(e, None))?;
        let file: File = typed(source.value.clone(), "").map_err(|e| source.locate(e, None))?;
        let rows = rows(&file, &source, |_| true)?;
        if let Some(baseline) = file.baseline.as_ref().filter(|b| rows.iter().all(|row| row.config.name != **b)) {
            let names: Vec<&str> = rows.iter().map(|row| row.config.name.as_str()).collect();
            let (problem, remedy) =
                (format!("there is no row `{baseline}`"), format!("use one of {}", names.join(", ")));
            return Err(source.locate(Error::invalid("baseline", problem, remedy), None));
        }
        let table = Self {
            title: file.title.unwrap_or_else(|| file.name.clone()),
            name: file.name,
            seeds: file.seeds,
            baseline: file.baseline.unwrap_or_else(|| "joint".into()),
            rows,
            family: None,
            set: None,
            sweep: file.sweep,
        };
        table.check().map_err(|e| source.locate(e, None))?;
        Ok(table)
    }

    /// The protocols of its rows.
    pub fn protocols(&self) -> BTreeSet<Protocol> {
        self.rows.iter().map(|row| row.config.protocol).collect()
    }

    /// Only the rows of a table, of those that `wanted` names by their places.
    pub(super) fn rows_of(mut source: Source, scale: Scale, wanted: impl Fn(usize) -> bool) -> Result<Vec<Row>> {
        apply_scale(&mut source.value, scale).map_err(|e| source.locate(e, None))?;
        let file: File = typed(source.value.clone(), "").map_err(|e| source.locate(e, None))?;
        rows(&file, &source, wanted)
    }

    pub(super) fn check(&self) -> Result<()> {
        check_name(&self.name)?;
        if self.seeds == 0 {
            return Err(Error::invalid("seeds", "is 0", "use at least 1; an interval needs 2"));
        }
        if self.rows.is_empty() {
            return Err(Error::invalid("rows", "is missing or empty", "list the rows of the table, or use `train`"));
        }
        for (i, row) in self.rows.iter().enumerate() {
            if self.rows[..i].iter().any(|other| other.config.name == row.config.name) {
                let place = format!("rows[{i}].name");
                return Err(Error::invalid(place, format!("`{}` is there twice", row.config.name), "rename one"));
            }
        }
        self.sweep.as_ref().map_or(Ok(()), |sweep| sweep.check("sweep"))
    }

    /// The table in which every row is searched as the `sweep` section says. Rows with a search of their own are left out,
    /// because they are the reference for rows without one.
    ///
    /// # Errors
    /// If there is no such section, or a row has no trials of its own to make.
    pub fn swept(mut self) -> Result<Self> {
        let missing = || Error::invalid("sweep", "is missing", "say what is tried, under `grid` and `random`");
        let search = self.sweep.take().ok_or_else(missing)?;
        self.rows.retain(|row| row.tune.is_none());
        let configs: Vec<&RunConfig> = self.rows.iter().map(|row| &row.config).collect();
        search.check_settings("sweep", &configs)?;
        for row in &mut self.rows {
            search.plan("sweep", &row.config)?;
            row.tune = Some(search.clone());
        }
        self.name += "-sweep";
        self.family = self.family.map(|family| family + "-sweep");
        self.title += ", every row searched";
        Ok(self)
    }
}

impl RunConfig {
    /// Understands a file as a single run, with its seed: the row of that name, or what stands outside the rows. The source's
    /// overrides hold against the row as well.
    ///
    /// # Errors
    /// Whatever is wrong with the file, with its line.
    pub fn single(source: &Source, row_name: Option<&str>) -> Result<(Self, u64)> {
        let mut value = source.value.clone();
        apply_scale(&mut value, Scale::Normal)?;
        let file: File = typed(value, "").map_err(|e| source.locate(e, None))?;
        let Some(wanted) = row_name else {
            let mut base = shared(&file, &file.name);
            if file.method.is_null() {
                merge(&mut base, &serde_yaml::from_str("method: {name: joint}").unwrap_or_default());
            }
            let config = Self::from_value(base).map_err(|e| source.locate(e, None))?;
            return Ok((config, file.seed));
        };
        let names: Vec<_> = file.rows.iter().filter_map(|r| r.get("name")?.as_str()).collect();
        let at = file.rows.iter().position(|r| r.get("name").and_then(Value::as_str) == Some(wanted));
        let at = at.ok_or_else(|| {
            Error::invalid("--row", format!("there is no row `{wanted}`"), format!("use one of {}", names.join(", ")))
        })?;
        let (mut file, mut source) = (file, source.clone());
        source.set_row(&mut file.rows[at]);
        Ok((row(&file, at, &source)?.config, file.seed))
    }
}

/// Lays the `quick` or `full` section over the rest and removes both.
fn apply_scale(value: &mut Value, scale: Scale) -> Result<()> {
    let Value::Mapping(map) = value else { return Ok(()) };
    let (quick, full) = (map.remove("quick"), map.remove("full"));
    let (name, patch) = match scale {
        Scale::Normal => return Ok(()),
        Scale::Quick => ("quick", quick),
        Scale::Full => ("full", full),
    };
    let remedy =
        || format!("write one, for instance `{name}: {{seeds: 2, train: {{epochs: 2}}}}`, or leave --{name} out");
    merge(value, &patch.ok_or_else(|| Error::invalid(name, "the table has no such section", remedy()))?);
    Ok(())
}

/// What all rows share, as the mapping of a run.
fn shared(file: &File, name: &str) -> Value {
    let sections = [
        ("protocol", &file.protocol),
        ("data", &file.data),
        ("model", &file.model),
        ("optimizer", &file.optimizer),
        ("schedule", &file.schedule),
        ("train", &file.train),
        ("method", &file.method),
    ];
    let given = sections.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (Value::from(k), v.clone()));
    Value::Mapping(given.chain([(Value::from("name"), Value::from(name))]).collect())
}

fn rows(file: &File, source: &Source, wanted: impl Fn(usize) -> bool) -> Result<Vec<Row>> {
    (0..file.rows.len()).filter(|i| wanted(*i)).map(|i| row(file, i, source)).collect()
}

fn row(file: &File, i: usize, source: &Source) -> Result<Row> {
    let section = format!("rows[{i}]");
    let read = || -> Result<Row> {
        let head: RowHead = typed(file.rows[i].clone(), "")?;
        let mut value = shared(file, &head.name);
        let mut changes = file.rows[i].clone();
        if let Value::Mapping(map) = &mut changes {
            map.remove("title");
            map.remove("name");
            map.remove("tune");
        }
        merge(&mut value, &changes);
        check_name(&head.name)?;
        let config = RunConfig::from_value(value)?;
        if let Some(search) = &head.tune {
            search.check("tune")?;
            search.check_settings("tune", &[&config])?;
            search.plan("tune", &config)?;
        }
        Ok(Row { title: head.title.unwrap_or_else(|| head.name.clone()), config, tune: head.tune })
    };
    read().map_err(|e| source.locate(e, Some(&section)))
}

/// Names become folders.
fn check_name(name: &str) -> Result<()> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if !name.is_empty() && name.chars().all(fine) && !name.starts_with('.') {
        return Ok(());
    }
    Err(Error::invalid("name", format!("`{name}` cannot name a folder"), "use letters, digits, `-`, `_` and `.`"))
}
