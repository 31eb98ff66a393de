//! From raw files to a prepared set: shard after shard, each whole or absent, so that what was stopped goes on.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use aim_core::{Error, Result};
use rayon::prelude::*;
use safetensors::{SafeTensors, tensor::TensorView};

use super::{
    assemble::{Opened, Plan},
    faults::Faults,
    rows::Row,
    store::{Index, Place, key, shard},
};
use crate::{PrepareOptions, Prepared, Preparing};

/// Rows of a shard: part of what a prepared set is, so that its bytes do not depend on the machine.
const ROWS: usize = 64;
/// Rows that are read for an estimate.
const TRIED: usize = 8;

/// A set that is prepared.
pub(in crate::sets) struct Set<'a> {
    /// What it is prepared by: everything that decides what is kept.
    pub section: aim_config::Value,
    /// Folder of prepared sets.
    pub store: PathBuf,
    pub plan: Plan<'a>,
    pub rows: &'a [Row],
    pub class_names: Option<Vec<String>>,
    pub left_out: usize,
}

/// Folder of a set prepared by a section.
pub(in crate::sets) fn folder(store: &Path, name: &str, section: &aim_config::Value) -> PathBuf {
    store.join(format!("{name}-{}", key(section)))
}

/// Records of a shard: by row of the shard and modality.
type Shard = Vec<Vec<Option<Place>>>;

/// Prepares a set, or what is left of it; shards that are whole stay.
pub(in crate::sets) fn prepare(set: Set<'_>, name: &str, options: &PrepareOptions<'_>) -> Result<Prepared> {
    let opened = set.plan.open(set.rows)?;
    let bytes = estimate(&opened, set.rows.len());
    let at = folder(&set.store, name, &set.section);
    let told = Prepared { folder: at.clone(), samples: set.rows.len(), bytes, done: false };
    (options.told)(&told)?;
    if options.only_estimate {
        return Ok(told);
    }
    fs::create_dir_all(&at).map_err(|e| Error::io(&at, e))?;
    let _lock = lock(&at)?;
    let (mut faults, mut places, mut bytes) = (Faults::default(), vec![], 0);
    for (number, rows) in set.rows.chunks(ROWS).enumerate() {
        let done = number * ROWS;
        (options.progress)(Preparing { done, samples: set.rows.len(), bytes })?;
        let records = match whole(&at, number)? {
            Some(records) => records,
            None => make(&opened, rows, &at, number, &mut faults)?,
        };
        bytes += records.iter().flatten().flatten().map(|place| place.bytes as u64).sum::<u64>();
        places.extend(records);
    }
    faults.refuse(set.plan.place)?;
    drop(opened);
    let (samples, modalities) = (set.rows.len(), set.plan.modalities.keys().cloned().collect());
    let index = serde_json::to_vec(&Index::new(set, modalities, places));
    write(&at.join("index.json"), &index.map_err(|e| Error::invalid("index", e.to_string(), "report this fault"))?)?;
    (options.progress)(Preparing { done: samples, samples, bytes })?;
    Ok(Prepared { folder: at, samples, bytes, done: true })
}

