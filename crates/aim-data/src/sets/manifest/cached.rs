//! Records that stay in memory once they have been read, as far as there is room.

use std::{borrow::Cow, mem::size_of, sync::OnceLock};

use aim_core::Result;

use super::{keep::Kept, shown::Records};
use crate::Reading;

/// Records of a disk. What has been read stays where the limit has room for it, and is never put out: in epochs that
/// show every sample once, what was used last is what is needed last.
pub(super) struct Cached<R> {
    of: R,
    /// By modality and row.
    slots: Vec<Vec<OnceLock<Kept>>>,
    reading: OnceLock<Reading>,
}

impl<R: Records> Cached<R> {
    /// Records of so many modalities and rows; nothing stays before it is said what reading may use.
    pub fn new(of: R, modalities: usize, rows: usize) -> Self {
        let row = |_| (0..rows).map(|_| OnceLock::new()).collect();
        Self { of, slots: (0..modalities).map(row).collect(), reading: OnceLock::new() }
    }
}

/// Bytes that a record takes in memory.
fn size(kept: &Kept) -> usize {
    size_of::<Kept>() + kept.size()
}

impl<R: Records> Records for Cached<R> {
    fn get(&self, modality: usize, row: usize) -> Result<Cow<'_, Kept>> {
        let slot = &self.slots[modality][row];
        if let (None, Some(reading)) = (slot.get(), self.reading.get()) {
            let kept = self.of.get(modality, row)?;
            if !reading.take(size(&kept)) {
                return Ok(kept);
            }
            // Another thread may have been faster.
            slot.set(kept.into_owned()).unwrap_or_else(|kept| reading.give(size(&kept)));
        }
        slot.get().map_or_else(|| self.of.get(modality, row), |kept| Ok(Cow::Borrowed(kept)))
    }
    fn crc32(&self, modality: usize, row: usize) -> u32 {
        self.of.crc32(modality, row)
    }
    fn has(&self, modality: usize, row: usize) -> bool {
        self.of.has(modality, row)
    }
    fn read_by(&self, reading: &Reading) {
        self.reading.get_or_init(|| reading.clone());
    }
}

impl<R> Drop for Cached<R> {
    fn drop(&mut self) {
        let held = self.slots.iter().flatten().filter_map(OnceLock::get).map(size).sum();
        self.reading.get().iter().for_each(|reading| reading.give(held));
    }
}
