//! Recipes: how a published line of work reads a set and trains on it, as a file that lies below a table's own keys.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use aim_core::{Error, Result};
use serde::Deserialize;
use serde_yaml::{Mapping, Value};

use super::{
    Difference, Protocol, RunConfig, Source, builtin, differences, run::typed, source::merge, text, train::neutral,
};
use crate::Registries;

/// Sections that a recipe may have.
const SECTIONS: [&str; 5] = ["data", "model", "optimizer", "schedule", "train"];

/// Key of what is laid over a recipe under its own protocol.
const PUBLISHED: &str = "as-published";

/// Keys in which a run is compared with its recipe, and those of them which say where data lie or what a machine
/// allows.
const COMPARED: [&str; 5] = ["data.", "model.encoders.", "optimizer.", "schedule.", "train."];
const LOCAL: [&str; 4] = ["data.folder", "data.memory", "data.missing", "data.store"];

/// A recipe: sections that a table has where it says nothing else, and what is known of each of its choices.
#[derive(Clone, Debug)]
pub struct Recipe {
    /// Its name, or the path of its file.
    pub name: String,
    /// What it is, in a sentence.
    pub about: String,
    /// Where its choices are from.
    pub origin: String,
    /// Its choices, and how sure each is.
    pub facts: Vec<Fact>,
    pub(super) source: Source,
    sections: Mapping,
    published: Option<Value>,
}

/// A choice of a recipe.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fact {
    /// What is chosen: `shape`, `frames`, `selection` and others.
    pub what: String,
    /// The choice.
    pub is: String,
    /// How sure it is that published work makes it.
    pub sure: Sure,
}

/// How sure it is that published work makes a choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sure {
    /// Released code was read.
    Code,
    /// A paper was read.
    Paper,
    /// Others report it.
    Note,
    /// No source says it; the choice is ours.
    Ours,
}

impl fmt::Display for Sure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Code => "released code",
            Self::Paper => "paper",
            Self::Note => "as others report",
            Self::Ours => "ours",
        })
    }
}

/// What stands in a recipe's file beside the sections.
#[derive(Deserialize)]
struct Head {
    about: String,
    source: String,
    facts: Vec<Fact>,
}

/// The recipes that come with the program.
///
/// # Errors
/// If one cannot be read.
pub fn recipes() -> Result<Vec<Recipe>> {
    builtin::recipes().map(|(name, text)| Recipe::parse(name, Path::new(&path(name)), text)).collect()
}

/// Where a recipe that comes with the program lies in its folder.
fn path(name: &str) -> String {
    format!("{}/recipes/{name}.yaml", builtin::FOLDER)
}

impl Recipe {
    /// The recipe that comes with the program under a name, or that of a file; a relative path starts at `folder` or
    /// else at the current one.
    ///
    /// # Errors
    /// If there is none, or something is wrong with it.
    pub fn load(name: &str, folder: Option<&Path>) -> Result<Self> {
        if let Some((_, text)) = builtin::recipes().find(|(known, _)| *known == name) {
            return Self::parse(name, Path::new(&path(name)), text);
        }
        let below = folder.map(|folder| folder.join(name)).filter(|path| path.exists());
        let path = below.unwrap_or_else(|| PathBuf::from(name));
        if !path.exists() {
            let names = builtin::recipes().map(|(name, _)| name).collect::<Vec<_>>().join(", ");
            let remedy = format!("give the path of a file or one of {names}");
            return Err(Error::invalid("recipe", format!("there is no recipe `{name}`"), remedy));
        }
        Self::parse(name, &path, &std::fs::read_to_string(&path).map_err(|e| Error::io(&path, e))?)
    }

