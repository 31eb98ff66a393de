//! A YAML file with the line of every key, so that errors can say where they are.

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use aim_core::{Error, Result};
use saphyr_parser::{Event, Parser};
use serde_yaml::Value;

use super::{Recipe, builtin};

/// The sections that describe a run.
pub(super) const SECTIONS: [&str; 7] = ["protocol", "data", "model", "optimizer", "schedule", "train", "method"];

/// Most parts of a key on the command line, which become mappings within each other; no setting lies deeper than ten.
const DEEPEST: usize = 64;

/// A configuration file, read but not yet understood.
#[derive(Clone, Debug)]
pub struct Source {
    path: PathBuf,
    /// Its content, with overrides applied.
    pub value: Value,
    lines: BTreeMap<String, usize>,
    /// The overrides, by key.
    overrides: BTreeMap<String, String>,
    /// Whether they hold against what a row says.
    over_rows: bool,
    /// Where relative paths of recipes start, if not beside it.
    recipes: Option<PathBuf>,
}

impl Source {
    /// Reads a file, or one of the tables that come with the program where there is no such file.
    ///
    /// # Errors
    /// If it cannot be read or is no YAML.
    pub fn load(path: &Path) -> Result<Self> {
        match (std::fs::read_to_string(path), builtin::text(path)) {
            (Ok(text), _) => Self::parse(path, &text),
            (Err(e), Some(text)) if e.kind() == ErrorKind::NotFound => Self::parse(path, text),
            (Err(e), _) => Err(Error::io(path, e)),
        }
    }

    /// Takes a file's text.
    ///
    /// # Errors
    /// If it is no YAML.
    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        let value = serde_yaml::from_str(text).map_err(|e| {
            let line = e.location().map_or(String::new(), |l| format!(":{}", l.line()));
            Error::invalid(format!("{}{line}", path.display()), e.to_string(), "mend the YAML")
        })?;
        let (path, lines) = (path.into(), lines(text));
        Ok(Self { path, value, lines, overrides: BTreeMap::new(), over_rows: false, recipes: None })
    }

    /// The folder that relative paths of recipes start at.
    pub(super) fn recipes(&self) -> Option<&Path> {
        self.recipes.as_deref().or(self.path.parent())
    }

    /// Takes the recipe that another file names.
    pub(super) fn recipe_of(&mut self, other: &Self) {
        self.recipes = other.recipes().map(Into::into);
    }

    /// [`locate`](Self::locate), but in the recipe where only that has the key.
    pub(super) fn locate_below(&self, error: Error, section: Option<&str>, recipe: Option<&Recipe>) -> Error {
        let Error::Invalid { place, .. } = &error else { return error };
        let own = section.into_iter().map(|s| format!("{s}.{place}")).chain([place.clone()]);
        let said = own.into_iter().any(|key| self.lines.contains_key(&key) || self.overrides.contains_key(&key));
        match recipe.filter(|recipe| !said && recipe.source.lines.contains_key(place)) {
            Some(recipe) => recipe.source.locate(error, None),
            None => self.locate(error, section),
        }
    }

    /// Applies an override of the command line, `key=value` with dots between keys; the value is YAML.
    ///
    /// # Errors
    /// If it is not of that form.
    pub fn set(&mut self, assignment: &str) -> Result<()> {
        let wrong = |problem: String| Error::invalid(format!("`{assignment}`"), problem, "write key=value");
        let (key, value) = assignment.split_once('=').ok_or_else(|| wrong("has no `=`".into()))?;
        let value: Value = serde_yaml::from_str(value).map_err(|e| wrong(e.to_string()))?;
        if key.split('.').any(str::is_empty) {
            return Err(wrong("has an empty key".into()));
        }
        if key.split('.').count() > DEEPEST {
            return Err(wrong(format!("names a key in more than {DEEPEST} parts")));
        }
        merge(&mut self.value, &nested(key, value));
        self.overrides.insert(key.into(), assignment.into());
        Ok(())
    }

    /// Applies several.
    ///
    /// # Errors
    /// If one is not of that form.
    pub fn set_all(&mut self, assignments: &[String]) -> Result<()> {
        assignments.iter().try_for_each(|a| self.set(a))
    }

    /// Lays the overrides of a run's sections over a row as well, which otherwise has the last word.
    pub(super) fn set_row(&mut self, row: &mut Value) {
        self.over_rows = true;
        for (key, assignment) in &self.overrides {
            let (section, below) = key.split_once('.').unwrap_or((key, ""));
            let Some((_, value)) = assignment.split_once('=').filter(|_| SECTIONS.contains(&section)) else { continue };
            match row.get_mut(section) {
                // A method, say, that is named alone.
                Some(named) if named.is_string() && !below.is_empty() => *named = nested("name", named.clone()),
                _ => {}
            }
            // It was read before.
            merge(row, &nested(key, serde_yaml::from_str(value).unwrap_or_default()));
        }
    }

    /// Adds file and line to an error whose place is a key; `section` is what the key is relative to (a row), if any.
    pub fn locate(&self, error: Error, section: Option<&str>) -> Error {
        let Error::Invalid { place, problem, remedy } = error else { return error };
        let own = section.and_then(|s| nearest(&self.lines, &format!("{s}.{place}"), Some(s)));
        // The parts of some sections are read together: what is wrong with one is then said of the section.
        let below = |key: &String| key.strip_prefix(place.as_str()).is_some_and(|rest| rest.starts_with('.'));
        let within = || self.overrides.iter().find(|(key, _)| below(key)).map(|(_, assignment)| assignment);
        let assignment = nearest(&self.overrides, &place, None).or_else(within);
        if let Some(assignment) = assignment.filter(|_| own.is_none() || self.over_rows) {
            return Error::Invalid { place: format!("`{assignment}`: {place}"), problem, remedy };
        }
        let line = own.or_else(|| nearest(&self.lines, &place, None));
        let line = line.map_or(String::new(), |l| format!(":{l}"));
        let key = if place.is_empty() { place } else { format!(": {place}") };
        Error::Invalid { place: format!("{}{line}{key}", self.path.display()), problem, remedy }
    }
}

