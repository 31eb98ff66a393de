//! From rows to a dataset in memory.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use aim_core::{Context, Error, Input, Result};
use candle_core::{Device, Tensor};
use rayon::prelude::*;

use super::{
    Manifest, Standardise,
    decoding::{Cell, Decode, Decoded, Decoding},
    faults::Faults,
    rows::Row,
};
use crate::{
    Dataset, Source, Subset,
    files::broken,
    table::{Array, Part, Share},
};

/// The splits in the order of a [`Dataset`].
const PARTS: [(Part, &str); 3] = [(Part::Train, "training"), (Part::Validation, "validation"), (Part::Test, "test")];

/// One modality before it is decoded.
struct Opened<'a> {
    name: &'a str,
    standardise: Standardise,
    cells: Vec<Option<Cell<'a>>>,
    decoder: Box<dyn Decode>,
}

pub(super) fn dataset(settings: &Manifest, file: &Path, rows: &[Row]) -> Result<Dataset> {
    let folder = file.parent().unwrap_or(Path::new(""));
    let opened = settings.modalities.iter().map(|(name, decoding)| open(name, decoding, folder, rows));
    let opened: Vec<Opened<'_>> = opened.collect::<Result<_>>()?;
    let class_names = classes(settings, rows);
    let picks = PARTS.map(|(part, _)| (0..rows.len()).filter(|i| rows[*i].part == part).collect::<Vec<_>>());
    if let Some((_, (_, name))) = picks.iter().zip(PARTS).find(|(picks, _)| picks.is_empty()) {
        return Err(broken(file, format!("has no row of the {name} split")));
    }
    bounded(settings, &opened, rows.len())?;
    let mut faults = Faults::default();
    let labels = labels(rows, &class_names, &mut faults);
    let mut inputs: [Vec<Input>; 3] = Default::default();
    // One modality after the other, so that no more than one of them is in memory twice.
    for one in &opened {
        for (all, own) in inputs.iter_mut().zip(decode(one, rows, &picks, &mut faults)?) {
            all.push(own);
        }
    }
    faults.refuse(file)?;
    let split = |(inputs, picks): (Vec<Input>, &Vec<usize>)| -> Result<Arc<dyn Source>> {
        let of = |values: &[u32]| picks.iter().map(|i| values[*i]).collect();
        let ids = picks.iter().map(|i| rows[*i].id.clone()).collect();
        let samples = Subset::of(inputs, of(&labels), ids)?;
        let has = |one: &Opened<'_>| picks.iter().map(|i| one.cells[*i].is_some()).collect();
        let present: Vec<Vec<bool>> = opened.iter().map(has).collect();
        let whole = present.iter().flatten().all(|has| *has);
        Ok(if whole { Arc::new(samples) } else { Arc::new(Incomplete { samples, present }) })
    };
    let splits = inputs.into_iter().zip(&picks).map(split).collect::<Result<Vec<_>>>()?;
    let [train, validation, test] = splits.try_into().map_err(|_| broken(file, "has no three splits"))?;
    let name = settings.file.file_stem().map_or("manifest".into(), |stem| stem.to_string_lossy().into_owned());
    let modalities = settings.modalities.keys().cloned().collect();
    Ok(Dataset { name, modalities, class_names, train, validation, test })
}

/// Class index of each row.
fn labels(rows: &[Row], class_names: &[String], faults: &mut Faults) -> Vec<u32> {
    let mut label = |row: &Row| {
        let at = class_names.iter().position(|class| *class == row.label);
        let at = at.ok_or_else(|| format!("label `{}` is none of class_names", row.label));
        faults.keep(row.line, at).unwrap_or(0) as u32
    };
    rows.iter().map(&mut label).collect()
}

/// The classes: those of the setting, or else the labels of all rows, whole numbers by size and the rest by alphabet.
fn classes(settings: &Manifest, rows: &[Row]) -> Vec<String> {
    settings.class_names.clone().unwrap_or_else(|| {
        let mut names: Vec<String> =
            rows.iter().map(|row| row.label.clone()).collect::<BTreeSet<_>>().into_iter().collect();
        let numbers: Option<Vec<i64>> = names.iter().map(|name| name.parse().ok()).collect();
        if numbers.is_some() {
            names.sort_by_key(|name| name.parse::<i64>().unwrap_or(0));
        }
        names
    })
}