    fn parse(name: &str, path: &Path, text: &str) -> Result<Self> {
        let source = Source::parse(path, text)?;
        let read = || -> Result<(Head, Mapping, Option<Value>)> {
            let Value::Mapping(mut map) = source.value.clone() else {
                return Err(Error::invalid("", "is no mapping", "write a recipe's keys, see `list recipes`"));
            };
            let head = ["about", "source", "facts"].into_iter().filter_map(|key| Some((key.into(), map.remove(key)?)));
            let head = typed(Value::Mapping(head.collect()), "")?;
            let published = map.remove(PUBLISHED);
            let unknown = map.keys().find(|key| !key.as_str().is_some_and(|key| SECTIONS.contains(&key)));
            if let Some(key) = unknown {
                let remedy = format!("use about, source, facts, {}, {PUBLISHED}", SECTIONS.join(", "));
                return Err(Error::invalid(crate::config::text(key), "is no key of a recipe", remedy));
            }
            Ok((head, map, published))
        };
        let (head, sections, published) = read().map_err(|e| source.locate(e, None))?;
        let Head { about, source: origin, facts } = head;
        Ok(Self { name: name.into(), about, origin, facts, source, sections, published })
    }

    /// Its sections under a protocol.
    fn sections(&self, protocol: Protocol) -> Result<Value> {
        let mut value = Value::Mapping(self.sections.clone());
        match (protocol, &self.published) {
            (Protocol::AsPublished, Some(changes)) => merge(&mut value, changes),
            (Protocol::AsPublished, None) => {
                let problem = format!("recipe {} was published with a clean rule", self.name);
                return Err(Error::invalid("protocol", problem, "leave the protocol out"));
            }
            _ => {}
        }
        Ok(value)
    }

    /// Whether it was published with a rule of its own.
    pub fn is_published_otherwise(&self) -> bool {
        self.published.is_some()
    }

    /// The choice of that name in words, if the recipe tells it.
    pub fn fact(&self, what: &str) -> Option<&Fact> {
        self.facts.iter().find(|fact| fact.what == what)
    }

    /// Where a run that follows it says something else than it, in words. Sections that it leaves to its tables are
    /// no change.
    ///
    /// # Errors
    /// If the recipe has no rule for the run's protocol.
    pub(crate) fn changes(&self, run: &RunConfig, registries: &Registries) -> Result<Vec<String>> {
        let mut own = self.sections(run.protocol)?;
        merge(&mut own, &serde_yaml::from_str("{name: recipe, method: joint}").unwrap_or_default());
        let said = serde_yaml::to_value(run).unwrap_or_default();
        let whole = RunConfig::read(own.clone(), registries)
            .or_else(|_| RunConfig::read(filled(own.clone(), &said), registries));
        // Sections that mean nothing without the run's are those of another set or network as a whole.
        let Ok(whole) = whole else { return Ok(vec!["data or model of another kind than the recipe's".into()]) };
        let whole = serde_yaml::to_value(whole).unwrap_or_default();
        let all = differences(&whole, &said).into_iter();
        let spoken = |key: &str| key.split('.').next().is_some_and(|section| own.get(section).is_some());
        let told = |key: &str| COMPARED.iter().any(|p| key.starts_with(p)) && !LOCAL.contains(&key) && spoken(key);
        let changed = all.filter(|d| told(&d.key));
        let say = |Difference { key, left, right }: Difference| {
            let value = |value: &Value| neutral(&key, value).map_or_else(|| text(value), Into::into);
            format!("{key} {} in place of {}", value(&right), value(&left))
        };
        Ok(changed.map(say).collect())
    }
}

/// A recipe's sections with what only the run says of the two that must be complete.
fn filled(mut own: Value, said: &Value) -> Value {
    for key in ["data", "model"] {
        let mut section = said[key].clone();
        merge(&mut section, &own[key]);
        own[key] = section;
    }
    own
}

/// A run's sections over those of its recipe, if that lies below them.
pub(super) fn over(recipe: Option<&Recipe>, run: Value) -> Result<Value> {
    let protocol = match run.get("protocol").filter(|value| !value.is_null()) {
        Some(value) => typed(value.clone(), "protocol")?,
        None => Protocol::default(),
    };
    let Some(recipe) = recipe else {
        return match protocol {
            Protocol::AsPublished if run.get("recipe").is_none() => {
                Err(Error::invalid("protocol", "as-published needs a recipe", "name one: `recipe: cremad/ogm-257x188`"))
            }
            _ => Ok(run),
        };
    };
    let mut value = recipe.sections(protocol)?;
    merge(&mut value, &run);
    Ok(value)
}
