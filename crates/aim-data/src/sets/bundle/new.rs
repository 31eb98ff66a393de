//! New samples: tensors without labels, in a safetensors file or a NumPy archive.

use std::{borrow::Borrow, path::Path};

use aim_core::{Batch, Error, Result};
use candle_core::Device;
use safetensors::SafeTensors;

use super::{blank, ids, present};
use crate::{
    Modality, Source, Subset,
    files::{broken, bytes, existing, unfit},
    new::Reads,
    read::{npz::Npz, tensors},
    sets::Faults,
    table::Array,
};

/// Most samples that a message names.
const LISTED: usize = 20;

/// Tensors in memory.
pub(crate) struct NewArrays(Subset);

/// What a file holds.
struct Content {
    /// A modality each.
    arrays: Vec<Array>,
    /// By modality and sample.
    present: Vec<Vec<bool>>,
    ids: Option<Vec<String>>,
    labels: Option<Vec<f64>>,
}

impl NewArrays {
    /// Reads `x.<modality>` `[N, ...]` of every modality and, if they are there, `present.<modality>`, `id` and `y`,
    /// `[N]` each.
    pub fn open(
        file: &Path,
        modalities: &[Modality],
        classes: &[String],
    ) -> Result<(Self, Vec<String>, Vec<Option<u32>>)> {
        let path = existing(file.into())?;
        let archive = path.extension().is_some_and(|end| end == "npz");
        let mut content = if archive { from_npz(&path, modalities)? } else { from_tensors(&path, modalities)? };
        let len = content.arrays.first().map_or(0, |array| array.data.len() / array.size().max(1));
        if len == 0 {
            return Err(broken(&path, "holds no samples"));
        }
        let ids = content.ids.unwrap_or_else(|| (0..len).map(|i| i.to_string()).collect());
        let labels = labels(&path, content.labels, len, classes.len())?;
        content.arrays.iter_mut().zip(&content.present).for_each(|(array, present)| blank(array, present));
        for (modality, array) in modalities.iter().zip(&content.arrays) {
            finite(&path, modality, array, &ids)?;
        }
        let all: Vec<usize> = (0..len).collect();
        let tensors = content.arrays.into_iter().map(|array| array.tensor(&all)).collect::<Result<_>>()?;
        let samples = Subset::new(tensors, vec![0; len], ids.clone())?.present(content.present)?;
        Ok((Self(samples), ids, labels))
    }
}

impl Reads for NewArrays {
    fn read(&self, index: &[usize], device: &Device, _: &mut Faults) -> Result<Option<Batch>> {
        self.0.batch(index, device).map(Some)
    }
    fn has(&self, sample: usize, modality: usize) -> bool {
        self.0.has(sample, modality)
    }
}

fn from_tensors(path: &Path, modalities: &[Modality]) -> Result<Content> {
    let bytes = bytes(path)?;
    let file = tensors::parse(path, &bytes)?;
    let len = modalities.first().map(|m| shape(path, &file, m)).transpose()?.and_then(|shape| shape.first().copied());
    let len = len.unwrap_or(0);
    let array = |m: &Modality| {
        fits(path, m, &shape(path, &file, m)?, len)?;
        let name = format!("x.{}", m.name);
        let view = file.tensor(&name).map_err(|e| broken(path, e.to_string()))?;
        Ok(Array { data: tensors::floats(path, &name, &view)?, shape: m.shape.clone() })
    };
    let arrays = modalities.iter().map(array).collect::<Result<_>>()?;
    let present = modalities.iter().map(|m| present(path, &file, &m.name, len)).collect::<Result<_>>()?;
    let given = file.tensor("id").is_ok();
    let ids = given.then(|| ids(path, &file, "", len)).transpose()?;
    let labels = file.tensor("y").ok().map(|view| tensors::wholes(path, "y", &view)).transpose()?;
    let number = |label: Result<i128, f64>| label.map_or_else(|float| float, |whole| whole as f64);
    Ok(Content { arrays, present, ids, labels: labels.map(|all| all.into_iter().map(number).collect()) })
}

