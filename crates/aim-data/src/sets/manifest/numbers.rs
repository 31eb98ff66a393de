//! Rows of arrays, and tables of numbers over time.

use std::path::{Path, PathBuf};

use aim_config::{by_type, choice, settings, whole, words};
use aim_core::{Error, Result};

use super::{
    decoding::{Cell, Decode, Decoded, Opens},
    keep::Kept,
};
use crate::{
    files::broken,
    read::npz::{self, Npz},
    table::Array,
};

settings! {
    /// Rows of a NumPy array; cells are the indices of rows, from 0.
    pub struct ArrayRows {
        /// The array: `.npy`, or `.npz` with `entry`; below the folder of the manifest.
        pub file: PathBuf = PathBuf::new() => words("a path").required(), "yours";
        /// Name of the array in an archive.
        pub entry: Option<String> = None => words("a name").shown("none"), "ours";
    }
}

choice! {
    /// Which axis of a series is time.
    pub enum TimeAxis {
        /// The first one: `[length, columns]`.
        TimeFirst = "time-first",
        /// The last one: `[columns, length]`.
        ChannelsFirst = "channels-first",
    }
}

settings! {
    /// CSV files of numbers, a row a moment: cut at the end, or padded with zeros.
    pub struct Series {
        /// Number of moments that are kept.
        pub length: usize = 100 => whole(1, 1_000_000), "ours";
        /// Number of columns.
        pub columns: usize = 1 => whole(1, 100_000), "yours";
        /// Axes of a sample: `[length, columns]`, as `transformer` reads it | `[columns, length]`, as `cnn`, `sequence`
        /// and `statistics` do.
        pub layout: TimeAxis = TimeAxis::TimeFirst => by_type(), "ours";
        /// Whether the first line is a header.
        pub header: bool = true => by_type(), "ours";
    }
}

impl ArrayRows {
    /// Shape of the whole array, `[N, ...]`, of which only the header is read.
    pub(super) fn extent(&self, folder: &Path) -> Result<Vec<usize>> {
        let path = folder.join(&self.file);
        let mut shape = match &self.entry {
            Some(entry) => Npz::open(path)?.shape(entry)?,
            None => npz::npy_shape(&path)?,
        };
        shape.resize(shape.len().max(2), 1);
        Ok(shape)
    }
}

impl Opens for ArrayRows {
    fn open(&self, folder: &Path) -> Result<Box<dyn Decode>> {
        let path = folder.join(&self.file);
        let mut array = match &self.entry {
            Some(entry) => Npz::open(path)?.whole_array(entry)?,
            None => npz::npy(&path)?,
        };
        // A number a sample is a feature of one entry.
        if array.shape.is_empty() {
            array.shape.push(1);
        }
        Ok(Box::new(array))
    }
}

impl Decode for Array {
    fn shape(&self) -> Vec<usize> {
        self.shape.clone()
    }
    fn keep(&self, cell: &Cell<'_>) -> Result<Kept> {
        let rows = self.data.len() / self.size().max(1);
        let row = cell.text.parse().ok().filter(|row| *row < rows);
        let row: usize = row.ok_or_else(|| {
            Error::invalid(cell.text, format!("is no row of an array of {rows} rows"), "give an index, counted from 0")
        })?;
        Ok(Kept::Values(self.data[row * self.size()..][..self.size()].to_vec().into()))
    }
}

/// A finite number as a file of a series has it.
fn number(field: &str) -> Option<f32> {
    field.trim().parse::<f32>().ok().filter(|value| value.is_finite())
}

/// A file that is as it should be, but not as the settings say.
fn set(path: &Path, problem: impl Into<String>, setting: &str) -> Error {
    Error::invalid(path.display().to_string(), problem, format!("set {setting}, unless the file is wrong"))
}

impl Opens for Series {
    fn open(&self, _: &Path) -> Result<Box<dyn Decode>> {
        Ok(Box::new(self.clone()))
    }
}

impl Decode for Series {
    fn shape(&self) -> Vec<usize> {
        match self.layout {
            TimeAxis::TimeFirst => vec![self.length, self.columns],
            TimeAxis::ChannelsFirst => vec![self.columns, self.length],
        }
    }
    fn positions(&self) -> Option<usize> {
        Some(self.length)
    }
    fn time_first(&self) -> bool {
        self.layout == TimeAxis::TimeFirst
    }
    fn keep(&self, cell: &Cell<'_>) -> Result<Kept> {
        let path = cell.path()?;
        let text = aim_media::text::read(&path).map_err(crate::front::refused)?;
        let mut values = vec![];
        let mut reader = csv::ReaderBuilder::new().has_headers(self.header).from_reader(text.as_bytes());
        if self.header {
            let head = reader.headers().map_err(|e| broken(&path, e.to_string()))?;
            // Whoever writes columns without names may number them, as pandas does.
            let numbered = head.iter().enumerate().all(|(i, name)| name == i.to_string());
            if head.iter().all(|name| number(name).is_some()) && !(numbered && head.len() > 1) {
                return Err(set(
                    &path,
                    "begins with numbers, which would be passed over as a header",
                    "`header: false`",
                ));
            }
        }
        for (line, record) in reader.records().take(self.length).enumerate() {
            let record = record.map_err(|e| broken(&path, e.to_string()))?;
            if record.len() != self.columns {
                let problem = format!("has {} columns, `columns` says {}", record.len(), self.columns);
                return Err(set(&path, problem, &format!("`columns: {}`", record.len())));
            }
            if line == 0 && !self.header && record.iter().all(|field| number(field).is_none()) {
                return Err(set(&path, "begins with names", "`header: true`"));
            }
            for field in &record {
                values.push(number(field).ok_or_else(|| broken(&path, format!("`{field}` is no finite number")))?);
            }
        }
        let length = values.len() / self.columns;
        if length == 0 {
            return Err(broken(&path, "holds no rows of numbers"));
        }
        values.resize(self.length * self.columns, 0.);
        if !self.time_first() {
            values = Array { data: values, shape: vec![self.length, self.columns] }.transposed().data;
        }
        Ok(Kept::Values(Decoded { values, length: Some(length) }))
    }
}
