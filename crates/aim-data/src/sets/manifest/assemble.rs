//! From rows to a dataset.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use aim_core::{Context, Error, Input, Result};
use candle_core::{Device, Tensor};
use rayon::prelude::*;

use super::{
    cached::Cached,
    decoding::{Cell, Decode, Decoded, Decoding, Standardise},
    faults::Faults,
    keep::{Draw, Kept},
    ondemand::OnDemand,
    prepare::estimate,
    rows::Row,
    shown::{Records, Shown, Stock},
    store::Store,
};
use crate::{
    Dataset, Fitted, Reading, Source, Subset,
    files::broken,
    table::{Array, Part},
};

/// The splits in the order of a [`Dataset`].
const PARTS: [(Part, &str); 3] = [(Part::Train, "training"), (Part::Validation, "validation"), (Part::Test, "test")];

/// What a data set of rows is made by.
pub(in crate::sets) struct Plan<'a> {
    /// Name of the set.
    pub name: String,
    /// What errors name: the manifest, or the folder.
    pub place: &'a Path,
    /// Folder that paths start at.
    pub folder: &'a Path,
    pub modalities: &'a BTreeMap<String, Decoding>,
    pub class_names: Option<Vec<String>>,
    /// GiB that samples may take in memory.
    pub memory: f64,
}

/// One modality before it is decoded.
pub(super) struct Opened<'a> {
    pub name: &'a str,
    standardise: Standardise,
    pub cells: Vec<Option<Cell<'a>>>,
    pub decoder: Arc<dyn Decode>,
}

