//! Registries: what a configuration can name, open to everybody's own entries.

use aim_core::{Error, Result};
use serde_json::{Map, Value};

/// Something that has a name in configurations.
pub trait Named {
    /// The name.
    fn name(&self) -> &str;
}

/// Entries of one kind by name, in the order in which they were added.
///
/// ```
/// # use aim_config::{Named, Registry};
/// struct Metric(&'static str);
/// impl Named for Metric {
///     fn name(&self) -> &str {
///         self.0
///     }
/// }
/// let metrics = Registry::new("metric", "metrics").with(Metric("accuracy"))?.with(Metric("macro_f1"))?;
/// assert!(metrics.get("accuracy", "metrics").is_ok());
/// assert!(metrics.with(Metric("accuracy")).is_err());
/// # Ok::<(), aim_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Registry<T> {
    kind: &'static str,
    list: &'static str,
    entries: Vec<T>,
}

impl<T: Named> Registry<T> {
    /// A registry without entries; `kind` names an entry in messages, and `list` all of them on the command line.
    pub const fn new(kind: &'static str, list: &'static str) -> Self {
        Self { kind, list, entries: Vec::new() }
    }

    /// The same with one more entry.
    ///
    /// # Errors
    /// If there is one of that name.
    pub fn with(mut self, entry: T) -> Result<Self> {
        self.add(entry)?;
        Ok(self)
    }

    /// Adds an entry.
    ///
    /// # Errors
    /// If there is one of that name.
    pub fn add(&mut self, entry: T) -> Result<()> {
        let name = entry.name();
        if self.find(name).is_some() {
            let problem = format!("there are two entries called `{name}`");
            return Err(Error::invalid(format!("registry of {}", self.list), problem, "give one of them another name"));
        }
        self.entries.push(entry);
        Ok(())
    }

    /// The entry of that name, if there is one.
    pub fn find(&self, name: &str) -> Option<&T> {
        self.entries.iter().find(|entry| entry.name() == name)
    }

    /// The entry of that name; `place` names the key that asked for it in the message.
    ///
    /// # Errors
    /// If there is none; the message lists those that exist.
    pub fn get(&self, name: &str, place: &str) -> Result<&T> {
        self.find(name).ok_or_else(|| {
            let (problem, remedy) = (format!("unknown {} `{name}`", self.kind), format!("use one of {}", self.names()));
            Error::invalid(place, problem, remedy)
        })
    }

    /// All entries.
    pub fn iter(&self) -> std::slice::Iter<'_, T> {
        self.entries.iter()
    }

    /// Name of an entry in messages.
    pub fn kind(&self) -> &'static str {
        self.kind
    }

    /// Names of all entries.
    pub fn names(&self) -> String {
        self.entries.iter().map(Named::name).collect::<Vec<_>>().join(", ")
    }
}

impl<'a, T> IntoIterator for &'a Registry<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;
    fn into_iter(self) -> Self::IntoIter {
        self.entries.iter()
    }
}

/// A section that names one entry.
#[derive(Clone, Debug, PartialEq)]
pub struct Section {
    /// The name.
    pub name: String,
    /// The settings.
    pub settings: Map<String, Value>,
}

/// Understands a section: a name, `{name: ..., settings...}` or `{<name>: {settings...}}`.
///
/// # Errors
/// If it names nothing; the message shows the three forms for `kind`.
pub fn section(value: &Value, place: &str, kind: &str) -> Result<Section> {
    let unnamed = || {
        let remedy = format!(
            "write `NAME`, `{{name: NAME, settings...}}` or `{{NAME: {{settings...}}}}` with the name of a {kind}"
        );
        Error::invalid(place, format!("names no {kind}"), remedy)
    };
    match value {
        Value::String(name) => Ok(Section { name: name.clone(), settings: Map::new() }),
        Value::Object(map) => match (map.get("name"), map.iter().next()) {
            (Some(Value::String(name)), _) => {
                let mut settings = map.clone();
                settings.remove("name");
                Ok(Section { name: name.clone(), settings })
            }
            (None, Some((name, Value::Object(settings)))) if map.len() == 1 => {
                Ok(Section { name: name.clone(), settings: settings.clone() })
            }
            (None, Some((name, Value::Null))) if map.len() == 1 => {
                Ok(Section { name: name.clone(), settings: Map::new() })
            }
            _ => Err(unnamed()),
        },
        _ => Err(unnamed()),
    }
}
