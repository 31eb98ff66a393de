//! Batches of a split and of what an epoch shows beside it, in an order that depends on (seed, epoch) and their number alone.

use aim_core::{Batch, Error, Extra, Result, Rng};
use candle_core::{Device, Tensor};

use crate::Subset;

/// Cuts a split into batches on a device. It has no position of its own: an epoch can be started again at any time.
#[derive(Clone, Debug)]
pub struct Loader<'a> {
    subset: &'a Subset,
    batch: usize,
    device: Device,
    drops_last: bool,
}

impl<'a> Loader<'a> {
    /// Batches of `batch` samples (at least 1); the last one of an epoch may be smaller.
    pub fn new(subset: &'a Subset, batch: usize, device: &Device) -> Self {
        Self { subset, batch: batch.max(1), device: device.clone(), drops_last: false }
    }

    /// Whether epochs leave out a last batch that is smaller.
    #[must_use]
    pub fn dropping_last(self, drops_last: bool) -> Self {
        Self { drops_last, ..self }
    }

    /// Batches in an epoch without extras.
    pub fn batches(&self) -> usize {
        self.count(self.subset.len())
    }

    fn count(&self, samples: usize) -> usize {
        if self.drops_last { samples / self.batch } else { samples.div_ceil(self.batch) }
    }

    /// Every sample once, in the order of (seed, epoch).
    pub fn epoch(&self, seed: u64, epoch: usize) -> impl ExactSizeIterator<Item = Result<Batch>> + use<'a> {
        self.epoch_with(seed, epoch, vec![])
    }

    /// Every sample once and the extras, in the order of (seed, epoch). A batch says what is present if a sample of it
    /// lacks a modality.
    pub fn epoch_with(
        &self,
        seed: u64,
        epoch: usize,
        extra: Vec<Extra>,
    ) -> impl ExactSizeIterator<Item = Result<Batch>> + use<'a> {
        let order = Rng::keyed(seed, &format!("loader@{epoch}")).permutation(self.subset.len() + extra.len());
        self.over(order, extra)
    }

    /// Every sample once, in the order of the split.
    pub fn in_order(&self) -> impl ExactSizeIterator<Item = Result<Batch>> + use<'a> {
        self.over((0..self.subset.len()).collect(), vec![])
    }

    fn over(&self, order: Vec<usize>, extra: Vec<Extra>) -> impl ExactSizeIterator<Item = Result<Batch>> + use<'a> {
        let count = self.count(order.len());
        let Self { subset, batch, device, .. } = self.clone();
        (0..count).map(move |i| {
            let index = &order[i * batch..((i + 1) * batch).min(order.len())];
            show(subset, index, &extra, &device)
        })
    }
}

/// The samples at `index`, which goes on into the extras where the split ends.
fn show(subset: &Subset, index: &[usize], extra: &[Extra], device: &Device) -> Result<Batch> {
    let extras: Vec<_> = index.iter().map(|i| extra.get(i.checked_sub(subset.len())?)).collect();
    let samples: Vec<usize> = index.iter().zip(&extras).map(|(i, e)| e.map_or(*i, |e| e.sample)).collect();
    let mut batch = subset.batch(&samples, device)?;
    if extras.iter().flatten().any(|e| e.present.contains(&false)) {
        batch.present = Some(present(&extras, subset.inputs.len(), device)?);
    }
    Ok(batch)
}

/// 1 where a row has a modality, `[B, M]`; a row that is no extra has all.
fn present(rows: &[Option<&Extra>], modalities: usize, device: &Device) -> Result<Tensor> {
    let mut values: Vec<f32> = Vec::with_capacity(rows.len() * modalities);
    for row in rows {
        match row {
            None => values.extend(vec![1.; modalities]),
            Some(extra) if extra.present.len() == modalities => {
                values.extend(extra.present.iter().map(|p| f32::from(u8::from(*p))));
            }
            Some(extra) => {
                let (name, want) = (format!("extra showing of sample {}", extra.sample), modalities);
                return Err(Error::shape(name, &[extra.present.len()], format!("a mask of {want} modalities")));
            }
        }
    }
    Ok(Tensor::from_vec(values, (rows.len(), modalities), device)?)
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
        let whole = loader.dropping_last(true);
        assert_eq!((whole.batches(), ids(whole.epoch(3, 0))), (2, first[..2].to_vec()));
    }

    #[test]
    fn extras_are_shuffled_in_with_their_masks() {
        let mut subset = subset(4);
        subset.inputs.push(subset.inputs[0].clone());
        let loader = Loader::new(&subset, 3, &Device::Cpu);
        let keep = |present: [bool; 2]| Extra { sample: 2, present: present.into() };
        let epoch = |extra| loader.epoch_with(3, 0, extra).collect::<Result<Vec<_>>>();
        let batches = epoch(vec![keep([true, false]), keep([true, true]), keep([false, true])]).unwrap();
        assert_eq!(batches.iter().map(Batch::len).collect::<Vec<_>>(), [3, 3, 1]);
        let mut shown = vec![];
        for batch in &batches {
            let whole = Tensor::ones((batch.len(), 2), candle_core::DType::F32, &Device::Cpu).unwrap();
            let present = batch.present.clone().unwrap_or(whole).to_vec2::<f32>().unwrap();
            assert_eq!(batch.present.is_some(), present.iter().any(|row| row.contains(&0.)));
            let labels = batch.labels.to_vec1::<u32>().unwrap();
            shown.extend(labels.into_iter().zip(present).map(|(y, p)| (y, p[0] as u8, p[1] as u8)));
        }
        shown.sort_unstable();
        assert_eq!(shown, [(0, 1, 1), (1, 1, 1), (2, 0, 1), (2, 1, 0), (2, 1, 1), (2, 1, 1), (3, 1, 1)]);
        assert_eq!(ids(loader.epoch_with(3, 0, vec![])), ids(loader.epoch(3, 0)));
        let error = epoch(vec![Extra { sample: 1, present: vec![false] }]).unwrap_err().to_string();
        assert!(error.contains("sample 1") && error.contains("2 modalities"), "{error}");
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
