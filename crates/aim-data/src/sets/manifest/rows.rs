//! The rows of a manifest.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use aim_config::{
    serde::{Deserialize, Serialize},
    settings, words,
};
use aim_core::{Error, Result};
use csv::ReaderBuilder;

use super::{Decoding, faults::Faults};
use crate::{
    files::{broken, bytes},
    table::Part,
};

settings! {
    /// Names of a manifest's columns.
    pub struct Columns {
        /// Column of the ids; where there is none, lines are ids.
        pub id: String = "id".into() => words("a column"), "ours";
        /// Column of the splits: `train`, `validation` or `test`.
        pub split: String = "split".into() => words("a column"), "ours";
        /// Column of the labels.
        pub label: String = "label".into() => words("a column"), "ours";
        /// Column of what must stay in one split, such as the speaker.
        pub group: Option<String> = None => words("a column").shown("`group`, if there is one"), "ours";
    }
}

/// A sample of a manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(crate = "aim_config::serde")]
pub(in crate::sets) struct Row {
    /// Line in the file, from 1.
    pub line: usize,
    /// Its name.
    pub id: String,
    /// Its split.
    pub part: Part,
    /// Its class; empty where a new sample has none.
    pub label: String,
    /// What it must stay together with.
    pub group: Option<String>,
    /// Its cells by modality; none where it lacks the modality.
    pub cells: BTreeMap<String, Option<String>>,
    /// Seconds at which the sample begins and ends in its recordings.
    pub times: [Option<f64>; 2],
}

/// What the rows of a manifest must say beside their cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// A label and a split.
    Split,
    /// A label; folds take the place of splits.
    Label,
    /// Nothing: they are new samples, whose labels may be known.
    Nothing,
}

/// A row before it is understood: its line, and its cells by column.
type Raw = (usize, BTreeMap<String, String>);

/// Reads a manifest.
pub(super) fn read(
    file: &Path,
    columns: &Columns,
    modalities: &BTreeMap<String, Decoding>,
    asked: Asked,
) -> Result<Vec<Row>> {
    let bytes = bytes(file)?;
    let text = aim_media::text::decode(&bytes, &file.display().to_string()).map_err(crate::front::refused)?;
    let json = text.trim_start().starts_with('{');
    let (names, raw) = if json { lines_of_json(file, &text)? } else { lines_of_csv(file, &text)? };
    let wanted = modalities.iter().map(|(name, decoding)| decoding.column(name));
    let (label, split) = (Some(columns.label.as_str()), Some(columns.split.as_str()));
    let fixed = match asked {
        Asked::Split => [label, split, columns.group.as_deref()],
        Asked::Label => [label, None, columns.group.as_deref()],
        Asked::Nothing => [None; 3],
    };
    for column in wanted.chain(fixed.into_iter().flatten()) {
        if !names.contains(column) {
            let have = names.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
            let remedy = match asked {
                Asked::Nothing => "add it, with empty cells if no sample has the modality",
                _ => "add it, or name another one under data.columns or as the modality's `column`",
            };
            let problem = format!("there is no column `{column}`, only {have}");
            return Err(Error::invalid(file.display().to_string(), problem, remedy));
        }
    }
    let mut faults = Faults::default();
    let rows: Vec<Row> =
        raw.iter().filter_map(|raw| understand(raw, columns, modalities, asked, &mut faults)).collect();
    same_ids(&rows, &mut faults);
    faults.refuse(file)?;
    if rows.is_empty() { Err(broken(file, "has no rows")) } else { Ok(rows) }
}

fn understand(
    (line, cells): &Raw,
    columns: &Columns,
    modalities: &BTreeMap<String, Decoding>,
    asked: Asked,
    faults: &mut Faults,
) -> Option<Row> {
    let cell = |name: &str| cells.get(name).map(|cell| cell.trim()).filter(|cell| !cell.is_empty());
    let label = cell(&columns.label).or((asked == Asked::Nothing).then_some(""));
    let label = faults.keep(*line, label.ok_or_else(|| "has no label".into()));
    let split = if asked == Asked::Split { part(cell(&columns.split)) } else { Ok(Part::Unused) };
    let split = faults.keep(*line, split);
    let times = faults.keep(*line, times(cell("start"), cell("end")));
    let values =
        modalities.iter().map(|(name, decoding)| (name.clone(), cell(decoding.column(name)).map(ToOwned::to_owned)));
    let values: BTreeMap<String, Option<String>> = values.collect();
    if values.values().all(Option::is_none) {
        faults.add(*line, "has none of the modalities");
    }
    Some(Row {
        line: *line,
        id: cell(&columns.id).map_or_else(|| format!("line{line}"), ToOwned::to_owned),
        part: split?,
        label: label?.to_owned(),
        group: cell(columns.group.as_deref().unwrap_or("group")).map(ToOwned::to_owned),
        cells: values,
        times: times?,
    })
}

