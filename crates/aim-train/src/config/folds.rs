//! Tables over all folds of a data section.

use aim_core::{Error, Result};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_yaml::Value;

use super::{
    RunConfig,
    source::{merge, nested},
};
use crate::Registries;

/// Which folds a table runs over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Over {
    /// Every fold of the data section: each row with each seed on each.
    All,
}

/// Keys of the sections that name a fold, with what must stand there for folds to be in use.
const SECTIONS: [&str; 2] = ["split", "folds"];

impl RunConfig {
    /// Key of the section that names this run's fold, and the number of folds.
    fn folds(&self) -> Result<(&'static str, usize)> {
        let data = serde_yaml::to_value(&self.data).unwrap_or_default();
        let in_use = |section: &Value| section.get("by").and_then(Value::as_str) != Some("list");
        let found = SECTIONS.into_iter().find_map(|key| {
            let section = data.get(key).filter(|section| in_use(section))?;
            Some((key, usize::try_from(section.get("folds")?.as_u64()?).ok()?))
        });
        found.ok_or_else(|| {
            let remedy =
                "give the data folds, for instance `split: {by: group}` of a corpus or `folds: {}` of a manifest";
            Error::invalid("folds", "is all, but the data section has no folds", remedy)
        })
    }

    /// Number of folds of the data section.
    ///
    /// # Errors
    /// If it has none.
    pub fn fold_count(&self) -> Result<usize> {
        self.folds().map(|(_, count)| count)
    }

    /// The same run on another fold.
    ///
    /// # Errors
    /// If the data section has no folds.
    pub fn on_fold(&self, fold: usize, registries: &Registries) -> Result<Self> {
        let (key, _) = self.folds()?;
        let wrong = |e: serde_yaml::Error| Error::invalid("config", e.to_string(), "report this fault");
        let mut value = serde_yaml::to_value(self).map_err(wrong)?;
        merge(&mut value, &nested(&format!("data.{key}.fold"), fold.into()));
        Self::read(value, registries)
    }
}
