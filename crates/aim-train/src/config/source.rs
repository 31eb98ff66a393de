//! A YAML file with the line of every key, so that errors can say where they are.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::ErrorKind,
    path::{Path, PathBuf},
};

use aim_config::yaml;
use aim_core::{Error, Result};
use saphyr_parser::{Event, Parser, Tag};
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
        match (std::fs::read(path), builtin::text(path)) {
            (Ok(bytes), _) => Self::parse(path, &decoded(path, bytes)?),
            (Err(e), Some(text)) if e.kind() == ErrorKind::NotFound => Self::parse(path, text),
            (Err(e), _) => Err(Error::io(path, e)),
        }
    }

    /// Takes a file's text.
    ///
    /// # Errors
    /// If it is no YAML, or something in it would be lost: a key that stands twice, a tag, a further document.
    pub fn parse(path: &Path, text: &str) -> Result<Self> {
        let text = yaml::without_mark(text);
        // Before the second parser, to which depth is dear.
        let lines = lines(text).map_err(|fault| fault.at(path))?;
        let value = yaml::value(text).map_err(|e| {
            let line = e.location().map_or(String::new(), |l| format!(":{}", l.line()));
            Error::invalid(format!("{}{line}", path.display()), e.to_string(), "mend the YAML")
        })?;
        let path = path.into();
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
        lines(value).map_err(|fault| wrong(fault.problem))?;
        let value = yaml::value(value).map_err(|e| wrong(e.to_string()))?;
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
            merge(row, &nested(key, yaml::value(value).unwrap_or_default()));
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

/// Lays `patch` over `base`, unless it is nothing: mappings are merged key by key, everything else is replaced, a
/// `null` below a key replacing what is there as any other value does. A mapping whose `name` changes is replaced as a
/// whole, because the settings of one method, optimizer or set mean nothing to another.
pub(super) fn merge(base: &mut Value, patch: &Value) {
    if !patch.is_null() {
        lay(base, patch);
    }
}

fn lay(base: &mut Value, patch: &Value) {
    let (Value::Mapping(old), Value::Mapping(new)) = (&mut *base, patch) else {
        *base = patch.clone();
        return;
    };
    if new.get("name").is_some_and(|name| old.get("name").is_some_and(|o| o != name) && !old.contains_key("rows")) {
        *base = patch.clone();
        return;
    }
    for (key, value) in new {
        match old.get_mut(key) {
            Some(slot) => lay(slot, value),
            None => drop(old.insert(key.clone(), value.clone())),
        }
    }
}

/// What is wrong in a text, and on which line.
struct Fault {
    line: usize,
    problem: String,
    remedy: &'static str,
}

impl Fault {
    fn new(line: usize, problem: impl Into<String>, remedy: &'static str) -> Self {
        Self { line, problem: problem.into(), remedy }
    }

    fn at(self, path: &Path) -> Error {
        Error::invalid(format!("{}:{}", path.display(), self.line), self.problem, self.remedy)
    }
}

/// A file's bytes as text.
fn decoded(path: &Path, bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes).map_err(|e| {
        let bytes = e.as_bytes();
        let line = bytes[..e.utf8_error().valid_up_to()].iter().filter(|b| **b == b'\n').count() + 1;
        let utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
        let problem = if utf16 { "is UTF-16" } else { "is not UTF-8" };
        Fault::new(line, problem, "save it as UTF-8").at(path)
    })
}

/// What the parser is inside of.
enum Level {
    Map { path: String, key: Option<String>, seen: BTreeSet<String> },
    List { path: String, next: usize },
}

