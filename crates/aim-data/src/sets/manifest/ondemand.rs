//! Records of files that are more than the memory takes: each is decoded when it is asked for.

use std::{borrow::Cow, path::PathBuf, sync::Arc};

use aim_core::{Context, Error, Result};
use rayon::prelude::*;

use super::{
    assemble::{Opened, Plan},
    decoding::{Cell, Decode},
    faults::Faults,
    keep::Kept,
    rows::Row,
    shown::Records,
};

/// Files with the decoders that read them.
pub(super) struct OnDemand {
    folder: PathBuf,
    rows: Vec<Row>,
    modalities: Vec<(String, Arc<dyn Decode>)>,
    /// By modality and row; none where the row lacks the modality.
    crc32s: Vec<Vec<Option<u32>>>,
}

impl OnDemand {
    /// Decodes every file once, so that all faults are noted and what stands for the data is known; none of it stays.
    pub fn scan(plan: &Plan<'_>, opened: &[Opened<'_>], rows: &[Row], faults: &mut Faults) -> Self {
        let mut crc32s = vec![];
        for one in opened {
            let read = |cell: &Option<Cell<'_>>| {
                let kept = cell.as_ref().map(|cell| one.decoder.keep(cell)).transpose()?;
                Ok(kept.map(|kept| crc32fast::hash(&kept.to_bytes())))
            };
            let all: Vec<Result<Option<u32>>> = one.cells.par_iter().map(read).collect();
            let mut note = |(row, crc): (&Row, Result<_>)| {
                faults.keep(row.line, crc.map_err(|e: Error| format!("{}: {e}", one.name))).flatten()
            };
            crc32s.push(rows.iter().zip(all).map(&mut note).collect());
        }
        let modalities = opened.iter().map(|one| (one.name.to_owned(), Arc::clone(&one.decoder))).collect();
        Self { folder: plan.folder.into(), rows: rows.to_vec(), modalities, crc32s }
    }
}

impl Records for OnDemand {
    fn get(&self, modality: usize, row: usize) -> Result<Cow<'_, Kept>> {
        let ((name, decoder), row) = (&self.modalities[modality], &self.rows[row]);
        let lacks = || Error::invalid("data", "a sample without the modality is read", "report this fault");
        let text = row.cells[name].as_deref().ok_or_else(lacks)?;
        let cell = Cell { id: &row.id, text, folder: &self.folder, times: row.times };
        decoder.keep(&cell).map(Cow::Owned).at(|| format!("line {}, {name}", row.line))
    }
    fn crc32(&self, modality: usize, row: usize) -> u32 {
        self.crc32s[modality][row].unwrap_or(0)
    }
    fn has(&self, modality: usize, row: usize) -> bool {
        self.rows[row].cells[&self.modalities[modality].0].is_some()
    }
}