/// Bytes that a set will take, by a few rows of it.
fn estimate(opened: &[Opened<'_>], rows: usize) -> u64 {
    let step = rows.div_ceil(TRIED).max(1);
    let tried: Vec<usize> = (0..rows).step_by(step).collect();
    let size = |row: &usize| {
        let cells = opened.iter().filter_map(|one| Some((one, one.cells[*row].as_ref()?)));
        // Faults are told when the row's turn comes.
        cells.filter_map(|(one, cell)| one.decoder.keep(cell).ok()).map(|kept| kept.size()).sum::<usize>()
    };
    let bytes: usize = tried.par_iter().map(size).sum();
    (bytes as f64 * rows as f64 / tried.len().max(1) as f64) as u64
}

/// The records of a shard that was written before and is whole.
fn whole(folder: &Path, number: usize) -> Result<Option<Shard>> {
    let path = folder.join(shard(number));
    let Ok(bytes) = fs::read(&path) else { return Ok(None) };
    let Ok(notes) = fs::read(path.with_extension("json")) else { return Ok(None) };
    let Ok((crc, records)) = serde_json::from_slice::<(u32, Shard)>(&notes) else { return Ok(None) };
    Ok((crc32fast::hash(&bytes) == crc).then_some(records))
}

/// Decodes the rows of a shard and writes it; nothing where one cannot be read.
fn make(opened: &[Opened<'_>], rows: &[Row], folder: &Path, number: usize, faults: &mut Faults) -> Result<Shard> {
    let first = number * ROWS;
    let keep = |one: &Opened<'_>, row: usize| match &one.cells[first + row] {
        Some(cell) => {
            one.decoder.keep(cell).map(|kept| Some(kept.to_bytes())).map_err(|e| format!("{}: {e}", one.name))
        }
        None => Ok(None),
    };
    let all: Vec<Vec<Result<Option<Vec<u8>>, String>>> =
        (0..rows.len()).into_par_iter().map(|row| opened.iter().map(|one| keep(one, row)).collect()).collect();
    let (mut kept, mut sound): (Vec<Vec<Option<Vec<u8>>>>, bool) = (vec![], true);
    for (row, own) in rows.iter().zip(all) {
        let own = own.into_iter().map(|bytes| {
            sound &= bytes.is_ok();
            faults.keep(row.line, bytes).flatten()
        });
        kept.push(own.collect());
    }
    if sound { record(&kept, opened, folder, number) } else { Ok(vec![]) }
}

/// Writes a shard, then what it holds.
fn record(kept: &[Vec<Option<Vec<u8>>>], opened: &[Opened<'_>], folder: &Path, number: usize) -> Result<Shard> {
    let path = folder.join(shard(number));
    let wrong = |e: safetensors::SafeTensorError| {
        Error::invalid(path.display().to_string(), e.to_string(), "report this fault")
    };
    let name = |row: usize, modality: usize| format!("{:08}/{}", number * ROWS + row, opened[modality].name);
    let mut views = vec![];
    for (row, own) in kept.iter().enumerate() {
        for (modality, bytes) in own.iter().enumerate() {
            if let Some(bytes) = bytes {
                let view = TensorView::new(safetensors::Dtype::U8, vec![bytes.len()], bytes).map_err(wrong)?;
                views.push((name(row, modality), view));
            }
        }
    }
    let file = safetensors::serialize(views, None).map_err(wrong)?;
    let (head, metadata) = SafeTensors::read_metadata(&file).map_err(wrong)?;
    // Eight bytes tell the length of the head.
    let place = |row: usize, modality: usize, bytes: &Vec<u8>| {
        let start = metadata.info(&name(row, modality)).map_or(0, |info| info.data_offsets.0);
        Place { shard: number, offset: (8 + head + start) as u64, bytes: bytes.len(), crc32: crc32fast::hash(bytes) }
    };
    let of = |(row, own): (usize, &Vec<Option<Vec<u8>>>)| {
        own.iter().enumerate().map(|(m, bytes)| bytes.as_ref().map(|bytes| place(row, m, bytes))).collect()
    };
    let records: Shard = kept.iter().enumerate().map(of).collect();
    write(&path, &file)?;
    let notes = serde_json::to_vec(&(crc32fast::hash(&file), &records));
    write(
        &path.with_extension("json"),
        &notes.map_err(|e| Error::invalid("shard", e.to_string(), "report this fault"))?,
    )?;
    Ok(records)
}

/// Writes a file that is whole or not there.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let part = path.with_added_extension("part");
    let write = || {
        let mut file = fs::File::create(&part)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&part, path)
    };
    write().map_err(|e| Error::io(path, e))
}

/// Keeps other processes from preparing the same set.
fn lock(folder: &Path) -> Result<fs::File> {
    let path = folder.join(".lock");
    let file = fs::File::create(&path).map_err(|e| Error::io(&path, e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(Error::invalid(
            folder.display().to_string(),
            "is being prepared by another process",
            "wait until it is done",
        )),
        Err(fs::TryLockError::Error(e)) => Err(Error::io(path, e)),
    }
}
