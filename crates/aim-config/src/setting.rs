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
            (None, Value::Object(_)) => "as below".into(),
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

/// Each declaration with its default in words; `values` holds the defaults by name.
pub(crate) fn rows(settings: &'static [Setting], values: &Value) -> Vec<(&'static Setting, String)> {
    settings.iter().map(|s| (s, s.default_text(values.get(s.name).unwrap_or(&Value::Null)))).collect()
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::{above, at_least, between, by_type, choice, settings, words};

    choice! {
        /// Order of something.
        enum Order {
            /// As it comes.
            Given = "given",
            /// Drawn anew.
            Random = "random",
        }
    }

    settings! {
        /// Settings of a part.
        struct Part {
            /// Rate.
            rate: f64 = 0.5 => above(0.), "ours";
        }
    }

    settings! {
        /// Settings of every kind.
        struct All {
            /// Share of something, said in
            /// two lines.
            share: f64 = 0.25 => between(0., 1.), "paper";
            /// Key that is no Rust name in use.
            upper as "K": Option<usize> = None => at_least(1).shown("all"), "ours";
            /// Order.
            order: Order = Order::Given => by_type(), "ours";
            /// Weights by name.
            weights: BTreeMap<String, f64> = BTreeMap::new() => between(0., 1.).shown("equal ones"), "ours";
            /// Stages.
            stages: Vec<usize> = vec![1, 2] => at_least(1), "ours";
            /// Section below.
            part: Part = Part::default() => by_type(), "ours";
            /// File.
            file: String = "x".into() => words("a file").required(), "ours";
        }
    }

    fn read(section: &Value) -> Result<All, String> {
        let read = parse::<All>(section, "here").and_then(|all| Settings::check(&all, "here").map(|()| all));
        read.map_err(|error| error.to_string())
    }

    #[test]
    fn a_declaration_gives_defaults_rows_and_checks() {
        assert_eq!(read(&json!({})), Ok(All::default()));
        let names: Vec<&str> = All::SETTINGS.iter().map(|setting| setting.name).collect();
        assert_eq!(names, ["share", "K", "order", "weights", "stages", "part", "file"]);
        assert_eq!(All::SETTINGS[0].meaning, "Share of something, said in two lines.");
        let values = to_value(&All::default());
        let told: Vec<String> =
            All::SETTINGS.iter().map(|setting| setting.default_text(&values[setting.name])).collect();
        assert_eq!(told[..5], ["0.25", "all", "given", "equal ones", "[1, 2]"]);
        assert_eq!(All::SETTINGS[2].range(), "given | random");
        let all = All { upper: Some(7), order: Order::Random, ..All::default() };
        assert_eq!(read(&json!({"K": 7, "order": "random"})), Ok(all.clone()));
        assert_eq!(read(&to_value(&all)), Ok(all));
    }

    #[test]
    fn each_wrong_value_is_one_message_with_its_place() {
        for (section, message) in [
            (json!({"share": 2}), "here.share: is 2; use a number from 0 to 1"),
            (json!({"share": "a"}), "here.share: invalid type: string \"a\", expected a number; use 0 to 1"),
            (json!({"K": 0}), "here.K: is 0; use a whole number, 1 or more"),
            (
                json!({"K": -1}),
                "here.K: invalid value: the number `-1`, expected a whole number, 0 or more; use 1 or more",
            ),
            (
                json!({"order": "back"}),
                "here.order: unknown variant `back`, expected `given` or `random`; use given | random",
            ),
            (json!({"weights": {"a": 2}}), "here.weights.a: is 2; use a number from 0 to 1"),
            (json!({"stages": [1, 0]}), "here.stages[1]: is 0; use a whole number, 1 or more"),
            (json!({"part": {"rate": 0}}), "here.part.rate: is 0; use a number above 0"),
            (json!({"file": ""}), "here.file: is missing; add it"),
        ] {
            assert_eq!(read(&section).unwrap_err(), message);
        }
        let unknown = read(&json!({"shares": 1})).unwrap_err();
        assert!(unknown.starts_with("here.shares: unknown field `shares`, expected one of `share`, `K`"), "{unknown}");
        assert!(unknown.ends_with("; remove it, or correct its name"), "{unknown}");
        let unknown = read(&json!({"part": {"rat": 1}})).unwrap_err();
        assert!(unknown.starts_with("here.part.rat: unknown field `rat`"), "{unknown}");
    }
}
