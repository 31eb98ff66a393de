//! Features of a CSV file whose last column is the label.

use std::path::{Path, PathBuf};

use aim_core::{Error, Result};
use csv::{ReaderBuilder, StringRecord};

use crate::{
    files::{broken, open, unfit},
    table::Array,
};

/// Rows of features and their labels below `classes`, behind a header or without one.
pub(crate) fn features(path: &Path, header: bool, classes: u32) -> Result<(Array, Vec<u32>)> {
    let (mut data, mut labels, mut width) = (Vec::new(), Vec::new(), 0);
    let mut reader = ReaderBuilder::new().has_headers(header).from_reader(open(path)?);
    if header {
        // The reader's own errors name line and column counts.
        check_header(path, reader.headers().map_err(|e| broken(path, e.to_string()))?)?;
    }
    for (row, record) in reader.records().enumerate() {
        let record = record.map_err(|e| broken(path, e.to_string()))?;
        if row == 0 {
            check_first(path, &record)?;
        }
        width = record.len().saturating_sub(1);
        labels.push(label(path, row, &record, classes)?);
        for column in 0..width {
            data.push(number(path, row, column, &record)?);
        }
    }
    if labels.is_empty() || width == 0 {
        return Err(broken(path, "holds no rows of features and a label"));
    }
    Ok((Array { data, shape: vec![width] }.finite(&path.display().to_string())?, labels))
}

/// Refuses a header that is a sample: it would be lost, and every row behind it be another. Numbers that count many
/// columns, as data frames without names have, are names.
fn check_header(path: &Path, header: &StringRecord) -> Result<()> {
    // Names between commas may hold whatever they like.
    let one = Some(header).filter(|header| header.len() == 1);
    if let Some((problem, remedy)) = indexed(header).or_else(|| one.and_then(separated)) {
        return Err(unfit(path, problem, remedy));
    }
    if counts_columns(header) || header.iter().any(|field| field.trim().parse::<f64>().is_err()) {
        return Ok(());
    }
    Err(unfit(path, "has a sample in its first line, where a header with names is expected", "add the header again"))
}

/// Refuses a first row that shows how another program wrote the file in its own way.
fn check_first(path: &Path, record: &StringRecord) -> Result<()> {
    let further = || ("has a further header among its rows".into(), "leave one header, or none where none is expected");
    let counted = counts_columns(record).then(further);
    match counted.or_else(|| indexed(record)).or_else(|| separated(record)) {
        Some((problem, remedy)) => Err(unfit(path, problem, remedy)),
        None => Ok(()),
    }
}

/// Fewest fields that are taken for numbers of columns: fewer may well be a sample.
const COUNTED: usize = 5;

/// Whether all fields but the last, the label, count the columns from 0.
fn counts_columns(record: &StringRecord) -> bool {
    let mut fields = record.iter().take(record.len().saturating_sub(1)).enumerate();
    record.len() >= COUNTED && fields.all(|(i, field)| field.trim().parse() == Ok(i))
}

/// What a first row without a first name says: that row numbers follow.
fn indexed(record: &StringRecord) -> Option<(String, &'static str)> {
    let unnamed = record.len() > 1 && record.get(0).is_some_and(|field| field.trim().is_empty());
    let problem = "has a first column without a name, of row numbers as data frames write them by default";
    unnamed.then(|| (problem.into(), "write it without them (pandas: `to_csv(path, index=False)`)"))
}

/// The separator of fields that commas do not separate.
fn separated(record: &StringRecord) -> Option<(String, &'static str)> {
    let has = |separator: char| record.iter().any(|field| field.contains(separator));
    let (name, _) = [("`;`", ';'), ("tabs", '\t'), ("`|`", '|')].into_iter().find(|(_, separator)| has(*separator))?;
    let problem = format!("has its fields separated by {name}, not by commas");
    Some((problem, "write it with commas between fields, and points in numbers"))
}

/// Reads every modality from its own place, and what they must agree on: whose sample each row is.
pub(crate) fn modalities<T: PartialEq>(
    names: &[&str],
    place: impl Fn(&str) -> PathBuf,
    read: impl Fn(&str) -> Result<(Array, T)>,
) -> Result<(Vec<(String, Array)>, T)> {
    let (mut arrays, mut common) = (Vec::new(), None);
    for name in names {
        let (array, own) = read(name)?;
        if common.as_ref().is_some_and(|common| *common != own) {
            return Err(broken(&place(name), format!("its labels are not those of `{}`", names[0])));
        }
        common = Some(own);
        arrays.push((String::from(*name), array));
    }
    let common = common
        .ok_or_else(|| Error::invalid("data", "has no modality", "report this fault with the command that met it"))?;
    Ok((arrays, common))
}

