//! What reading samples may use: memory and threads. None of it changes a value.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Bytes in a MiB.
const MIB: usize = 1 << 20;

/// What reading may use. Clones share what is used, so that all splits of all sets of a process stay within one limit.
///
/// ```
/// let reading = aim_data::Reading::new(1, 0);
/// assert!(reading.take(1 << 20) && !reading.take(1));
/// reading.give(1);
/// assert!(reading.clone().take(1));
/// ```
#[derive(Clone, Debug)]
pub struct Reading {
    workers: usize,
    limit: usize,
    used: Arc<AtomicUsize>,
}

impl Default for Reading {
    /// 1 GiB, and no thread beside the one that asks.
    fn default() -> Self {
        Self::new(1024, 0)
    }
}

impl Reading {
    /// At most `memory` MiB of what was read stay in memory, and `workers` threads read batches before they are needed;
    /// with none each batch is read when it is asked for.
    pub fn new(memory: usize, workers: usize) -> Self {
        Self { workers, limit: memory.saturating_mul(MIB), used: Arc::default() }
    }

    /// The same memory without threads that read ahead.
    #[must_use]
    pub fn without_workers(&self) -> Self {
        Self { workers: 0, ..self.clone() }
    }

    /// Threads that read ahead.
    pub fn workers(&self) -> usize {
        self.workers
    }

    /// Bytes that may be kept.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Takes so many bytes, if they are left.
    pub fn take(&self, bytes: usize) -> bool {
        let more = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.limit);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Gives back bytes that were taken.
    pub fn give(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}