fn part(cell: Option<&str>) -> Result<Part, String> {
    match cell.map(str::to_lowercase).as_deref() {
        Some("train" | "training") => Ok(Part::Train),
        Some("validation" | "valid" | "val" | "dev") => Ok(Part::Validation),
        Some("test") => Ok(Part::Test),
        Some(other) => Err(format!("split `{other}` is none of train, validation and test")),
        None => Err("has no split".into()),
    }
}

fn times(start: Option<&str>, end: Option<&str>) -> Result<[Option<f64>; 2], String> {
    let second = |cell: Option<&str>| {
        let number = |text: &str| text.parse::<f64>().ok().filter(|t| t.is_finite() && *t >= 0.);
        cell.map(|text| number(text).ok_or_else(|| format!("`{text}` is no time in seconds"))).transpose()
    };
    match [second(start)?, second(end)?] {
        [Some(start), Some(end)] if end <= start => Err(format!("ends at {end} s, before it starts at {start} s")),
        times => Ok(times),
    }
}

fn same_ids(rows: &[Row], faults: &mut Faults) {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for row in rows {
        if let Some(first) = seen.insert(&row.id, row.line) {
            faults.add(row.line, format!("id `{}` is that of line {first}, too", row.id));
        }
    }
}

/// Columns and rows of a table with a header; what separates its columns is what the header has most of.
fn lines_of_csv(file: &Path, text: &str) -> Result<(BTreeSet<String>, Vec<Raw>)> {
    let header = text.lines().next().unwrap_or_default();
    let many = |separator: &u8| header.bytes().filter(|byte| byte == separator).count();
    let separator = [b',', b';', b'\t'].into_iter().rev().max_by_key(many).unwrap_or(b',');
    let mut reader = ReaderBuilder::new().delimiter(separator).from_reader(text.as_bytes());
    let names: Vec<String> =
        reader.headers().map_err(|e| broken(file, e.to_string()))?.iter().map(|name| name.trim().to_owned()).collect();
    let columns: BTreeSet<String> = names.iter().filter(|name| !name.is_empty()).cloned().collect();
    let named = names.iter().filter(|name| !name.is_empty()).count();
    if named != columns.len() {
        return Err(broken(file, "two columns have one name"));
    }
    let (mut rows, mut faults) = (vec![], Faults::default());
    for record in reader.records() {
        match record {
            Ok(record) => {
                let line = record.position().map_or(0, |position| position.line() as usize);
                rows.push((line, names.iter().cloned().zip(record.iter().map(ToOwned::to_owned)).collect()));
            }
            Err(e) => faults.add(e.position().map_or(0, |position| position.line() as usize), e.to_string()),
        }
    }
    faults.refuse(file)?;
    Ok((columns, rows))
}

/// Columns and rows of a file with a JSON object a line; columns are the keys of all rows.
fn lines_of_json(file: &Path, text: &str) -> Result<(BTreeSet<String>, Vec<Raw>)> {
    let (mut columns, mut rows, mut faults) = (BTreeSet::new(), vec![], Faults::default());
    for (line, text) in text.lines().enumerate().map(|(i, text)| (i + 1, text)).filter(|(_, t)| !t.trim().is_empty()) {
        let object: Result<serde_json::Map<String, aim_config::Value>, _> = serde_json::from_str(text);
        let Some(object) = faults.keep(line, object.map_err(|e| format!("is no JSON object ({e})"))) else { continue };
        let mut cells = BTreeMap::new();
        for (name, value) in object {
            columns.insert(name.clone());
            match value {
                aim_config::Value::Null => {}
                aim_config::Value::String(text) => drop(cells.insert(name, text)),
                aim_config::Value::Number(number) => drop(cells.insert(name, number.to_string())),
                aim_config::Value::Bool(flag) => drop(cells.insert(name, flag.to_string())),
                other => faults.add(line, format!("`{name}` is {other}, where a text or a number is wanted")),
            }
        }
        rows.push((line, cells));
    }
    faults.refuse(file)?;
    Ok((columns, rows))
}
