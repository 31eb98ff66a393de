//! From raw files to a prepared set: shard after shard, each whole or absent, so that what was stopped goes on.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    time::UNIX_EPOCH,
};

use aim_config::serde::{Deserialize, Serialize};
use aim_core::{Error, Result};
use rayon::prelude::*;
use safetensors::{SafeTensors, tensor::TensorView};

use super::{
    assemble::{Opened, Plan},
    decoding::Decoding,
    faults::Faults,
    rows::Row,
    store::{FORMAT, INDEX, Index, Listing, Place, key, shard},
};
use crate::{PrepareOptions, Prepared, Preparing, files::visible};

/// Rows of a shard: part of what a prepared set is, so that its bytes do not depend on the machine.
const ROWS: usize = 64;
/// Rows that are read for an estimate.
const TRIED: usize = 8;

/// A set that is prepared.
pub(in crate::sets) struct Set<'a> {
    /// What it is prepared by: everything that decides what is kept of a row.
    pub section: aim_config::Value,
    /// Folder of prepared sets.
    pub store: PathBuf,
    pub plan: Plan<'a>,
    pub rows: &'a [Row],
    /// The samples, where no manifest names them.
    pub listing: Option<&'a Listing>,
}

/// Folder of a set prepared by a section.
pub(in crate::sets) fn folder(store: &Path, name: &str, section: &aim_config::Value) -> PathBuf {
    store.join(format!("{name}-{}", key(section)))
}

/// Records of a shard: by row of the shard and modality.
type Shard = Vec<Vec<Option<Place>>>;

/// What lies beside a shard.
#[derive(Serialize, Deserialize)]
#[serde(crate = "aim_config::serde")]
struct Notes {
    /// Checksum of its file.
    crc32: u32,
    /// What it was made of.
    origin: Origin,
    records: Shard,
}

/// What a shard is made of.
#[derive(Serialize, Deserialize)]
#[serde(crate = "aim_config::serde")]
struct Origin {
    /// Checksum of names, cells and times of its rows: not of splits, labels and groups, which are not kept in it.
    rows: u32,
    /// Bytes and last change (nanoseconds) of what each cell is decoded from, by row and modality, as far as it is
    /// there.
    files: Vec<Vec<Option<[u64; 2]>>>,
}

/// Prepares a set, or what is left of it; shards that are whole and made of the same rows and files stay.
pub(in crate::sets) fn prepare(set: Set<'_>, name: &str, options: &PrepareOptions<'_>) -> Result<Prepared> {
    let opened = set.plan.open(set.rows, None)?;
    let bytes = estimate(&opened, set.rows.len());
    let at = folder(&set.store, name, &set.section);
    let told = Prepared { folder: at.clone(), samples: set.rows.len(), bytes, done: false };
    (options.told)(&told)?;
    if options.only_estimate {
        return Ok(told);
    }
    fs::create_dir_all(&at).map_err(|e| Error::io(&at, e))?;
    let _lock = lock(&at)?;
    room(&at, bytes.saturating_sub(taken(&at)?))?;
    let (mut faults, mut places, mut bytes) = (Faults::default(), vec![], 0);
    for (number, rows) in set.rows.chunks(ROWS).enumerate() {
        let done = number * ROWS;
        (options.progress)(Preparing { done, samples: set.rows.len(), bytes })?;
        let origin = Origin::of(rows, &set.plan)?;
        let records = match whole(&at, number, &origin) {
            Some(records) => records,
            None => make(&opened, rows, (&at, number), origin, &mut faults)?,
        };
        bytes += records.iter().flatten().flatten().map(|place| place.bytes as u64).sum::<u64>();
        places.extend(records);
    }
    faults.refuse(set.plan.place)?;
    let (samples, shapes) = (set.rows.len(), opened.iter().map(|one| one.decoder.shape()).collect());
    let index = Index { format: FORMAT, section: set.section, shapes, listing: set.listing.cloned(), places };
    write(&at.join(INDEX), &json(&index)?)?;
    (options.progress)(Preparing { done: samples, samples, bytes })?;
    Ok(Prepared { folder: at, samples, bytes, done: true })
}

impl Origin {
    fn of(rows: &[Row], plan: &Plan<'_>) -> Result<Self> {
        let files = |row: &Row| {
            let source =
                |(name, decoding): (&String, &Decoding)| decoding.source(plan.folder, row.cells[name].as_ref()?);
            plan.modalities.iter().map(|one| source(one).and_then(|path| stamp(&path))).collect()
        };
        let said: Vec<_> = rows.iter().map(|row| (&row.id, &row.cells, row.times)).collect();
        Ok(Self { rows: crc32fast::hash(&json(&said)?), files: rows.par_iter().map(files).collect() })
    }

    /// Whether a shard of this origin need not be made for another: files that are no longer there are not missed.
    fn serves(&self, now: &Self) -> bool {
        let files = |of: &Self| of.files.iter().map(Vec::len).collect::<Vec<_>>();
        let pairs = self.files.iter().flatten().zip(now.files.iter().flatten());
        self.rows == now.rows && files(self) == files(now) && pairs.into_iter().all(|(a, b)| b.is_none() || a == b)
    }
}

