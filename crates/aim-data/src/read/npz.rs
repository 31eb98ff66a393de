//! Arrays of a NumPy archive: numbers of any common type as f32, whole numbers, and texts.

use std::{fs::File, io, io::BufReader, io::Read, path::PathBuf};

use aim_core::{Error, Result};
use half::f16;
use npyz::{Deserialize, NpyFile, NpyHeader, Order, npz::NpzArchive};

use crate::{
    files::{broken, open},
    table::Array,
};

/// An open archive.
pub(crate) struct Npz {
    path: PathBuf,
    archive: NpzArchive<BufReader<File>>,
}

impl Npz {
    /// Opens the archive.
    pub fn open(path: PathBuf) -> Result<Self> {
        let archive = NpzArchive::new(open(&path)?);
        let archive = archive.map_err(|e| broken(&path, format!("is no complete npz archive ({e})")))?;
        Ok(Self { path, archive })
    }

    /// Entries of the array on its first axis.
    pub fn len(&mut self, name: &str) -> Result<usize> {
        let shape = self.member(name)?.0;
        shape.first().copied().ok_or_else(|| Error::shape(self.place(name), &shape, "[N, ...]"))
    }

    /// An array of shape `[len, shape ...]` as a modality of finite numbers.
    pub fn array(&mut self, name: &str, len: usize, shape: &[usize]) -> Result<Array> {
        let (header, bytes) = self.raw(name, &[&[len][..], shape].concat())?;
        let data = numbers(header, bytes).map_err(|e| self.broken(name, e))?;
        Array { data, shape: shape.to_vec() }.finite(&self.place(name))
    }

    /// A column of texts.
    pub fn texts(&mut self, name: &str, len: usize) -> Result<Vec<String>> {
        self.column(name, len)
    }

    /// A column of whole numbers.
    pub fn whole(&mut self, name: &str, len: usize) -> Result<Vec<i64>> {
        self.column(name, len)
    }

    /// A column of class indices below `classes`.
    pub fn labels(&mut self, name: &str, len: usize, classes: usize) -> Result<Vec<u32>> {
        let column = self.column::<i64>(name, len)?;
        let check = |(row, label): (usize, i64)| {
            let fits = usize::try_from(label).is_ok_and(|l| l < classes);
            let problem = || format!("label {label} of row {row} is out of range, labels must be below {classes}");
            fits.then_some(label as u32).ok_or_else(|| broken(&self.path, problem()))
        };
        column.into_iter().enumerate().map(check).collect()
    }

    fn column<T: Deserialize>(&mut self, name: &str, len: usize) -> Result<Vec<T>> {
        let (header, bytes) = self.raw(name, &[len])?;
        NpyFile::with_header(header, &bytes[..]).into_vec().map_err(|e| self.broken(name, e))
    }

    /// Header and whole content of an array, whose size and shape are as they should be.
    fn raw(&mut self, name: &str, want: &[usize]) -> Result<(NpyHeader, Vec<u8>)> {
        let (shape, file) = self.member(name)?;
        let header = file.header().clone();
        let mut bytes = Vec::new();
        let read = file.into_inner().read_to_end(&mut bytes);
        read.map_err(|e| self.broken(name, e))?;
        if shape != want {
            return Err(Error::shape(self.place(name), &shape, format!("{want:?}")));
        }
        let size = header.dtype().num_bytes().map(|b| b * want.iter().product::<usize>());
        if size != Some(bytes.len()) || header.order() == Order::Fortran {
            return Err(self.broken(name, "it does not hold as many values as it says, or not in C order"));
        }
        Ok((header, bytes))
    }

    fn member(&mut self, name: &str) -> Result<(Vec<usize>, NpyFile<impl Read>)> {
        let file = match self.archive.by_name(name) {
            Ok(Some(file)) => file,
            Ok(None) => return Err(broken(&self.path, format!("has no array `{name}`"))),
            Err(e) => return Err(broken(&self.path, format!("array `{name}` cannot be read ({e})"))),
        };
        Ok((file.shape().iter().map(|d| *d as usize).collect(), file))
    }

    fn place(&self, name: &str) -> String {
        format!("{}: {name}", self.path.display())
    }

    fn broken(&self, name: &str, problem: impl ToString) -> Error {
        broken(&self.path, format!("array `{name}` cannot be read ({})", problem.to_string()))
    }
}

fn numbers(header: NpyHeader, bytes: Vec<u8>) -> io::Result<Vec<f32>> {
    let kind = header.dtype().descr();
    let file = NpyFile::with_header(header, &bytes[..]);
    match kind.trim_matches('\'') {
        // The largest arrays by far: no detour over a reader of single values.
        "|u1" => Ok(bytes.iter().map(|b| f32::from(*b)).collect()),
        "<i2" => cast(file, |v: i16| f32::from(v)),
        "<f2" => cast(file, f16::to_f32),
        "<f4" => cast(file, |v: f32| v),
        "<f8" => cast(file, |v: f64| v as f32),
        other => Err(io::Error::other(format!("type {other} is not one of u1, i2, f2, f4, f8"))),
    }
}

fn cast<T: Deserialize>(file: NpyFile<&[u8]>, to: impl Fn(T) -> f32) -> io::Result<Vec<f32>> {
    file.data::<T>().map_err(io::Error::other)?.map(|v| v.map(&to)).collect()
}
