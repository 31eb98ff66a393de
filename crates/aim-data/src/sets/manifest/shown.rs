//! A split of which every showing is made when it is asked for.

use std::{
    borrow::Cow,
    sync::{Arc, OnceLock},
};

use aim_core::{Context, Error, Input, Result};
use candle_core::{Device, Tensor};
use rayon::prelude::*;

use super::{
    assemble::{checked, padded},
    decoding::{Decode, Standardise},
    keep::{Draw, Kept},
};
use crate::{
    Fitted, Reading, Showing, Source,
    dataset::{FIRST, told_by},
    source::digest_values,
    table::Moments,
};

/// Training samples that are looked at together where means are taken.
const PIECE: usize = 64;

/// What is kept of every row of a set.
pub(in crate::sets) trait Records: Send + Sync {
    /// What is kept of a modality of a row.
    ///
    /// # Errors
    /// If it cannot be read or is damaged.
    fn get(&self, modality: usize, row: usize) -> Result<Cow<'_, Kept>>;

    /// Checksum of its bytes; 0 where the row lacks the modality.
    fn crc32(&self, modality: usize, row: usize) -> u32;

    /// Whether the row has the modality.
    fn has(&self, modality: usize, row: usize) -> bool;

    /// Hands over what reading may use.
    fn read_by(&self, _reading: &Reading) {}
}

/// A modality of all splits.
pub(super) struct Part {
    name: String,
    decoder: Arc<dyn Decode>,
    moments: Option<Moments>,
}

/// The modalities of all splits, and what is kept.
pub(super) struct Stock {
    parts: Vec<Part>,
    records: Box<dyn Records>,
    /// Whether the set is the one that memory would hold, so that its values stand for it, and not what is kept.
    by_values: bool,
    reading: OnceLock<Reading>,
}

impl Stock {
    /// Modalities with what standardises them over the rows in `training`, whose names are `ids`.
    pub fn new(
        modalities: Vec<(String, Arc<dyn Decode>, Standardise)>,
        records: Box<dyn Records>,
        by_values: bool,
        (training, ids): (&[usize], &[String]),
    ) -> Result<Arc<Self>> {
        let part = |(name, decoder, _): (String, _, _)| Part { name, decoder, moments: None };
        let shares: Vec<Standardise> = modalities.iter().map(|(_, _, standardise)| *standardise).collect();
        let parts = modalities.into_iter().map(part).collect();
        let mut stock = Self { parts, records, by_values, reading: OnceLock::new() };
        for (m, share) in shares.into_iter().enumerate() {
            let Some(share) = share.share(&*stock.parts[m].decoder) else { continue };
            let rows: Vec<usize> = training.iter().copied().filter(|row| stock.records.has(m, *row)).collect();
            let shape = stock.parts[m].decoder.shape();
            let moments = Moments::of(share, &shape, |see| {
                rows.chunks(PIECE).try_for_each(|rows| {
                    let seen = rows.par_iter().map(|row| stock.values(m, *row, &ids[*row], None));
                    let real = |length: &usize| stock.parts[m].decoder.real(*length);
                    seen.collect::<Result<Vec<_>>>()?.iter().for_each(|(values, length)| see(values, real(length)));
                    Ok(())
                })
            })?;
            stock.parts[m].moments = Some(moments);
        }
        Ok(Arc::new(stock))
    }

    /// Values and number of valid positions of a row in a showing; zeros where it lacks the modality.
    fn values(&self, modality: usize, row: usize, id: &str, showing: Option<Showing>) -> Result<(Vec<f32>, usize)> {
        let part = &self.parts[modality];
        let size = part.decoder.shape().iter().product();
        if !self.records.has(modality, row) {
            let mut values = vec![0.; size];
            // In memory what a sample lacks is standardised with the rest, and is so in the set's checksum.
            let lacks = part.decoder.real(0);
            part.moments.iter().filter(|_| self.by_values).for_each(|moments| moments.apply(&mut values, lacks));
            return Ok((values, 0));
        }
        let place = || format!("sample `{id}`, {}", part.name);
        let kept = self.records.get(modality, row)?;
        let decoded = part.decoder.show(&kept, &Draw { modality: &part.name, id, showing }).at(place)?;
        let mut decoded = checked(decoded, id, size)?;
        let length = decoded.length.unwrap_or(0);
        let real = part.decoder.real(length);
        part.moments.iter().for_each(|moments| moments.apply(&mut decoded.values, real));
        Ok((decoded.values, length))
    }
}

