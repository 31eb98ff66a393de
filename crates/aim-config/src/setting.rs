//! Settings: their declaration as data, and the typed values.

use std::fmt::Debug;

use aim_core::{Error, Result};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{Kind, Rule, Values, plain_words};

/// The declaration of one setting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setting {
    /// Key in a configuration.
    pub name: &'static str,
    /// Meaning, in a sentence.
    pub meaning: &'static str,
    /// Type.
    pub kind: Kind,
    /// Words of a choice.
    pub words: &'static [&'static str],
    /// Whether nothing stands for a value that is left out.
    pub optional: bool,
    /// Values that it takes.
    pub rule: Rule,
    /// Source of the default: paper, released code, a third party, or ours; with details where they matter.
    pub source: &'static str,
}

impl Setting {
    /// The values in words.
    pub fn range(&self) -> String {
        self.rule.text(self.words)
    }

    /// The default in words; `value` is the default itself.
    pub fn default_text(&self, value: &Value) -> String {
        match (self.rule.shown, value) {
            (Some(words), _) => words.into(),
            _ if self.rule.required => "required".into(),
            (None, Value::Null) => "none".into(),
            (None, Value::String(text)) => text.clone(),
            (None, Value::Array(list)) => {
                format!("[{}]", list.iter().map(|item| self.default_text(item)).collect::<Vec<_>>().join(", "))
            }
            (None, other) => number_text(other),
        }
    }

    /// Words of a choice, or those that the rule lists.
    pub fn choices(&self) -> &'static [&'static str] {
        if let Values::OneOf(words) = self.rule.values { words } else { self.words }
    }
}

/// A number as people write it: 1 instead of 1.0.
fn number_text(value: &Value) -> String {
    value.as_f64().map_or_else(|| value.to_string(), |number| number.to_string())
}

/// Typed settings; made by [`settings!`](crate::settings!).
pub trait Settings: Clone + Debug + Default + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Their declarations, in order.
    const SETTINGS: &'static [Setting];

    /// Checks every value against its declaration; `place` names the section in messages.
    ///
    /// # Errors
    /// If a value is out of range or missing; the place is `<place>.<key>`.
    fn check(&self, place: &str) -> Result<()>;
}

/// The typed settings of a section, unchecked; what it leaves out has its default.
///
/// # Errors
/// If a key is unknown or a value has the wrong type; the place is the key's path below `place`.
pub fn parse<S: Settings>(section: &Value, place: &str) -> Result<S> {
    serde_path_to_error::deserialize(section).map_err(|e| {
        let path = e.path().to_string();
        let key = path.split(['.', '[']).next();
        let range = S::SETTINGS.iter().find(|s| Some(s.name) == key).map(|s| s.range()).filter(|r| !r.is_empty());
        let problem = plain_words(&e.into_inner().to_string());
        let unknown = problem.strip_prefix("unknown field `").and_then(|p| p.split_once('`')).map(|(key, _)| key);
        let path = unknown
            .filter(|key| !path.ends_with(key))
            .map_or_else(|| path.clone(), |key| if path == "." { key.to_owned() } else { format!("{path}.{key}") });
        let place = if path == "." { place.into() } else { format!("{place}.{path}") };
        let remedy = match (unknown, range) {
            (None, Some(range)) => format!("use {range}"),
            (Some(_), _) => "remove it, or correct its name".into(),
            (None, None) => "correct its value".into(),
        };
        Error::invalid(place, problem, remedy)
    })
}

/// Settings as a configuration's section; never fails for what [`settings!`](crate::settings!) makes.
pub(crate) fn to_value(settings: &impl Serialize) -> Value {
    serde_json::to_value(settings).unwrap_or_default()
}

/// Refuses the empty value of a setting that a configuration must give.
#[doc(hidden)]
pub fn missing(place: &str, name: &str) -> Error {
    Error::invalid(format!("{place}.{name}"), "is missing", "add it")
}
