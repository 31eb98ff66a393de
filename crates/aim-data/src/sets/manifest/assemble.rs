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

/// One modality of all rows.
struct Column {
    array: Array,
    /// Number of valid positions of each row, and their most.
    lengths: Option<(Vec<usize>, usize)>,
    present: Vec<bool>,
}

pub(super) fn dataset(settings: &Manifest, file: &Path, rows: &[Row]) -> Result<Dataset> {
    let class_names = classes(settings, rows);
    let mut faults = Faults::default();
    let labels: Vec<u32> = rows
        .iter()
        .map(|row| {
            let at = class_names.iter().position(|class| *class == row.label);
            if at.is_none() {
                faults.add(row.line, format!("label `{}` is none of class_names", row.label));
            }
            at.unwrap_or(0) as u32
        })
        .collect();
    let folder = file.parent().unwrap_or(Path::new(""));
    let mut columns = vec![];
    for (name, decoding) in &settings.modalities {
        columns.push(column(settings, (name, decoding), folder, rows, &mut faults)?);
    }
    faults.refuse(file)?;
    let split = |part: Part, name: &str| -> Result<Arc<dyn Source>> {
        let picks: Vec<usize> = (0..rows.len()).filter(|i| rows[*i].part == part).collect();
        if picks.is_empty() {
            return Err(broken(file, format!("has no row of the {name} split")));
        }
        let inputs = columns.iter().map(|column| column.input(&picks)).collect::<Result<_>>()?;
        let of = |values: &[u32]| picks.iter().map(|i| values[*i]).collect();
        let ids = picks.iter().map(|i| rows[*i].id.clone()).collect();
        let lacks = columns.iter().any(|column| picks.iter().any(|i| !column.present[*i]));
        let samples = Subset::of(inputs, of(&labels), ids)?;
        let present = columns.iter().map(|column| picks.iter().map(|i| column.present[*i]).collect()).collect();
        Ok(if lacks { Arc::new(Incomplete { samples, present }) } else { Arc::new(samples) })
    };
    Ok(Dataset {
        name: settings.file.file_stem().map_or("manifest".into(), |stem| stem.to_string_lossy().into_owned()),
        modalities: settings.modalities.keys().cloned().collect(),
        train: split(Part::Train, "training")?,
        validation: split(Part::Validation, "validation")?,
        test: split(Part::Test, "test")?,
        class_names,
    })
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

/// Decodes a modality of every row, several at a time; what cannot be read is noted.
fn column(
    settings: &Manifest,
    (name, decoding): (&str, &Decoding),
    folder: &Path,
    rows: &[Row],
    faults: &mut Faults,
) -> Result<Column> {
    let cells: Vec<Option<Cell<'_>>> =
        rows.iter().map(|row| row.cells[name].as_deref().map(|text| Cell { text, folder, times: row.times })).collect();
    let training: Vec<Cell<'_>> =
        rows.iter().zip(&cells).filter(|(row, _)| row.part == Part::Train).filter_map(|(_, cell)| *cell).collect();
    let place = format!("data.modalities.{name}");
    let decoder = decoding.open(&place, folder, &training).at(|| place.clone())?;
    let shape = decoder.shape();
    let size: usize = shape.iter().product();
    bounded(settings, &place, rows.len(), size)?;
    let decoded: Vec<Result<Option<Decoded>>> =
        cells.par_iter().map(|cell| cell.as_ref().map(|cell| checked(&*decoder, cell, size)).transpose()).collect();
    let mut array = Array { data: Vec::with_capacity(rows.len() * size), shape };
    let mut lengths = vec![];
    for (row, decoded) in rows.iter().zip(decoded) {
        let decoded = faults.keep(row.line, decoded.map_err(|e| format!("{name}: {e}"))).flatten();
        lengths.push(decoded.as_ref().and_then(|d| d.length).unwrap_or(0));
        array.data.extend(decoded.map_or_else(|| vec![0.; size], |d| d.values));
    }
    let present: Vec<bool> = cells.iter().map(Option::is_some).collect();
    standardise(&mut array, decoding.standardise, rows, &present);
    let lengths = decoder.positions().map(|most| (lengths, most));
    Ok(Column { array, lengths, present })
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

fn bounded(settings: &Manifest, place: &str, rows: usize, size: usize) -> Result<()> {
    let gib = (rows * size * 4) as f64 / f64::from(1 << 30);
    if gib <= settings.memory {
        return Ok(());
    }
    let remedy = format!("choose smaller samples, or set data.memory to {:.0} or more", gib.ceil());
    Err(Error::invalid(place, format!("decoded samples would take {gib:.1} GiB, more than data.memory"), remedy))
}

fn standardise(array: &mut Array, how: Standardise, rows: &[Row], present: &[bool]) {
    let fit = |i: &usize| rows[*i].part == Part::Train && present[*i];
    let fit: Vec<usize> = (0..rows.len()).filter(fit).collect();
    match how {
        Standardise::None => {}
        Standardise::Whole => array.standardise(&fit, Share::All),
        Standardise::Channel => array.standardise(&fit, Share::Channel),
        Standardise::Entry => array.standardise(&fit, Share::Feature),
    }
}

impl Column {
    /// The rows at `picks`, with their valid positions.
    fn input(&self, picks: &[usize]) -> Result<Input> {
        let values = self.array.tensor(picks)?;
        let Some((lengths, most)) = &self.lengths else { return Ok(values.into()) };
        let valid = picks.iter().flat_map(|i| (0..*most).map(|t| f32::from(u8::from(t < lengths[*i])))).collect();
        Input::padded(values, Tensor::from_vec(valid, (picks.len(), *most), &Device::Cpu)?)
    }
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