/// What is known of the longest beginning of a key; `above` itself does not count.
fn nearest<'a, T>(known: &'a BTreeMap<String, T>, key: &str, above: Option<&str>) -> Option<&'a T> {
    let mut key = key;
    loop {
        if Some(key) == above {
            return None;
        }
        if let Some(found) = known.get(key) {
            return Some(found);
        }
        key = &key[..key.rfind(['.', '['])?];
    }
}

/// The mapping that has a value at a key with dots.
pub(super) fn nested(key: &str, value: Value) -> Value {
    key.rsplit('.').fold(value, |inner, part| Value::Mapping([(Value::from(part), inner)].into_iter().collect()))
}

/// Lays `patch` over `base`: mappings are merged key by key, everything else is replaced. A mapping whose `name`
/// changes is replaced as a whole, because the settings of one method, optimizer or set mean nothing to another.
pub(super) fn merge(base: &mut Value, patch: &Value) {
    let (Value::Mapping(old), Value::Mapping(new)) = (&mut *base, patch) else {
        if !patch.is_null() {
            *base = patch.clone();
        }
        return;
    };
    if new.get("name").is_some_and(|name| old.get("name").is_some_and(|o| o != name) && !old.contains_key("rows")) {
        *base = patch.clone();
        return;
    }
    for (key, value) in new {
        match old.get_mut(key) {
            Some(slot) => merge(slot, value),
            None => drop(old.insert(key.clone(), value.clone())),
        }
    }
}

/// What the parser is inside of.
enum Level {
    Map { path: String, key: Option<String> },
    List { path: String, next: usize },
}

impl Level {
    /// Path of the value that comes next.
    fn path(&self) -> String {
        match self {
            Self::Map { path, key } if path.is_empty() => key.clone().unwrap_or_default(),
            Self::Map { path, key } => format!("{path}.{}", key.as_deref().unwrap_or_default()),
            Self::List { path, next } => format!("{path}[{next}]"),
        }
    }

    /// Steps over a value.
    fn advance(&mut self) {
        match self {
            Self::Map { key, .. } => *key = None,
            Self::List { next, .. } => *next += 1,
        }
    }
}