fn open<'a>(name: &'a str, decoding: &Decoding, folder: &'a Path, rows: &'a [Row]) -> Result<Opened<'a>> {
    let cell = |row: &'a Row| row.cells[name].as_deref().map(|text| Cell { text, folder, times: row.times });
    let cells: Vec<Option<Cell<'a>>> = rows.iter().map(cell).collect();
    let training = rows.iter().zip(&cells).filter(|(row, _)| row.part == Part::Train);
    let training: Vec<Cell<'a>> = training.filter_map(|(_, cell)| *cell).collect();
    let place = format!("data.modalities.{name}");
    let decoder = decoding.open(&place, folder, &training).at(|| place.clone())?;
    if decoder.shape().contains(&0) {
        return Err(Error::shape(place, &decoder.shape(), "samples with at least one value"));
    }
    Ok(Opened { name, standardise: decoding.standardise, cells, decoder })
}

/// Decodes a modality of every row, several at a time, and gives it by split; what cannot be read is noted.
fn decode(one: &Opened<'_>, rows: &[Row], picks: &[Vec<usize>; 3], faults: &mut Faults) -> Result<Vec<Input>> {
    let shape = one.decoder.shape();
    let size: usize = shape.iter().product();
    let mut array = Array { data: vec![0.; rows.len() * size], shape };
    let samples = array.data.par_chunks_mut(size).zip(&one.cells);
    let lengths: Vec<Result<usize>> = samples
        .map(|(out, cell)| {
            let Some(cell) = cell else { return Ok(0) };
            let decoded = checked(&*one.decoder, cell, size)?;
            out.copy_from_slice(&decoded.values);
            Ok(decoded.length.unwrap_or(0))
        })
        .collect();
    let mut length = |(row, length): (&Row, Result<usize>)| {
        faults.keep(row.line, length.map_err(|e| format!("{}: {e}", one.name))).unwrap_or(0)
    };
    let lengths: Vec<usize> = rows.iter().zip(lengths).map(&mut length).collect();
    let fit: Vec<usize> = picks[0].iter().copied().filter(|i| one.cells[*i].is_some()).collect();
    match one.standardise {
        Standardise::None => {}
        Standardise::Whole => array.standardise(&fit, Share::All),
        Standardise::Channel => array.standardise(&fit, Share::Channel),
        Standardise::Entry => array.standardise(&fit, Share::Feature),
    }
    picks.iter().map(|picks| input(&array, &lengths, one.decoder.positions(), picks)).collect()
}

/// The rows at `picks`, with their valid positions where samples differ in length.
fn input(array: &Array, lengths: &[usize], positions: Option<usize>, picks: &[usize]) -> Result<Input> {
    let values = array.tensor(picks)?;
    let Some(most) = positions else { return Ok(values.into()) };
    let valid = picks.iter().flat_map(|i| (0..most).map(|t| f32::from(u8::from(t < lengths[*i])))).collect();
    Input::padded(values, Tensor::from_vec(valid, (picks.len(), most), &Device::Cpu)?)
}

fn checked(decoder: &dyn Decode, cell: &Cell<'_>, size: usize) -> Result<Decoded> {
    let decoded = decoder.decode(cell)?;
    if decoded.values.len() != size {
        return Err(Error::shape(cell.text, &[decoded.values.len()], format!("{size} values")));
    }
    match decoded.values.iter().find(|value| !value.is_finite()) {
        Some(value) => Err(Error::invalid(cell.text, format!("decodes to {value}"), "mend the file")),
        None => Ok(decoded),
    }
}

fn bounded(settings: &Manifest, opened: &[Opened<'_>], rows: usize) -> Result<()> {
    let values = opened.iter().map(|one| one.decoder.shape().iter().map(|d| *d as f64).product::<f64>()).sum::<f64>();
    let gib = rows as f64 * values * 4. / f64::from(1 << 30);
    if gib <= settings.memory {
        return Ok(());
    }
    let remedy = format!("choose smaller samples, or set data.memory to {:.0} or more", gib.ceil());
    Err(Error::invalid("data", format!("decoded samples would take {gib:.1} GiB, more than data.memory"), remedy))
}

/// A split in which samples lack modalities.
struct Incomplete {
    samples: Subset,
    /// By modality and sample.
    present: Vec<Vec<bool>>,
}

impl Source for Incomplete {
    fn labels(&self) -> &[u32] {
        self.samples.labels()
    }
    fn ids(&self) -> &[String] {
        self.samples.ids()
    }
    fn shapes(&self) -> &[Vec<usize>] {
        self.samples.shapes()
    }
    fn input(&self, modality: usize, index: &[usize], device: &Device) -> Result<Input> {
        self.samples.input(modality, index, device)
    }
    fn has(&self, sample: usize, modality: usize) -> bool {
        self.present[modality][sample]
    }
}