fn number(path: &Path, row: usize, column: usize, record: &StringRecord) -> Result<f32> {
    let text = record[column].trim();
    let wrong =
        || unfit(path, format!("`{text}` in row {row}, column {column} is no number"), "write numbers as 0.5 or 5e-1");
    text.parse().map_err(|_| wrong())
}

fn label(path: &Path, row: usize, record: &StringRecord, classes: u32) -> Result<u32> {
    let text = record.iter().next_back().unwrap_or_default().trim();
    let problem = || format!("label `{text}` of row {row} is no class index below {classes}");
    let remedy = "put the class into the last column, as a whole number";
    text.parse().ok().filter(|l| *l < classes).ok_or_else(|| unfit(path, problem(), remedy))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(content: &str) -> Result<(Array, Vec<u32>), String> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content.as_bytes()).unwrap();
        features(file.path(), true, 2).map_err(|e| e.to_string())
    }

    #[test]
    fn reads_numbers_in_quotes_too() {
        let (array, labels) = read("a,b,y\n1,\"-2.5\",0\n3,4e-1,\"1\"\n").unwrap();
        assert_eq!((array.data, array.shape, labels), (vec![1., -2.5, 3., 0.4], vec![2], vec![0, 1]));
    }

    #[test]
    fn a_mark_of_byte_order_other_line_ends_and_counted_names_change_nothing() {
        let wanted = read("a,b,c,d,y\n1,2,5,6,0\n3,4,7,8,1\n").unwrap();
        for content in [
            "\u{feff}a,b,c,d,y\r\n1,2,5,6,0\r\n3,4,7,8,1\r\n",
            "0,1,2,3,0\n1,2,5,6,0\n3,4,7,8,1",
            "a,b,c,d,y\n1,2,5,6,0\n\n3,4,7,8,1\n\n",
            "x|1;2,b,c\t,d,y\n1,2,5,6,0\n3,4,7,8,1\n",
        ] {
            let found = read(content).unwrap();
            assert_eq!((found.0.data, found.1), (wanted.0.data.clone(), wanted.1.clone()), "{content:?}");
        }
    }

    #[test]
    fn modalities_must_agree_on_their_labels() {
        let array = || Array { data: vec![1.], shape: vec![1] };
        let read = |name: &str| Ok((array(), if name == "c" { 1 } else { 0 }));
        let of = |names: &[&str]| modalities(names, |name| PathBuf::from(name), read);
        assert_eq!(of(&["a", "b"]).unwrap().1, 0);
        let error = of(&["a", "b", "c"]).err().unwrap().to_string();
        assert!(error.starts_with("c: its labels are not those of `a`"), "{error}");
    }

    #[test]
    fn broken_files_are_named_with_row_and_column() {
        for (content, message) in [
            ("a,y\n1,2\n", "label `2` of row 0 is no class index below 2"),
            ("a,b,y\n1,2,0\n1,x,1\n", "`x` in row 1, column 1 is no number"),
            ("a,b,y\n1,2,0\n1,1\n", "record"),
            ("a,b,y\n1,2,0\nNaN,1,1\n", "sample 1` is not finite"),
            ("a,b,y\n", "holds no rows"),
            ("", "is empty"),
            ("1,2,0\n3,4,1\n", "has a sample in its first line, where a header"),
            ("0.5,1\n2,0\n", "has a sample in its first line"),
            ("0,1,0\n3,4,1\n", "has a sample in its first line"),
            ("a;b;y\n1,5;2;0\n", "separated by `;`, not by commas"),
            ("a,y\n1\t2\t0,1\n", "separated by tabs"),
            ("a\tb\ty\n1\t2\t0\n", "separated by tabs, not by commas"),
            ("0,1,2,3,y\n0,1,2,3,0\n1,2,1,1,1\n", "has a further header among its rows"),
            (",a,y\n0,5,1\n", "a first column without a name, of row numbers"),
            ("a,b,y\n,0,1\n0,5,1\n", "a first column without a name, of row numbers"),
            ("a,y\n1.5,1.0\n", "label `1.0` of row 0 is no class index below 2; put the class"),
            ("y\n1\n", "holds no rows of features and a label"),
            ("a,y\n1,-1\n", "label `-1` of row 0 is no class index below 2"),
        ] {
            let error = read(content).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }
}