/// A split: some rows of a stock.
pub(super) struct Shown {
    stock: Arc<Stock>,
    rows: Vec<usize>,
    labels: Vec<u32>,
    ids: Vec<String>,
    groups: Vec<u32>,
    shapes: Vec<Vec<usize>>,
}

impl Shown {
    /// The rows at `rows`, with their classes and names, and their groups if there are any.
    pub fn new(stock: Arc<Stock>, rows: Vec<usize>, (labels, ids): (Vec<u32>, Vec<String>), groups: Vec<u32>) -> Self {
        let shapes = stock.parts.iter().map(|part| part.decoder.shape()).collect();
        Self { stock, rows, labels, ids, groups, shapes }
    }

    fn show(&self, modality: usize, index: &[usize], showing: Option<Showing>, device: &Device) -> Result<Input> {
        let one = |i: &usize| match self.rows.get(*i) {
            Some(row) => self.stock.values(modality, *row, &self.ids[*i], showing),
            None => Err(Error::shape("batch", &[*i], format!("indices below {}", self.rows.len()))),
        };
        let seen = index.par_iter().map(one).collect::<Result<Vec<_>>>()?;
        let (values, lengths): (Vec<_>, Vec<_>) = seen.into_iter().unzip();
        let shape = [&[index.len()][..], &self.shapes[modality]].concat();
        let values = Tensor::from_vec(values.concat(), shape, device)?;
        padded(values, &lengths, self.stock.parts[modality].decoder.positions())
    }
}

impl Source for Shown {
    fn labels(&self) -> &[u32] {
        &self.labels
    }
    fn ids(&self) -> &[String] {
        &self.ids
    }
    fn shapes(&self) -> &[Vec<usize>] {
        &self.shapes
    }
    fn input(&self, modality: usize, index: &[usize], device: &Device) -> Result<Input> {
        self.show(modality, index, None, device)
    }
    fn shown(&self, modality: usize, index: &[usize], showing: Showing, device: &Device) -> Result<Input> {
        self.show(modality, index, Some(showing), device)
    }
    fn has(&self, sample: usize, modality: usize) -> bool {
        self.rows.get(sample).is_some_and(|row| self.stock.records.has(modality, *row))
    }
    fn fitted(&self, modality: usize) -> Option<Fitted> {
        let part = self.stock.parts.get(modality)?;
        Some(Fitted { learnt: part.decoder.fitted(), moments: part.moments.clone() })
    }
    fn checks_values(&self) -> bool {
        true
    }
    /// Of checksums of what is kept.
    fn contents(&self) -> Option<Vec<u64>> {
        let of = |row: &usize| {
            let crc32s = (0..self.shapes.len()).map(|m| self.stock.records.crc32(m, *row));
            crc32s.fold(FIRST, told_by)
        };
        Some(self.rows.iter().map(of).collect())
    }
    fn groups(&self) -> &[u32] {
        &self.groups
    }
    fn read_by(&self, reading: &Reading) {
        self.stock.records.read_by(reading);
        self.stock.reading.get_or_init(|| reading.clone());
    }
    fn reading(&self) -> Reading {
        self.stock.reading.get().cloned().unwrap_or_default()
    }
    /// Of a set that memory would hold its values. Else checksums of what is kept, and of files that showings need
    /// beside it, stand for it: the rest of a showing are settings, which a run knows by itself.
    fn digest(&self, feed: &mut dyn FnMut(&[u8])) -> Result<()> {
        if self.stock.by_values {
            return digest_values(self, feed);
        }
        feed(format!("kept {:?}", self.shapes).as_bytes());
        let shared = |part: &Part| part.decoder.crc32().map(|crc| format!("{} {crc:08x}", part.name));
        self.stock.parts.iter().filter_map(shared).for_each(|shared| feed(shared.as_bytes()));
        for ((row, label), id) in self.rows.iter().zip(&self.labels).zip(&self.ids) {
            feed(&label.to_le_bytes());
            feed(id.as_bytes());
            (0..self.shapes.len()).for_each(|m| feed(&self.stock.records.crc32(m, *row).to_le_bytes()));
        }
        Ok(())
    }
}
