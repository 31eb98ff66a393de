//! A file understood as a single run.

use aim_core::{Error, Result};
use serde_yaml::Value;

use crate::Registries;

use super::{
    RunConfig, Scale, Source,
    file::File,
    recipe::over,
    run::typed,
    source::merge,
    table::{apply_scale, check_name, row},
};

impl RunConfig {
    /// Understands a file as a single run, with its seed: the row of that name, or what stands outside the rows. The
    /// source's overrides hold against the row as well.
    ///
    /// # Errors
    /// Whatever is wrong with the file, with its line.
    pub fn single(source: &Source, row_name: Option<&str>, registries: &Registries) -> Result<(Self, u64)> {
        let mut value = source.value.clone();
        apply_scale(&mut value, Scale::Normal)?;
        let file: File = typed(value, "").map_err(|e| source.locate(e, None))?;
        let Some(wanted) = row_name else {
            check_name(&file.name).map_err(|e| source.locate(e, None))?;
            let mut base = file.shared(&file.name);
            if file.method.is_null() {
                merge(&mut base, &serde_yaml::from_str("method: {name: joint}").unwrap_or_default());
            }
            // What needs no recipe runs without its file.
            let recipe = if file.format.is_none() { file.recipe(source)? } else { None };
            let config = over(recipe.as_ref(), base).and_then(|value| Self::read(value, registries));
            return Ok((config.map_err(|e| source.locate_below(e, None, recipe.as_ref()))?, file.seed));
        };
        let names: Vec<_> = file.rows.iter().filter_map(|r| r.get("name")?.as_str()).collect();
        let at = file.rows.iter().position(|r| r.get("name").and_then(Value::as_str) == Some(wanted));
        let at = at.ok_or_else(|| Error::unknown("--row", format!("there is no row `{wanted}`"), names))?;
        let (mut file, mut source) = (file, source.clone());
        source.set_row(&mut file.rows[at]);
        let recipe = file.recipe(&source)?;
        Ok((row(&file, at, &source, recipe.as_ref(), registries)?.config, file.seed))
    }
}
