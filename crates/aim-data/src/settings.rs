//! Settings of a set: typed, checked, and with the key's place in every error.

use std::fmt::Debug;
use std::path::Path;

use aim_core::{Error, Result, plain_words};
use serde::de::DeserializeOwned;
use serde_yaml::Value;

use crate::Dataset;

/// Settings that a set can be read with.
pub(crate) trait Source: DeserializeOwned {
    /// Checks the values; files are not touched.
    fn check(&self) -> Result<()>;
    /// Reads or generates the set.
    fn read(self, root: Option<&Path>) -> Result<Dataset>;
}

/// Reads the settings of a set and loads it.
pub(crate) fn load_as<S: Source>(settings: &Value, root: Option<&Path>) -> Result<Dataset> {
    let dataset = parse::<S>(settings)?.read(root)?;
    dataset.check()?;
    Ok(dataset)
}

/// Reads the settings of a set without loading it.
pub(crate) fn check_as<S: Source>(settings: &Value) -> Result<()> {
    parse::<S>(settings).map(drop)
}

fn parse<S: Source>(settings: &Value) -> Result<S> {
    let mut settings = settings.clone();
    if let Value::Mapping(map) = &mut settings {
        map.remove("name");
    }
    let parsed: S = serde_path_to_error::deserialize(settings).map_err(|e| {
        let path = e.path().to_string();
        let place = if path == "." { "data".to_owned() } else { format!("data.{path}") };
        Error::invalid(place, plain_words(&e.into_inner().to_string()), "`list datasets` names every setting")
    })?;
    parsed.check()?;
    Ok(parsed)
}

/// An error at one setting.
pub(crate) fn wrong(key: &str, problem: impl Into<String>, remedy: impl Into<String>) -> Error {
    Error::invalid(format!("data.{key}"), problem, remedy)
}

/// Checks that a setting lies in a closed range (NaN does not).
pub(crate) fn within<T: PartialOrd + Debug>(key: &str, value: T, low: T, high: T) -> Result<()> {
    if value >= low && value <= high {
        return Ok(());
    }
    Err(wrong(key, format!("{value:?} is out of range"), format!("choose a value from {low:?} to {high:?}")))
}