impl Level {
    /// Path of the value that comes next.
    fn path(&self) -> String {
        match self {
            Self::Map { path, key, .. } if path.is_empty() => key.clone().unwrap_or_default(),
            Self::Map { path, key, .. } => format!("{path}.{}", key.as_deref().unwrap_or_default()),
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

/// Brackets that may stand open at once, those in texts among them: to more of them the parser is quadratic.
const OPEN: usize = 1000;

/// Refuses a text with so many open brackets, on the line of the first too many.
fn closed(text: &str) -> Result<(), Fault> {
    let (mut open, mut line) = (0_usize, 1);
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => open += 1,
            b']' | b'}' => open = open.saturating_sub(1),
            b'\n' => line += 1,
            _ => {}
        }
        if open > OPEN {
            return Err(Fault::new(line, format!("is nested more than {DEEPEST} deep"), "mend the YAML"));
        }
    }
    Ok(())
}

/// The line of every key and list entry. Events that fail end the list: the second parser says what is wrong.
fn lines(text: &str) -> Result<BTreeMap<String, usize>, Fault> {
    closed(text)?;
    let mut out = BTreeMap::new();
    let (mut stack, mut documents): (Vec<Level>, _) = (Vec::new(), 0);
    for (event, span) in Parser::new_from_str(text).map_while(|e| e.ok()) {
        let line = span.start.line();
        known(&event, line)?;
        if let (Event::Scalar(text, ..), Some(level @ Level::Map { key: None, .. })) = (&event, stack.last_mut()) {
            if let Level::Map { key, seen, .. } = level {
                if !seen.insert(text.to_string()) {
                    return Err(Fault::new(line, format!("the key `{text}` stands twice here"), "remove one of them"));
                }
                *key = Some(text.to_string());
            }
            out.insert(level.path(), line);
            continue;
        }
        let path = stack.last().map(Level::path).unwrap_or_default();
        if let (Some(Level::List { .. }), false) = (stack.last(), matches!(event, Event::SequenceEnd)) {
            out.insert(path.clone(), line);
        }
        match event {
            Event::MappingStart(..) => stack.push(Level::Map { path, key: None, seen: BTreeSet::new() }),
            Event::SequenceStart(..) => stack.push(Level::List { path, next: 0 }),
            Event::MappingEnd | Event::SequenceEnd => {
                stack.pop();
                stack.last_mut().map(Level::advance).unwrap_or_default();
            }
            Event::Scalar(..) | Event::Alias(_) => stack.last_mut().map(Level::advance).unwrap_or_default(),
            Event::DocumentStart(_) => documents += 1,
            _ => {}
        }
        if documents > 1 {
            return Err(Fault::new(line, "a second document begins", "put each in a file of its own"));
        }
        if stack.len() > DEEPEST {
            return Err(Fault::new(line, format!("is nested more than {DEEPEST} deep"), "mend the YAML"));
        }
    }
    Ok(out)
}

/// Refuses a tag that is none of YAML's own plain types.
fn known(event: &Event<'_>, line: usize) -> Result<(), Fault> {
    let (Event::Scalar(_, _, _, Some(tag)) | Event::SequenceStart(_, Some(tag)) | Event::MappingStart(_, Some(tag))) =
        event
    else {
        return Ok(());
    };
    let Tag { handle, suffix } = tag.as_ref();
    if tag.is_yaml_core_schema() && ["str", "int", "float", "bool", "null", "seq", "map"].contains(&suffix.as_str()) {
        return Ok(());
    }
    let name = if tag.is_yaml_core_schema() { format!("!!{suffix}") } else { format!("{handle}{suffix}") };
    Err(Fault::new(line, format!("the tag `{name}` is not known"), "write the value without it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "name: t\nmodel:\n  encoders:\n    a: {name: mlp, widths: [1]}\nrows:\n  - name: x\n  - name: y\n    method:\n      name: aim\n      alpha: 2\n";

    #[test]
    fn every_key_has_its_line() {
        let lines = lines(TEXT).ok().unwrap();
        assert_eq!(lines["name"], 1);
        assert_eq!(lines["model.encoders.a.widths"], 4);
        assert_eq!(lines["rows[0]"], 6);
        assert_eq!(lines["rows[1].name"], 7);
        assert_eq!(lines["rows[1].method.alpha"], 10);
    }

    #[test]
    fn what_would_be_lost_is_refused_with_its_line() {
        let nested = |depth: usize| format!("a:\n  {}{}", "[".repeat(depth), "]".repeat(depth));
        for (text, message) in [
            ("a: 1\nb: 2\na: 3\n", "t.yaml:3: the key `a` stands twice here; remove one of them"),
            ("a:\n  b: 1\n  'b': 2\n", "t.yaml:3: the key `b` stands twice here"),
            ("a: {b: 1, b: 2}", "t.yaml:1: the key `b` stands twice"),
            ("1: a\n'1': b", "t.yaml:2: the key `1` stands twice"),
            ("a: 1\n---\nb: 2\n", "t.yaml:2: a second document begins"),
            (
                "a: 1\nb: !!python/tuple [1]\n",
                "t.yaml:2: the tag `!!python/tuple` is not known; write the value without",
            ),
            ("a: 1\nb: !wide {c: 2}\n", "t.yaml:2: the tag `!wide` is not known"),
            ("a: 1\nb: !!set {c}\n", "t.yaml:2: the tag `!!set` is not known"),
            (&nested(100), "t.yaml:2: is nested more than 64 deep"),
            (&nested(200_000), "t.yaml:2: is nested more than 64 deep"),
            (&"[".repeat(200_000), "t.yaml:1: is nested more than 64 deep"),
            (&"{a: ".repeat(200_000), "t.yaml:1: is nested more than 64 deep"),
            ("\u{feff}a: 1\r\na: 2\r\n", "t.yaml:2: the key `a` stands twice"),
        ] {
            let error = Source::parse(Path::new("t.yaml"), text).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}\nshould begin with\n{message}");
        }
        for text in ["a.b: 1\na: {b: 2}", "--- \na: !!str 1\n...\n", "\u{feff}a: 1\r\n", "a: {<<: {b: 1}, b: 2}"] {
            assert!(Source::parse(Path::new("t.yaml"), text).is_ok(), "{text}");
        }
        let mut source = Source::parse(Path::new("t.yaml"), TEXT).unwrap();
        for (assignment, message) in [
            (&*format!("{}=1", vec!["a"; 20_000].join(".")), "in more than 64 parts"),
            (&format!("a={}{}", "[".repeat(100), "]".repeat(100)), "is nested more than 64 deep"),
            (&format!("a={}", "[".repeat(20_000)), "is nested more than 64 deep"),
            ("a={b: 1, b: 2}", "the key `b` stands twice"),
            ("a=!wide 3", "the tag `!wide` is not known"),
        ] {
            let error = source.set(assignment).unwrap_err().to_string();
            assert!(error.contains(message), "{error}\nshould contain\n{message}");
        }
    }

    #[test]
    fn what_is_no_text_is_told_by_its_encoding_and_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.yaml");
        let utf16: Vec<u8> = "\u{feff}a: 1".encode_utf16().flat_map(u16::to_le_bytes).collect();
        for (bytes, message) in [
            (&*utf16, "t.yaml:1: is UTF-16; save it as UTF-8"),
            (b"a: 1\nname: gr\xf6\xdfe\n", "t.yaml:2: is not UTF-8; save it as UTF-8"),
        ] {
            std::fs::write(&path, bytes).unwrap();
            let error = Source::load(&path).unwrap_err().to_string();
            assert!(error.ends_with(message), "{error}");
        }
    }

    #[test]
    fn nothing_and_null_replace_what_a_key_has() {
        let mut source = Source::parse(Path::new("t.yaml"), "train: {epochs: 3, patience: 2}\nlist: [1]").unwrap();
        for (assignment, key) in
            [("train.patience=null", "patience"), ("train.epochs=", "epochs"), ("train.epochs=~", "epochs")]
        {
            source.set(assignment).unwrap();
            assert!(source.value["train"][key].is_null(), "{assignment}");
        }
        source.set("list=[]").unwrap();
        assert_eq!(source.value["list"], serde_yaml::from_str::<Value>("[]").unwrap());
        let mut row: Value = serde_yaml::from_str("{train: {epochs: 5}}").unwrap();
        source.set_row(&mut row);
        assert!(row["train"]["epochs"].is_null() && row["train"]["patience"].is_null());
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