/// Bytes and last change of a file, or of all in a folder; none where there is nothing.
fn stamp(path: &Path) -> Option<[u64; 2]> {
    let about = fs::metadata(path).ok()?;
    let change = about.modified().ok()?.duration_since(UNIX_EPOCH).ok()?.as_nanos();
    let own = [about.len(), u64::try_from(change).ok()?];
    let inside = if about.is_dir() { visible(path).ok()? } else { vec![] };
    Some(inside.iter().filter_map(|path| stamp(path)).fold(own, |[m, s], [n, t]| [m + n, s.max(t)]))
}

/// Bytes of the shards that are there.
fn taken(folder: &Path) -> Result<u64> {
    let shards = visible(folder)?.into_iter().filter(|path| path.extension().is_some_and(|e| e == "safetensors"));
    Ok(shards.filter_map(|path| fs::metadata(path).ok()).map(|about| about.len()).sum())
}

/// Refuses a set that the disk has no room for.
fn room(folder: &Path, bytes: u64) -> Result<()> {
    match free(folder) {
        Some(free) if free < bytes => {
            let mib = |bytes: u64| bytes >> 20;
            let problem = format!("has {} MiB free, and about {} MiB are to be written", mib(free), mib(bytes));
            Err(Error::invalid(
                folder.display().to_string(),
                problem,
                "make room, or name another folder as data.store",
            ))
        }
        _ => Ok(()),
    }
}

/// Bytes that a disk has left, where the system says so.
#[cfg(unix)]
fn free(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    disk.f_bavail.checked_mul(disk.f_frsize)
}
#[cfg(not(unix))]
fn free(_: &Path) -> Option<u64> {
    None
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(|e| Error::invalid("prepared set", e.to_string(), "report this fault"))
}

/// Bytes that a set will take, by a few rows of it.
pub(super) fn estimate(opened: &[Opened<'_>], rows: usize) -> u64 {
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

/// The records of a shard that was written before, is whole, and of the same origin.
fn whole(folder: &Path, number: usize, origin: &Origin) -> Option<Shard> {
    let path = folder.join(shard(number));
    let notes: Notes = serde_json::from_slice(&fs::read(path.with_extension("json")).ok()?).ok()?;
    let fits = notes.origin.serves(origin) && notes.records.len() == origin.files.len();
    (fits && crc32fast::hash(&fs::read(&path).ok()?) == notes.crc32).then_some(notes.records)
}

/// Decodes the rows of a shard and writes it; nothing where one cannot be read.
fn make(
    opened: &[Opened<'_>],
    rows: &[Row],
    (folder, number): (&Path, usize),
    origin: Origin,
    faults: &mut Faults,
) -> Result<Shard> {
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
    if sound { record(&kept, opened, (folder, number), origin) } else { Ok(vec![]) }
}

/// Writes a shard, then what it holds.
fn record(
    kept: &[Vec<Option<Vec<u8>>>],
    opened: &[Opened<'_>],
    (folder, number): (&Path, usize),
    origin: Origin,
) -> Result<Shard> {
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
    // An index of other shards is none any more.
    match fs::remove_file(folder.join(INDEX)) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(Error::io(folder.join(INDEX), e)),
        _ => {}
    }
    write(&path, &file)?;
    let notes = Notes { crc32: crc32fast::hash(&file), origin, records };
    write(&path.with_extension("json"), &json(&notes)?)?;
    Ok(notes.records)
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
    write().map_err(|e| {
        // What is half written takes room that may be what is missing.
        let _ = fs::remove_file(&part);
        Error::io(path, e)
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_disk_has_no_room_for_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        room(folder.path(), 1).unwrap();
        if cfg!(unix) {
            let error = room(folder.path(), u64::MAX).unwrap_err().to_string();
            assert!(error.contains("MiB free") && error.contains("data.store"), "{error}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_written_leaves_no_part() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        fs::create_dir_all(path.join("in the way")).unwrap();
        assert!(write(&path, b"{}").is_err());
        assert_eq!(visible(folder.path()).unwrap(), [path]);
    }

    #[test]
    fn a_folder_s_stamp_changes_with_what_it_holds() {
        let folder = tempfile::tempdir().unwrap();
        let (file, of) = (folder.path().join("a"), || stamp(folder.path()).unwrap());
        fs::write(&file, "1").unwrap();
        let before = of();
        assert_eq!(before, of());
        let later = std::time::SystemTime::now() + std::time::Duration::from_secs(9);
        fs::File::open(&file).unwrap().set_modified(later).unwrap();
        assert!(of()[1] > before[1]);
        fs::write(&file, "22").unwrap();
        assert_eq!(of()[0], before[0] + 1);
        assert_eq!(stamp(&folder.path().join("none")), None);
    }
}
