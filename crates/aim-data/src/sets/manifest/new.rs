//! New samples: rows of a manifest without splits, which a trained network's pre-processing reads.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use aim_core::{Batch, Context, Error, Input, Result};
use candle_core::{DType, Device, Tensor};
use rayon::prelude::*;

use super::{
    Columns, Decoding,
    assemble::{checked, padded},
    decoding::{Cell, Decode},
    faults::Faults,
    keep::Draw,
    rows::{Asked, Row, read},
};
use crate::{Modality, files::existing, new::Reads, source::present, table::Moments};

/// A modality of new samples.
struct Part {
    name: String,
    decoder: Box<dyn Decode>,
    moments: Option<Moments>,
}

/// Rows whose files are decoded when they are asked for.
pub(crate) struct NewRows {
    folder: PathBuf,
    rows: Vec<Row>,
    parts: Vec<Part>,
}

impl NewRows {
    /// Reads the rows of a manifest, with their names and classes.
    pub fn open(
        file: &Path,
        columns: &Columns,
        decodings: &BTreeMap<String, Decoding>,
        modalities: &[Modality],
        classes: &[String],
    ) -> Result<(Self, Vec<String>, Vec<Option<u32>>)> {
        let file = existing(file.into())?;
        let folder = file.parent().unwrap_or(Path::new("")).to_path_buf();
        let own: BTreeMap<_, _> = modalities.iter().filter_map(|m| decodings.get_key_value(&m.name)).collect();
        let own = own.into_iter().map(|(name, decoding)| (name.clone(), decoding.clone())).collect();
        let rows = read(&file, columns, &own, Asked::Nothing)?;
        let parts = modalities.iter().map(|m| Part::open(m, &own, &folder)).collect::<Result<_>>()?;
        let labels = labels(&rows, classes, &file)?;
        let ids = rows.iter().map(|row| row.id.clone()).collect();
        Ok((Self { folder, rows, parts }, ids, labels))
    }

    /// Values and number of valid positions of a row; zeros where it lacks the modality.
    fn values(&self, part: &Part, row: &Row) -> Result<(Vec<f32>, usize)> {
        let size = part.decoder.shape().iter().product();
        let Some(text) = &row.cells[&part.name] else { return Ok((vec![0.; size], 0)) };
        let kept = part.decoder.keep(&Cell { id: &row.id, text, folder: &self.folder, times: row.times })?;
        let draw = Draw { modality: &part.name, id: &row.id, showing: None };
        let mut decoded = checked(part.decoder.show(&kept, &draw)?, text, size)?;
        let length = decoded.length.unwrap_or(0);
        let real = part.decoder.real(length);
        part.moments.iter().for_each(|moments| moments.apply(&mut decoded.values, real));
        Ok((decoded.values, length))
    }

    /// A modality of the rows at `index`; none if one cannot be read.
    fn input(&self, part: &Part, index: &[usize], device: &Device, faults: &mut Faults) -> Result<Option<Input>> {
        let seen: Vec<Result<_>> = index.par_iter().map(|i| self.values(part, &self.rows[*i])).collect();
        let note = |(i, seen): (&usize, Result<_>)| {
            faults.keep(self.rows[*i].line, seen.map_err(|e| format!("{}: {e}", part.name)))
        };
        let seen: Vec<(Vec<f32>, usize)> = index.iter().zip(seen).filter_map(note).collect();
        if seen.len() < index.len() {
            return Ok(None);
        }
        let (values, lengths): (Vec<_>, Vec<_>) = seen.into_iter().unzip();
        let shape = [&[index.len()][..], &part.decoder.shape()].concat();
        let values = Tensor::from_vec(values.concat(), shape, device)?;
        padded(values, &lengths, part.decoder.positions()).map(Some)
    }
}

impl Part {
    /// The decoder of a modality as it was trained with, which must give samples of the network's shape.
    fn open(modality: &Modality, decodings: &BTreeMap<String, Decoding>, folder: &Path) -> Result<Self> {
        let Modality { name, shape, fitted } = modality;
        let place = format!("data.modalities.{name}");
        let lacks = || Error::invalid(&place, "is not decoded", "read new samples with the settings of the training");
        let fitted = fitted.clone().unwrap_or_default();
        let decoding = decodings.get(name).ok_or_else(lacks)?;
        let decoder = decoding.open_fitted(&place, folder, &fitted.learnt).at(|| place.clone())?;
        if decoder.shape() != *shape {
            return Err(Error::shape(place, &decoder.shape(), format!("{shape:?}, as in training,")));
        }
        if fitted.moments.as_ref().is_some_and(|moments| !moments.fits(shape.iter().product())) {
            let remedy = "read new samples with what was stored when the network was trained";
            return Err(Error::invalid(place, "has means of samples of another shape", remedy));
        }
        Ok(Self { name: name.clone(), decoder, moments: fitted.moments })
    }
}

impl Reads for NewRows {
    fn read(&self, index: &[usize], device: &Device, faults: &mut Faults) -> Result<Option<Batch>> {
        // Every modality is read, so that all faults of a row are noted.
        let inputs =
            self.parts.iter().map(|part| self.input(part, index, device, faults)).collect::<Result<Vec<_>>>()?;
        let Some(inputs) = inputs.into_iter().collect() else { return Ok(None) };
        let mut batch = Batch::of(inputs, Tensor::zeros(index.len(), DType::U32, device)?)?;
        let has: Vec<Vec<bool>> =
            index.iter().map(|i| (0..self.parts.len()).map(|m| self.has(*i, m)).collect()).collect();
        batch.present = present(&has, device)?;
        batch.ids = index.to_vec();
        Ok(Some(batch))
    }
    fn has(&self, sample: usize, modality: usize) -> bool {
        self.rows[sample].cells[&self.parts[modality].name].is_some()
    }
}

/// Class index of each row that has a label.
fn labels(rows: &[Row], classes: &[String], file: &Path) -> Result<Vec<Option<u32>>> {
    let mut faults = Faults::default();
    let mut label = |row: &Row| {
        let at = classes.iter().position(|class| *class == row.label);
        let unknown = || format!("label `{}` is none of the network's classes; leave it empty if unsure", row.label);
        let given = (!row.label.is_empty()).then(|| at.ok_or_else(unknown))?;
        faults.keep(row.line, given).map(|class| class as u32)
    };
    let labels = rows.iter().map(&mut label).collect();
    faults.refuse(file)?;
    Ok(labels)
}
