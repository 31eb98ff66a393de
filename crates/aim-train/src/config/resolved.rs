//! Configurations with everything filled in, as files that run again as they are.

use std::path::Path;

use aim_core::{Error, Result};
use serde_yaml::{Mapping, Value};

use crate::Registries;

use super::{Identity, RunConfig, Scale, Source, TableConfig, identity::FORMAT, load_tables};

impl RunConfig {
    /// The run with its seed, as it can be read again.
    ///
    /// # Errors
    /// If a value cannot be written.
    pub fn resolved(&self, seed: u64) -> Result<Value> {
        let mut map = Mapping::from_iter([("seed".into(), seed.into())]);
        // It says all that its recipe said.
        map.extend(self.recipe.as_ref().map(|_| ("format".into(), FORMAT.into())));
        map.extend(mapping(self)?);
        Ok(Value::Mapping(map))
    }
}

impl TableConfig {
    /// The table, as it can be read again: every row says all that decides its runs.
    ///
    /// # Errors
    /// If a value cannot be written.
    pub fn resolved(&self) -> Result<Value> {
        let row = |row: &super::Row| -> Result<Value> {
            let mut map = mapping(&row.config)?;
            map.remove("recipe");
            map.insert("title".into(), row.title.clone().into());
            if let Some(tune) = &row.tune {
                map.insert("tune".into(), Value::Mapping(mapping(tune)?));
            }
            Ok(Value::Mapping(map))
        };
        let rows = self.rows.iter().map(row).collect::<Result<Vec<_>>>()?;
        // Null, which is as good as nothing, where there is no row to name.
        let named = self.rows.iter().any(|row| row.config.name == self.baseline);
        let baseline = if named { self.baseline.clone().into() } else { Value::Null };
        let seeds: Value = if self.auto { "auto".into() } else { self.seeds.into() };
        let power = self.auto.then(|| mapping(&self.power)).transpose()?;
        let planned = self.planned.as_ref().map(mapping).transpose()?;
        let head: [(&str, Value); 7] = [
            ("name", self.name.clone().into()),
            ("title", self.title.clone().into()),
            ("seeds", seeds),
            ("planned", planned.map_or(Value::Null, Value::Mapping)),
            ("power", power.map_or(Value::Null, Value::Mapping)),
            ("baseline", baseline),
            ("rows", rows.into()),
        ];
        let recipe = self.recipe.as_ref().map(|recipe| ("recipe", recipe.name.clone().into()));
        let recipe = recipe.into_iter().flat_map(|named| [named, ("format", FORMAT.into())]);
        let sweep = self.sweep.as_ref().map(mapping).transpose()?;
        let sweep = sweep.map(|sweep| ("sweep", Value::Mapping(sweep)));
        let folds = self.folds.map(|_| ("folds", "all".into()));
        let given = head.into_iter().filter(|(key, value)| *key == "baseline" || !value.is_null());
        let all = given.chain(folds).chain(recipe).chain(sweep);
        Ok(Value::Mapping(all.map(|(key, value)| (key.into(), value)).collect()))
    }
}

/// What `path` means: the run of a folder, a row of a table with its seed, a run, or tables with their rows by name.
///
/// # Errors
/// Whatever is wrong with the file or folder.
pub fn resolve(path: &Path, row: Option<&str>, registries: &Registries) -> Result<Value> {
    if path.is_dir() {
        return mapping(&Identity::load(path, registries)?.written()).map(Value::Mapping);
    }
    let source = Source::load(path)?;
    let several = ["rows", "sets"].iter().any(|key| source.value.get(key).is_some());
    if row.is_some() || !several {
        let (config, seed) = RunConfig::single(&source, row, registries)?;
        return config.resolved(seed);
    }
    let tables = load_tables(path, Scale::Normal, &[], registries)?;
    if let [table] = tables.as_slice() {
        return by_name(table);
    }
    let named = |table: &TableConfig| Ok((table.name.clone().into(), by_name(table)?));
    Ok(Value::Mapping(tables.iter().map(named).collect::<Result<_>>()?))
}

/// A table whose rows are found by their names rather than their places.
fn by_name(table: &TableConfig) -> Result<Value> {
    let mut value = table.resolved()?;
    let named = |row: &super::Row| Ok((row.config.name.clone().into(), Value::Mapping(mapping(&row.config)?)));
    value["rows"] = Value::Mapping(table.rows.iter().map(named).collect::<Result<_>>()?);
    Ok(value)
}

fn mapping(value: &impl serde::Serialize) -> Result<Mapping> {
    match serde_yaml::to_value(value) {
        Ok(Value::Mapping(map)) => Ok(map),
        Ok(_) => Err(Error::invalid("config", "is no mapping", "report this fault with the command that met it")),
        Err(e) => Err(Error::invalid("config", e.to_string(), "report this fault with the command that met it")),
    }
}