impl Plan<'_> {
    /// The decoders, with the cells of every row; of samples that were kept before, whose shapes are `kept`, without
    /// their files.
    pub(super) fn open<'b>(&'b self, rows: &'b [Row], kept: Option<&[Vec<usize>]>) -> Result<Vec<Opened<'b>>> {
        let all = self.modalities.iter().enumerate();
        all.map(|(m, (name, decoding))| open((name, decoding), self.folder, rows, kept.map(|all| &*all[m]))).collect()
    }

    /// The data set of these rows, from what was kept of them before or from their files. Where no showing differs from
    /// another and the samples fit into the memory, their values stand for it, so that both are the same data. Files
    /// that are more than that, or than reading may use, are decoded when they are asked for.
    pub fn dataset(&self, rows: &[Row], store: Option<Store>, reading: Option<&Reading>) -> Result<Dataset> {
        let shapes = store.as_ref().map(|store| store.shapes(rows.len(), self.modalities.len())).transpose()?;
        let mut opened = self.open(rows, shapes)?;
        let class_names = classes(self, rows);
        let picks = PARTS.map(|(part, _)| (0..rows.len()).filter(|i| rows[*i].part == part).collect::<Vec<_>>());
        if let Some((_, (_, name))) = picks.iter().zip(PARTS).find(|(picks, _)| picks.is_empty()) {
            return Err(broken(self.place, format!("has no row of the {name} split")));
        }
        let mut faults = Faults::default();
        let labels = labels(rows, &class_names, &mut faults);
        let by_values = !opened.iter().any(|one| one.decoder.varies()) && values(&opened, rows.len()) <= self.most();
        let records = self.records(&opened, (rows, store), reading, &mut faults)?;
        if records.is_some() {
            std::mem::take(&mut faults).refuse(self.place)?;
        }
        let faults = self.learn(&mut opened, Desk { rows, records: records.as_deref(), faults }, &picks[0])?;
        let sources = match records {
            Some(records) => shown(opened, records, by_values, (rows, &labels), &picks)?,
            None => self.read(&opened, Desk { rows, records: None, faults }, &labels, &picks)?,
        };
        let [train, validation, test] = sources.try_into().map_err(|_| broken(self.place, "has no three splits"))?;
        let modalities = self.modalities.keys().cloned().collect();
        Ok(Dataset { name: self.name.clone(), modalities, class_names, train, validation, test })
    }

    /// Most bytes that reading takes: what samples are made of, as far as it may stay, and arrays as a whole.
    pub fn demand(&self, rows: &[Row], store: Option<&Store>, reading: &Reading) -> Result<u64> {
        let limit = reading.limit() as u64;
        if let Some(store) = store {
            return Ok(store.bytes().min(limit));
        }
        let (mut arrays, mut opened) = (0, vec![]);
        for (name, decoding) in self.modalities {
            let array = decoding.array.as_ref().map(|array| array.extent(self.folder)).transpose()?;
            arrays += array.as_ref().map_or(0, |shape| bytes(shape) as u64);
            opened.push(open((name, decoding), self.folder, rows, array.as_ref().map(|shape| &shape[1..]))?);
        }
        let varies = opened.iter().any(|one| one.decoder.varies());
        let all = values(&opened, rows.len());
        if varies || all > self.most().min(limit as f64) {
            let kept = |one: &Opened<'_>| match one.decoder.varies() {
                true => estimate(std::slice::from_ref(one), rows.len()),
                false => values(std::slice::from_ref(one), rows.len()) as u64,
            };
            return Ok(arrays + opened.iter().map(kept).sum::<u64>().min(limit));
        }
        // A modality is decoded as a whole before its splits are made of it.
        let of = |one: &Opened<'_>| values(std::slice::from_ref(one), rows.len());
        Ok(arrays + (all + opened.iter().map(of).fold(0., f64::max)) as u64)
    }

    /// Bytes that samples may take in memory.
    fn most(&self) -> f64 {
        self.memory * f64::from(1 << 30)
    }

    /// What showings are made of; nothing where all values are read into memory at once.
    fn records(
        &self,
        opened: &[Opened<'_>],
        (rows, store): (&[Row], Option<Store>),
        reading: Option<&Reading>,
        faults: &mut Faults,
    ) -> Result<Option<Box<dyn Records>>> {
        let (modalities, len) = (self.modalities.len(), rows.len());
        if let Some(store) = store {
            return Ok(Some(Box::new(Cached::new(store, modalities, len))));
        }
        let most = reading.map_or(f64::INFINITY, |reading| reading.limit() as f64).min(self.most());
        let varies = opened.iter().any(|one| one.decoder.varies());
        if !varies && values(opened, len) <= most {
            return Ok(None);
        }
        if varies && let Some(kept) = InMemory::keep(opened, rows, &Budget::new(most), faults) {
            return Ok(Some(Box::new(kept)));
        }
        let files = Cached::new(OnDemand::scan(self, opened, rows, faults), modalities, len);
        // From the first look on, that for means, what there is room for stays.
        reading.iter().for_each(|reading| files.read_by(reading));
        Ok(Some(Box::new(files)))
    }

    /// Lets the decoders learn from the rows in `training`, and gives the faults so far.
    fn learn(&self, opened: &mut [Opened<'_>], mut desk: Desk<'_>, training: &[usize]) -> Result<Faults> {
        for (m, one) in opened.iter_mut().enumerate() {
            let learnt = desk.learnt(one, m, training);
            if learnt.is_err() {
                std::mem::take(&mut desk.faults).refuse(self.place)?;
            }
            if let Some(decoder) = learnt.at(|| format!("data.modalities.{}", one.name))? {
                one.decoder = Arc::from(decoder);
            }
        }
        Ok(desk.faults)
    }

    /// The splits in memory.
    fn read(
        &self,
        opened: &[Opened<'_>],
        mut desk: Desk<'_>,
        labels: &[u32],
        picks: &[Vec<usize>; 3],
    ) -> Result<Vec<Arc<dyn Source>>> {
        let (mut inputs, mut fitted): ([Vec<Input>; 3], Vec<Fitted>) = Default::default();
        // One modality after the other, so that no more than one of them is in memory twice.
        for (m, one) in opened.iter().enumerate() {
            let (own, learnt) = desk.decode(one, m, picks)?;
            inputs.iter_mut().zip(own).for_each(|(all, own)| all.push(own));
            fitted.push(learnt);
        }
        let rows = desk.rows;
        desk.faults.refuse(self.place)?;
        let fitted: Arc<[Fitted]> = fitted.into();
        let split = |(inputs, picks): (Vec<Input>, &Vec<usize>)| -> Result<Arc<dyn Source>> {
            let ids = picks.iter().map(|i| rows[*i].id.clone()).collect();
            let samples = Subset::of(inputs, picks.iter().map(|i| labels[*i]).collect(), ids)?;
            let samples = samples.grouped(of(&groups(rows), picks))?;
            let has = |one: &Opened<'_>| picks.iter().map(|i| one.cells[*i].is_some()).collect();
            let samples = samples.present(opened.iter().map(has).collect())?;
            Ok(Arc::new(InArrays { samples, fitted: Arc::clone(&fitted) }))
        };
        inputs.into_iter().zip(picks).map(split).collect()
    }
}

/// Where cells become values: what was kept of them, or else their files, whose faults are noted.
struct Desk<'a> {
    rows: &'a [Row],
    records: Option<&'a dyn Records>,
    faults: Faults,
}

impl<'a> Desk<'a> {
    /// What is kept of a row; none where it lacks the modality.
    fn kept(&self, one: &Opened<'_>, modality: usize, row: usize) -> Result<Option<Cow<'a, Kept>>> {
        let Some(cell) = &one.cells[row] else { return Ok(None) };
        match self.records {
            Some(records) => records.get(modality, row),
            None => one.decoder.keep(cell).map(Cow::Owned),
        }
        .map(Some)
    }

    /// Notes a fault of a file. What was kept and cannot be read ends the work, as that is no fault of the row.
    fn note<T>(&mut self, one: &Opened<'_>, row: usize, result: Result<T>) -> Result<Option<T>> {
        match result {
            Err(e) if self.records.is_none() => self.faults.add(self.rows[row].line, format!("{}: {e}", one.name)),
            other => return other.map(Some),
        }
        Ok(None)
    }

    /// The decoder with what it learns from the rows in `training`.
    fn learnt(&mut self, one: &Opened<'_>, modality: usize, training: &[usize]) -> Result<Option<Box<dyn Decode>>> {
        let mut kept = training.iter().filter_map(|row| {
            let kept = self.kept(one, modality, *row);
            self.note(one, *row, kept).map(|kept| kept.flatten().map(Cow::into_owned)).transpose()
        });
        one.decoder.learnt(&mut kept)
    }

    /// Decodes a modality of every row, several at a time, and gives it by split, with what was learnt from the
    /// training split.
    fn decode(&mut self, one: &Opened<'_>, modality: usize, picks: &[Vec<usize>; 3]) -> Result<(Vec<Input>, Fitted)> {
        let shape = one.decoder.shape();
        let size: usize = shape.iter().product();
        let mut array = Array { data: vec![0.; self.rows.len() * size], shape };
        let value = |(row, out): (usize, &mut [f32])| {
            let Some(kept) = self.kept(one, modality, row)? else { return Ok(0) };
            let draw = Draw { modality: one.name, id: &self.rows[row].id, showing: None };
            let place = one.cells[row].map_or("", |cell| cell.text);
            let decoded = checked(one.decoder.show(&kept, &draw)?, place, size)?;
            out.copy_from_slice(&decoded.values);
            Ok(decoded.length.unwrap_or(0))
        };
        let lengths: Vec<Result<usize>> = array.data.par_chunks_mut(size).enumerate().map(value).collect();
        let noted = lengths.into_iter().enumerate().map(|(row, length)| self.note(one, row, length));
        let lengths = noted.map(|length| Ok(length?.unwrap_or(0))).collect::<Result<Vec<_>>>()?;
        let fit: Vec<usize> = picks[0].iter().copied().filter(|i| one.cells[*i].is_some()).collect();
        let real = |row: usize| one.decoder.real(lengths[row]);
        let share = one.standardise.share(&*one.decoder);
        let moments = share.and_then(|share| array.standardise_real(&fit, share, real));
        let input = |picks: &Vec<usize>| {
            let lengths: Vec<usize> = picks.iter().map(|row| lengths[*row]).collect();
            padded(array.tensor(picks)?, &lengths, one.decoder.positions())
        };
        let inputs = picks.iter().map(input).collect::<Result<_>>()?;
        Ok((inputs, Fitted { learnt: one.decoder.fitted(), moments }))
    }
}

/// Splits whose showings are made of what is kept.
fn shown(
    opened: Vec<Opened<'_>>,
    records: Box<dyn Records>,
    by_values: bool,
    (rows, labels): (&[Row], &[u32]),
    picks: &[Vec<usize>; 3],
) -> Result<Vec<Arc<dyn Source>>> {
    let (ids, groups): (Vec<String>, _) = (rows.iter().map(|row| row.id.clone()).collect(), groups(rows));
    let parts = opened.into_iter().map(|one| (one.name.to_owned(), one.decoder, one.standardise)).collect();
    let stock = Stock::new(parts, records, by_values, (&picks[0], &ids))?;
    let split = |picks: &Vec<usize>| -> Arc<dyn Source> {
        let own = |i: &usize| (labels[*i], ids[*i].clone());
        let own = picks.iter().map(own).unzip();
        Arc::new(Shown::new(Arc::clone(&stock), picks.clone(), own, of(&groups, picks)))
    };
    Ok(picks.iter().map(split).collect())
}

/// What is kept of every row, in memory.
struct InMemory {
    /// By modality and row, with checksums.
    kept: Vec<Vec<Option<(Kept, u32)>>>,
}

impl InMemory {
    /// What is kept, with its faults; none where that is more than the memory takes.
    fn keep(opened: &[Opened<'_>], rows: &[Row], budget: &Budget, faults: &mut Faults) -> Option<Self> {
        let mut kept = vec![];
        for one in opened {
            let read = |cell: &Option<Cell<'_>>| {
                let Some(cell) = cell else { return Ok(None) };
                let kept = one.decoder.keep(cell)?;
                budget.take(kept.size());
                let crc = crc32fast::hash(&kept.to_bytes());
                Ok(Some((kept, crc)))
            };
            // What is beyond the memory is not read.
            let all: Vec<Result<Option<(Kept, u32)>>> =
                one.cells.par_iter().map(|cell| if budget.is_spent() { Ok(None) } else { read(cell) }).collect();
            if budget.is_spent() {
                return None;
            }
            let mut of = |(row, kept): (&Row, Result<_>)| {
                faults.keep(row.line, kept.map_err(|e: Error| format!("{}: {e}", one.name))).flatten()
            };
            kept.push(rows.iter().zip(all).map(&mut of).collect());
        }
        Some(Self { kept })
    }
}

impl Records for InMemory {
    fn get(&self, modality: usize, row: usize) -> Result<Cow<'_, Kept>> {
        let kept = self.kept[modality][row].as_ref().map(|(kept, _)| Cow::Borrowed(kept));
        kept.ok_or_else(|| Error::invalid("data", "a sample without the modality is read", "report this fault"))
    }
    fn crc32(&self, modality: usize, row: usize) -> u32 {
        self.kept[modality][row].as_ref().map_or(0, |(_, crc)| *crc)
    }
    fn has(&self, modality: usize, row: usize) -> bool {
        self.kept[modality][row].is_some()
    }
}

/// Memory that may be used, and how much of it is, in bytes.
struct Budget {
    most: f64,
    used: AtomicUsize,
}

impl Budget {
    fn new(most: f64) -> Self {
        Self { most, used: AtomicUsize::new(0) }
    }
    fn take(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
    }
    fn is_spent(&self) -> bool {
        self.used.load(Ordering::Relaxed) as f64 > self.most
    }
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

/// Index of each row's group; nothing if no row has one. Rows without a group are one.
fn groups(rows: &[Row]) -> Vec<u32> {
    let names: BTreeSet<&Option<String>> = rows.iter().map(|row| &row.group).collect();
    let places: BTreeMap<&Option<String>, u32> = names.into_iter().zip(0..).collect();
    let grouped = rows.iter().any(|row| row.group.is_some());
    rows.iter().filter(|_| grouped).map(|row| places[&row.group]).collect()
}

/// The groups of some rows, if there are any.
fn of(groups: &[u32], picks: &[usize]) -> Vec<u32> {
    picks.iter().filter_map(|row| groups.get(*row).copied()).collect()
}

/// The classes: those of the setting, or else the labels of all rows, whole numbers by size and the rest by alphabet.
fn classes(plan: &Plan<'_>, rows: &[Row]) -> Vec<String> {
    plan.class_names.clone().unwrap_or_else(|| {
        let mut names: Vec<String> =
            rows.iter().map(|row| row.label.clone()).collect::<BTreeSet<_>>().into_iter().collect();
        let numbers: Option<Vec<i64>> = names.iter().map(|name| name.parse().ok()).collect();
        if numbers.is_some() {
            names.sort_by_key(|name| name.parse::<i64>().unwrap_or(0));
        }
        names
    })
}

fn open<'a>(
    (name, decoding): (&'a str, &Decoding),
    folder: &'a Path,
    rows: &'a [Row],
    kept: Option<&[usize]>,
) -> Result<Opened<'a>> {
    let cell =
        |row: &'a Row| row.cells[name].as_deref().map(|text| Cell { id: &row.id, text, folder, times: row.times });
    let place = format!("data.modalities.{name}");
    let decoder: Arc<dyn Decode> = decoding.open(&place, folder, kept).at(|| place.clone())?.into();
    if decoder.shape().contains(&0) {
        return Err(Error::shape(place, &decoder.shape(), "samples with at least one value"));
    }
    Ok(Opened { name, standardise: decoding.standardise, cells: rows.iter().map(cell).collect(), decoder })
}

/// Samples of the given lengths, with their valid positions where samples differ in length.
pub(super) fn padded(values: Tensor, lengths: &[usize], positions: Option<usize>) -> Result<Input> {
    let Some(most) = positions else { return Ok(values.into()) };
    let valid = lengths.iter().flat_map(|length| (0..most).map(|t| f32::from(u8::from(t < *length)))).collect();
    let valid = Tensor::from_vec(valid, (lengths.len(), most), values.device())?;
    Input::padded(values, valid)
}

/// What is decoded, if it is as many finite numbers as there should be.
pub(super) fn checked(decoded: Decoded, place: &str, size: usize) -> Result<Decoded> {
    if decoded.values.len() != size {
        return Err(Error::shape(place, &[decoded.values.len()], format!("{size} values")));
    }
    match decoded.values.iter().find(|value| !value.is_finite()) {
        Some(value) => Err(Error::invalid(place, format!("decodes to {value}"), "mend the file")),
        None => Ok(decoded),
    }
}

/// Bytes that the values of so many samples take.
fn values(opened: &[Opened<'_>], rows: usize) -> f64 {
    rows as f64 * opened.iter().map(|one| bytes(&one.decoder.shape())).sum::<f64>()
}

/// Bytes that the values of a shape take.
fn bytes(shape: &[usize]) -> f64 {
    4. * shape.iter().map(|d| *d as f64).product::<f64>()
}

/// A split of decoded samples in memory.
struct InArrays {
    samples: Subset,
    /// By modality.
    fitted: Arc<[Fitted]>,
}

impl Source for InArrays {
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
        self.samples.has(sample, modality)
    }
    fn fitted(&self, modality: usize) -> Option<Fitted> {
        self.fitted.get(modality).cloned()
    }
    fn groups(&self) -> &[u32] {
        self.samples.groups()
    }
    fn read_by(&self, reading: &Reading) {
        self.samples.read_by(reading);
    }
    fn reading(&self) -> Reading {
        self.samples.reading()
    }
}
