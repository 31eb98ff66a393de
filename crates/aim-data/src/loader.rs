//! Batches of a split, in an order that depends on (seed, epoch) alone.

use aim_core::{Batch, Result, Rng};
use candle_core::Device;

use crate::Subset;

/// Cuts a split into batches on a device. It has no position of its own: an epoch can be started again at any time.
#[derive(Clone, Debug)]
pub struct Loader<'a> {
    subset: &'a Subset,
    batch: usize,
    device: Device,
}

impl<'a> Loader<'a> {
    /// Batches of `batch` samples (at least 1); the last one of an epoch may be smaller, and is never dropped.
    pub fn new(subset: &'a Subset, batch: usize, device: &Device) -> Self {
        Self { subset, batch: batch.max(1), device: device.clone() }
    }

    /// Batches in an epoch.
    pub fn batches(&self) -> usize {
        self.subset.len().div_ceil(self.batch)
    }

    /// Every sample once, in the order of (seed, epoch).
    pub fn epoch(&self, seed: u64, epoch: usize) -> impl Iterator<Item = Result<Batch>> + use<'a> {
        self.over(Rng::keyed(seed, &format!("loader@{epoch}")).permutation(self.subset.len()))
    }

    /// Every sample once, in the order of the split.
    pub fn in_order(&self) -> impl Iterator<Item = Result<Batch>> + use<'a> {
        self.over((0..self.subset.len()).collect())
    }

    fn over(&self, order: Vec<usize>) -> impl Iterator<Item = Result<Batch>> + use<'a> {
        let Self { subset, batch, device } = self.clone();
        let count = order.len().div_ceil(batch);
        (0..count).map(move |i| subset.batch(&order[i * batch..((i + 1) * batch).min(order.len())], &device))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Tensor;

    use super::*;

    fn subset(n: usize) -> Subset {
        let x = Tensor::arange(0f32, n as f32, &Device::Cpu).unwrap().reshape((n, 1)).unwrap();
        Subset { inputs: vec![x], labels: (0..n as u32).collect(), ids: (0..n).map(|i| format!("sample{i}")).collect() }
    }

    fn ids(batches: impl Iterator<Item = Result<Batch>>) -> Vec<Vec<usize>> {
        batches.map(|b| b.unwrap().ids).collect()
    }

    #[test]
    fn order_depends_on_seed_and_epoch_and_covers_every_sample() {
        let subset = subset(10);
        let loader = Loader::new(&subset, 4, &Device::Cpu);
        let first = ids(loader.epoch(3, 0));
        assert_eq!(first.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 2]);
        assert_eq!(first, ids(loader.epoch(3, 0)));
        assert_ne!(first, ids(loader.epoch(3, 1)));
        assert_ne!(first, ids(loader.epoch(4, 0)));
        let mut all = first.concat();
        all.sort_unstable();
        assert_eq!(all, (0..10).collect::<Vec<_>>());
        assert_eq!(ids(loader.in_order()).concat(), all);
        assert_eq!(loader.batches(), 3);
    }

    #[test]
    fn inputs_and_labels_stay_together() {
        let subset = subset(7);
        for batch in Loader::new(&subset, 3, &Device::Cpu).epoch(0, 0) {
            let batch = batch.unwrap();
            let x = batch.inputs[0].flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let y = batch.labels.to_vec1::<u32>().unwrap();
            assert_eq!(x.iter().map(|v| *v as u32).collect::<Vec<_>>(), y);
            assert_eq!(batch.ids.iter().map(|i| *i as u32).collect::<Vec<_>>(), y);
        }
    }
}
