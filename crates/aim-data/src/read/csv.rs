//! Features of a CSV file whose last column is the label.

use std::path::{Path, PathBuf};

use aim_core::{Error, Result};
use csv::{ReaderBuilder, StringRecord};

use crate::{
    files::{broken, open},
    table::Array,
};

/// Rows of features and their labels below `classes`; the first row is skipped if it is a header.
pub(crate) fn features(path: &Path, header: bool, classes: u32) -> Result<(Array, Vec<u32>)> {
    let (mut data, mut labels, mut width) = (Vec::new(), Vec::new(), 0);
    for (row, record) in ReaderBuilder::new().has_headers(header).from_reader(open(path)?).records().enumerate() {
        // The reader's own errors name line and column counts.
        let record = record.map_err(|e| broken(path, e.to_string()))?;
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
    text.parse().map_err(|_| broken(path, format!("`{text}` in row {row}, column {column} is no number")))
}

fn label(path: &Path, row: usize, record: &StringRecord, classes: u32) -> Result<u32> {
    let text = record.iter().next_back().unwrap_or_default().trim();
    let problem = || format!("label `{text}` of row {row} is no class index below {classes}");
    text.parse().ok().filter(|l| *l < classes).ok_or_else(|| broken(path, problem()))
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
            ("", "holds no rows"),
            ("y\n1\n", "holds no rows of features and a label"),
            ("a,y\n1,-1\n", "label `-1` of row 0 is no class index below 2"),
        ] {
            let error = read(content).unwrap_err();
            assert!(error.contains(message), "{error}");
        }
    }
}
