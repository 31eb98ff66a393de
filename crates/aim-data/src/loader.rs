//! Batches of a split and of what an epoch shows beside it, in an order that depends on (seed, epoch) and their number
//! alone.

use aim_core::{Batch, Error, Extra, Result, Rng};
use candle_core::Device;

use crate::{
    Showing, Source,
    source::{possession, present},
};

/// Cuts a split into batches on a device. It has no position of its own: an epoch can be started again at any time.
#[derive(Clone, Debug)]
pub struct Loader<'a> {
    source: &'a dyn Source,
    batch: usize,
    device: Device,
    drops_last: bool,
    trains: bool,
}

impl<'a> Loader<'a> {
    /// Batches of `batch` samples (at least 1); the last one of an epoch may be smaller.
    pub fn new(source: &'a dyn Source, batch: usize, device: &Device) -> Self {
        Self { source, batch: batch.max(1), device: device.clone(), drops_last: false, trains: false }
    }

    /// Whether epochs leave out a last batch that is smaller.
    #[must_use]
    pub fn dropping_last(self, drops_last: bool) -> Self {
        Self { drops_last, ..self }
    }

    /// Whether epochs show samples as training does, with random changes by (seed, epoch, sample) where the set's
    /// settings ask for them.
    #[must_use]
    pub fn showing(self, trains: bool) -> Self {
        Self { trains, ..self }
    }

    /// Batches in an epoch without extras.
    pub fn batches(&self) -> usize {
        self.count(self.source.len())
    }

    fn count(&self, samples: usize) -> usize {
        if self.drops_last { samples / self.batch } else { samples.div_ceil(self.batch) }
    }

    /// Every sample once, in the order of (seed, epoch).
    pub fn epoch(&self, seed: u64, epoch: usize) -> impl ExactSizeIterator<Item = Result<Batch>> + use<'a> {
        self.epoch_from(0, seed, epoch, vec![])
    }

    /// Every sample once and the extras, in the order of (seed, epoch), from batch `first` on. A batch says what is
    /// present if a sample of it lacks a modality.
    pub fn epoch_from(
        &self,
        first: usize,
        seed: u64,
        epoch: usize,
        extra: Vec<Extra>,
    ) -> impl ExactSizeIterator<Item = Result<Batch>> + use<'a> {
        let order = Rng::keyed(seed, &format!("loader@{epoch}")).permutation(self.source.len() + extra.len());
        self.over(first, order, extra, self.trains.then_some(Showing { seed, epoch }))
    }

    /// Every sample once, in the order of the split.
    pub fn in_order(&self) -> impl ExactSizeIterator<Item = Result<Batch>> + use<'a> {
        self.over(0, (0..self.source.len()).collect(), vec![], None)
    }

    fn over(
        &self,
        first: usize,
        order: Vec<usize>,
        extra: Vec<Extra>,
        showing: Option<Showing>,
    ) -> impl ExactSizeIterator<Item = Result<Batch>> + use<'a> {
        let count = self.count(order.len());
        let Self { source, batch, device, .. } = self.clone();
        (first.min(count)..count).map(move |i| {
            let index = &order[i * batch..((i + 1) * batch).min(order.len())];
            show(source, index, &extra, showing, &device)
        })
    }
}

/// The samples at `index`, which goes on into the extras where the split ends.
fn show(
    source: &dyn Source,
    index: &[usize],
    extra: &[Extra],
    showing: Option<Showing>,
    device: &Device,
) -> Result<Batch> {
    let extras: Vec<_> = index.iter().map(|i| extra.get(i.checked_sub(source.len())?)).collect();
    let samples: Vec<usize> = index.iter().zip(&extras).map(|(i, e)| e.map_or(*i, |e| e.sample)).collect();
    let mut batch = source.batch_shown(&samples, showing, device)?;
    if extras.iter().any(Option::is_some) {
        let row = |(sample, extra): (&usize, &Option<&Extra>)| kept(possession(source, *sample), *extra);
        batch.present = present(&samples.iter().zip(&extras).map(row).collect::<Result<Vec<_>>>()?, device)?;
    }
    Ok(batch)
}

/// Which modalities a showing of a sample has: those of the sample that the extra keeps.
fn kept(mut has: Vec<bool>, extra: Option<&Extra>) -> Result<Vec<bool>> {
    let Some(Extra { sample, present }) = extra else { return Ok(has) };
    if present.len() != has.len() {
        let name = format!("extra showing of sample {sample}");
        return Err(Error::shape(name, &[present.len()], format!("a mask of {} modalities", has.len())));
    }
    has.iter_mut().zip(present).for_each(|(has, kept)| *has &= kept);
    Ok(has)
}

#[cfg(test)]
mod tests {
    use candle_core::Tensor;

    use super::*;
    use crate::Subset;

    fn subset(n: usize, modalities: usize) -> Subset {
        let x = Tensor::arange(0f32, n as f32, &Device::Cpu).unwrap().reshape((n, 1)).unwrap();
        let ids = (0..n).map(|i| format!("sample{i}")).collect();
        Subset::new(vec![x; modalities], (0..n as u32).collect(), ids).unwrap()
    }

    fn ids(batches: impl Iterator<Item = Result<Batch>>) -> Vec<Vec<usize>> {
        batches.map(|b| b.unwrap().ids).collect()
    }

    #[test]
    fn order_depends_on_seed_and_epoch_and_covers_every_sample() {
        let subset = subset(10, 1);
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
        let subset = subset(4, 2);
        let loader = Loader::new(&subset, 3, &Device::Cpu);
        let keep = |present: [bool; 2]| Extra { sample: 2, present: present.into() };
        let epoch = |extra| loader.epoch_from(0, 3, 0, extra).collect::<Result<Vec<_>>>();
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
        assert_eq!(ids(loader.epoch_from(1, 3, 0, vec![])), ids(loader.epoch(3, 0))[1..]);
        let error = epoch(vec![Extra { sample: 1, present: vec![false] }]).unwrap_err().to_string();
        assert!(error.contains("sample 1") && error.contains("2 modalities"), "{error}");
    }

    #[test]
    fn an_extra_keeps_no_modality_that_the_sample_lacks() {
        let extra = |present: [bool; 2]| Extra { sample: 7, present: present.into() };
        assert_eq!(kept(vec![true, false], Some(&extra([false, true]))).unwrap(), [false, false]);
        assert_eq!(kept(vec![true, false], Some(&extra([true, true]))).unwrap(), [true, false]);
        assert_eq!(kept(vec![true, false], None).unwrap(), [true, false]);
    }

    #[test]
    fn inputs_and_labels_stay_together() {
        let subset = subset(7, 1);
        for batch in Loader::new(&subset, 3, &Device::Cpu).epoch(0, 0) {
            let batch = batch.unwrap();
            let x = batch.inputs[0].values.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let y = batch.labels.to_vec1::<u32>().unwrap();
            assert_eq!(x.iter().map(|v| *v as u32).collect::<Vec<_>>(), y);
            assert_eq!(batch.ids.iter().map(|i| *i as u32).collect::<Vec<_>>(), y);
        }
    }
}