fn shape(path: &Path, file: &SafeTensors<'_>, modality: &Modality) -> Result<Vec<usize>> {
    let name = format!("x.{}", modality.name);
    let view = file.tensor(&name).map_err(|_| lacks(path, &name, &file.names()))?;
    Ok(view.shape().to_vec())
}

fn from_npz(path: &Path, modalities: &[Modality]) -> Result<Content> {
    let mut file = Npz::open(path.into())?;
    let mut arrays: Vec<Array> = vec![];
    let mut len = None;
    for m in modalities {
        let name = format!("x.{}", m.name);
        if !file.has(&name) {
            return Err(lacks(path, &name, &file.names()));
        }
        let got = file.shape(&name)?;
        let samples = *len.get_or_insert(got.first().copied().unwrap_or(0));
        fits(path, m, &got, samples)?;
        arrays.push(file.numbers(&name, samples, &m.shape)?);
    }
    let len = len.unwrap_or(0);
    let mut present = vec![];
    for name in modalities.iter().map(|m| format!("present.{}", m.name)) {
        let flags = if file.has(&name) { file.whole(&name, len)? } else { vec![1; len] };
        if let Some((row, flag)) = flags.iter().enumerate().find(|(_, flag)| ![0, 1].contains(*flag)) {
            return Err(unfit(path, format!("{name} is {flag} in row {row}"), "store 1 where a sample has it, else 0"));
        }
        present.push(flags.iter().map(|flag| *flag == 1).collect());
    }
    let ids = file.has("id").then(|| file.names_of("id", len)).transpose()?;
    let labels = file.has("y").then(|| file.whole("y", len)).transpose()?;
    Ok(Content { arrays, present, ids, labels: labels.map(|all| all.into_iter().map(|label| label as f64).collect()) })
}

fn lacks<S: Borrow<str>>(path: &Path, name: &str, have: &[S]) -> Error {
    let have = have.join(", ");
    let remedy = "give every modality that the network reads, or a run on the set that this file is of";
    Error::invalid(path.display().to_string(), format!("has no `{name}`, only {have}"), remedy)
}

/// Refuses a tensor that is not as many samples as the first modality has, of the shape of training.
fn fits(path: &Path, modality: &Modality, got: &[usize], len: usize) -> Result<()> {
    let want = [&[len][..], &modality.shape].concat();
    if got == want {
        return Ok(());
    }
    let place = format!("{}: x.{}", path.display(), modality.name);
    Err(Error::shape(place, got, format!("{want:?}, {len} samples of the shape of training,")))
}

/// Classes of the samples, if the file says them.
fn labels(path: &Path, given: Option<Vec<f64>>, len: usize, classes: usize) -> Result<Vec<Option<u32>>> {
    let Some(given) = given else { return Ok(vec![None; len]) };
    if given.len() != len {
        return Err(Error::shape(format!("{}: y", path.display()), &[given.len()], format!("[{len}]")));
    }
    let class = |(row, label): (usize, f64)| {
        let known = label >= 0. && label < classes as f64 && label.fract() == 0.;
        let problem = || format!("y of row {row} is {label}, and the network has {classes} classes");
        let unknown = || Error::invalid(path.display().to_string(), problem(), "correct it, or leave `y` out");
        known.then_some(Some(label as u32)).ok_or_else(unknown)
    };
    given.into_iter().enumerate().map(class).collect()
}

/// Refuses samples with values that are not finite, and names them.
fn finite(path: &Path, modality: &Modality, array: &Array, ids: &[String]) -> Result<()> {
    let rows = array.data.chunks(array.size().max(1)).zip(ids);
    let bad: Vec<&str> =
        rows.filter(|(row, _)| row.iter().any(|v| !v.is_finite())).map(|(_, id)| id.as_str()).collect();
    if bad.is_empty() {
        return Ok(());
    }
    let more = if bad.len() > LISTED { format!(" and {} more", bad.len() - LISTED) } else { String::new() };
    let named = bad.iter().take(LISTED).copied().collect::<Vec<_>>().join(", ");
    let problem = format!("has values that are not finite in samples {named}{more}");
    let place = format!("{}: x.{}", path.display(), modality.name);
    Err(Error::invalid(place, problem, "mend these samples or take them out"))
}