/// The line of every key and list entry. The text has been parsed before, so events that fail end the list.
fn lines(text: &str) -> BTreeMap<String, usize> {
    let mut out = BTreeMap::new();
    let mut stack: Vec<Level> = Vec::new();
    for (event, span) in Parser::new_from_str(text).map_while(|e| e.ok()) {
        if let (Event::Scalar(text, ..), Some(level @ Level::Map { key: None, .. })) = (&event, stack.last_mut()) {
            if let Level::Map { key, .. } = level {
                *key = Some(text.to_string());
            }
            out.insert(level.path(), span.start.line());
            continue;
        }
        let path = stack.last().map(Level::path).unwrap_or_default();
        if let (Some(Level::List { .. }), false) = (stack.last(), matches!(event, Event::SequenceEnd)) {
            out.insert(path.clone(), span.start.line());
        }
        match event {
            Event::MappingStart(..) => stack.push(Level::Map { path, key: None }),
            Event::SequenceStart(..) => stack.push(Level::List { path, next: 0 }),
            Event::MappingEnd | Event::SequenceEnd => {
                stack.pop();
                stack.last_mut().map(Level::advance).unwrap_or_default();
            }
            Event::Scalar(..) | Event::Alias(_) => stack.last_mut().map(Level::advance).unwrap_or_default(),
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "name: t\nmodel:\n  encoders:\n    a: {name: mlp, widths: [1]}\nrows:\n  - name: x\n  - name: y\n    method:\n      name: aim\n      alpha: 2\n";

    #[test]
    fn every_key_has_its_line() {
        let lines = lines(TEXT);
        assert_eq!(lines["name"], 1);
        assert_eq!(lines["model.encoders.a.widths"], 4);
        assert_eq!(lines["rows[0]"], 6);
        assert_eq!(lines["rows[1].name"], 7);
        assert_eq!(lines["rows[1].method.alpha"], 10);
    }

    #[test]
    fn errors_are_located_in_the_row_or_the_base() {
        let source = Source::parse(Path::new("t.yaml"), TEXT).unwrap();
        let say = |place: &str, row| source.locate(Error::invalid(place, "p", "r"), row).to_string();
        assert_eq!(say("method.alpha", Some("rows[1]")), "t.yaml:10: method.alpha: p; r");
        assert_eq!(say("method.gamma", Some("rows[1]")), "t.yaml:8: method.gamma: p; r");
        assert_eq!(say("model.encoders.b", Some("rows[1]")), "t.yaml:3: model.encoders.b: p; r");
        assert_eq!(say("train.epochs", None), "t.yaml: train.epochs: p; r");
        assert_eq!(say("", None), "t.yaml: p; r");
    }

    #[test]
    fn overrides_merge_and_a_new_name_replaces() {
        let mut source =
            Source::parse(Path::new("t.yaml"), "method: {name: aim, alpha: 2}\ntrain: {epochs: 3}").unwrap();
        source.set("train.batch=8").unwrap();
        source.set("method.beta=.5").unwrap();
        let want: Value =
            serde_yaml::from_str("method: {name: aim, alpha: 2, beta: .5}\ntrain: {epochs: 3, batch: 8}").unwrap();
        assert_eq!(source.value, want);
        source.set("method.name=joint").unwrap();
        assert_eq!(source.value["method"], serde_yaml::from_str::<Value>("{name: joint}").unwrap());
        assert!(source.set("oops").unwrap_err().to_string().contains("has no `=`"));
        let deep = format!("a{}=1", ".a".repeat(100_000));
        assert!(source.set(&deep).unwrap_err().to_string().contains("in more than 64 parts"));
    }

    #[test]
    fn overrides_hold_against_a_single_row() {
        let mut source = Source::parse(Path::new("t.yaml"), TEXT).unwrap();
        for assignment in ["method.alpha=.5", "train.epochs=2", "seeds=9"] {
            source.set(assignment).unwrap();
        }
        let mut row: Value = serde_yaml::from_str("{name: a, method: {name: aim, alpha: 2}}").unwrap();
        source.set_row(&mut row);
        let want = "{name: a, method: {name: aim, alpha: .5}, train: {epochs: 2}}";
        assert_eq!(row, serde_yaml::from_str::<Value>(want).unwrap());
        let error = source.locate(Error::invalid("method.alpha", "p", "r"), Some("rows[1]")).to_string();
        assert_eq!(error, "`method.alpha=.5`: method.alpha: p; r");
        // A method that is named alone can be given settings.
        let mut row: Value = serde_yaml::from_str("{method: aim}").unwrap();
        source.set_row(&mut row);
        assert_eq!(row["method"], serde_yaml::from_str::<Value>("{name: aim, alpha: .5}").unwrap());
        // What nobody overrides stays as it was written, and with it the key of the run.
        let mut source = Source::parse(Path::new("t.yaml"), TEXT).unwrap();
        source.set("train.epochs=2").unwrap();
        let mut row: Value = serde_yaml::from_str("{method: aim}").unwrap();
        source.set_row(&mut row);
        assert_eq!(row["method"], Value::from("aim"));
    }

    #[test]
    fn an_error_in_an_override_names_it_unless_the_row_says_otherwise() {
        let mut source = Source::parse(Path::new("t.yaml"), TEXT).unwrap();
        source.set("train.epochs=many").unwrap();
        source.set("method.alpha=x").unwrap();
        let say = |place: &str, row| source.locate(Error::invalid(place, "p", "r"), row).to_string();
        assert_eq!(say("train.epochs", Some("rows[0]")), "`train.epochs=many`: train.epochs: p; r");
        assert_eq!(say("method.alpha", Some("rows[1]")), "t.yaml:10: method.alpha: p; r");
        assert_eq!(say("name", None), "t.yaml:1: name: p; r");
    }
}
