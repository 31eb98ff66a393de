//! The training and the validation split in batches: what training reads, and what methods look at between epochs.

use std::ops::ControlFlow::Continue;

use aim_core::{Batch, Criterion, Result, Samples, Split};
use candle_core::Device;

use crate::{Dataset, Loader};

/// A set's training and validation split in batches on a device.
#[derive(Clone, Debug)]
pub struct Splits<'a> {
    data: &'a Dataset,
    batch: usize,
    device: Device,
    drops_last: bool,
    criterion: Criterion,
    strata: &'a [u32],
}

impl<'a> Splits<'a> {
    /// Batches of `batch` samples; the last one of a split may be smaller.
    pub fn new(data: &'a Dataset, batch: usize, device: &Device) -> Self {
        Self { data, batch, device: device.clone(), drops_last: false, criterion: Criterion::default(), strata: &[] }
    }

    /// Whether epochs of training leave out a last batch that is smaller; what methods look at is whole.
    #[must_use]
    pub fn dropping_last(self, drops_last: bool) -> Self {
        Self { drops_last, ..self }
    }

    /// How the task's loss counts the labels of every batch.
    #[must_use]
    pub fn criterion(self, criterion: Criterion) -> Self {
        Self { criterion, ..self }
    }

    /// Of which stratum each training sample is: epochs of training then show every stratum equally often; see
    /// [`Loader::strata`].
    #[must_use]
    pub fn strata(self, strata: &'a [u32]) -> Self {
        Self { strata, ..self }
    }

    /// Epochs of training.
    pub fn training(&self) -> Loader<'a> {
        self.loader(Split::Train).dropping_last(self.drops_last).showing(true).strata(self.strata)
    }

    fn loader(&self, split: Split) -> Loader<'a> {
        let source = match split {
            Split::Train => &self.data.train,
            Split::Validation => &self.data.validation,
        };
        Loader::new(source.as_ref(), self.batch, &self.device).criterion(self.criterion.clone())
    }
}

impl Samples for Splits<'_> {
    fn each(&self, split: Split, visit: &mut dyn FnMut(&Batch) -> Result<()>) -> Result<()> {
        self.loader(split).in_order().visit(|batch| visit(&batch).map(Continue))
    }
    fn shuffled(&self, split: Split, seed: u64, visit: &mut dyn FnMut(&Batch) -> Result<()>) -> Result<()> {
        self.loader(split).epoch(seed, 0).visit(|batch| visit(&batch).map(Continue))
    }
}
