//! Parts of a split, which read nothing until they are asked.

use std::sync::Arc;

use aim_core::{Input, Result};
use candle_core::{Device, Tensor};

use crate::{Fitted, Reading, Showing, Source};

/// Some modalities of a split.
pub struct Projected {
    of: Arc<dyn Source>,
    modalities: Vec<usize>,
    shapes: Vec<Vec<usize>>,
}

impl Projected {
    /// These modalities (indices in the split's order), in this order.
    pub fn new(of: Arc<dyn Source>, modalities: Vec<usize>) -> Self {
        let shapes = modalities.iter().filter_map(|&m| of.shapes().get(m).cloned()).collect();
        Self { of, modalities, shapes }
    }
}

impl Source for Projected {
    fn labels(&self) -> &[u32] {
        self.of.labels()
    }
    fn ids(&self) -> &[String] {
        self.of.ids()
    }
    fn shapes(&self) -> &[Vec<usize>] {
        &self.shapes
    }
    fn input(&self, modality: usize, index: &[usize], device: &Device) -> Result<Input> {
        self.of.input(self.modalities[modality], index, device)
    }
    fn shown(&self, modality: usize, index: &[usize], showing: Showing, device: &Device) -> Result<Input> {
        self.of.shown(self.modalities[modality], index, showing, device)
    }
    fn has(&self, sample: usize, modality: usize) -> bool {
        self.of.has(sample, self.modalities[modality])
    }
    fn fitted(&self, modality: usize) -> Option<Fitted> {
        self.of.fitted(self.modalities[modality])
    }
    fn checks_values(&self) -> bool {
        self.of.checks_values()
    }
    fn groups(&self) -> &[u32] {
        self.of.groups()
    }
    fn read_by(&self, reading: &Reading) {
        self.of.read_by(reading);
    }
    fn reading(&self) -> Reading {
        self.of.reading()
    }
}

/// The first samples of a split.
pub struct First {
    of: Arc<dyn Source>,
    count: usize,
}

impl First {
    /// The first `count` samples, or all where there are fewer.
    pub fn new(of: Arc<dyn Source>, count: usize) -> Self {
        let count = count.min(of.len());
        Self { of, count }
    }
}

impl Source for First {
    fn labels(&self) -> &[u32] {
        &self.of.labels()[..self.count]
    }
    fn ids(&self) -> &[String] {
        &self.of.ids()[..self.count]
    }
    fn shapes(&self) -> &[Vec<usize>] {
        self.of.shapes()
    }
    fn input(&self, modality: usize, index: &[usize], device: &Device) -> Result<Input> {
        self.of.input(modality, index, device)
    }
    fn shown(&self, modality: usize, index: &[usize], showing: Showing, device: &Device) -> Result<Input> {
        self.of.shown(modality, index, showing, device)
    }
    fn has(&self, sample: usize, modality: usize) -> bool {
        self.of.has(sample, modality)
    }
    fn fitted(&self, modality: usize) -> Option<Fitted> {
        self.of.fitted(modality)
    }
    fn groups(&self) -> &[u32] {
        &self.of.groups()[..self.count.min(self.of.groups().len())]
    }
    fn read_by(&self, reading: &Reading) {
        self.of.read_by(reading);
    }
    fn reading(&self) -> Reading {
        self.of.reading()
    }
}

/// The samples of one split, then those of another.
pub struct Joined {
    parts: [Arc<dyn Source>; 2],
    labels: Vec<u32>,
    ids: Vec<String>,
    groups: Vec<u32>,
}

impl Joined {
    /// Two splits of the same modalities as one.
    pub fn new(first: Arc<dyn Source>, second: Arc<dyn Source>) -> Self {
        let labels = [first.labels(), second.labels()].concat();
        let ids = [first.ids(), second.ids()].concat();
        let groups = [first.groups(), second.groups()].concat();
        Self { parts: [first, second], labels, ids, groups }
    }

    /// What both give of their samples at `index`, in that order.
    fn both(&self, index: &[usize], read: impl Fn(&dyn Source, &[usize]) -> Result<Input>) -> Result<Input> {
        let border = self.parts[0].len();
        let (mut own, mut at): ([Vec<usize>; 2], Vec<(usize, usize)>) = Default::default();
        for i in index {
            let (part, i) = if *i < border { (0, *i) } else { (1, i - border) };
            at.push((part, own[part].len()));
            own[part].push(i);
        }
        match (own[0].is_empty(), own[1].is_empty()) {
            (_, true) => return read(&*self.parts[0], &own[0]),
            (true, false) => return read(&*self.parts[1], &own[1]),
            (false, false) => {}
        }
        let [first, second] = [read(&*self.parts[0], &own[0])?, read(&*self.parts[1], &own[1])?];
        let order = at.into_iter().map(|(part, k)| (part * own[0].len() + k) as u32).collect::<Vec<_>>();
        let order = Tensor::new(order, first.values.device())?;
        let valid = match (first.valid, second.valid) {
            (Some(a), Some(b)) => Some(Tensor::cat(&[a, b], 0)?),
            _ => None,
        };
        Input { values: Tensor::cat(&[first.values, second.values], 0)?, valid }.rows(&order)
    }
}

impl Source for Joined {
    fn labels(&self) -> &[u32] {
        &self.labels
    }
    fn ids(&self) -> &[String] {
        &self.ids
    }
    fn shapes(&self) -> &[Vec<usize>] {
        self.parts[0].shapes()
    }
    fn input(&self, modality: usize, index: &[usize], device: &Device) -> Result<Input> {
        self.both(index, |part, index| part.input(modality, index, device))
    }
    fn shown(&self, modality: usize, index: &[usize], showing: Showing, device: &Device) -> Result<Input> {
        self.both(index, |part, index| part.shown(modality, index, showing, device))
    }
    fn has(&self, sample: usize, modality: usize) -> bool {
        let border = self.parts[0].len();
        if sample < border { self.parts[0].has(sample, modality) } else { self.parts[1].has(sample - border, modality) }
    }
    fn fitted(&self, modality: usize) -> Option<Fitted> {
        self.parts[0].fitted(modality)
    }
    fn groups(&self) -> &[u32] {
        &self.groups
    }
    fn read_by(&self, reading: &Reading) {
        self.parts.iter().for_each(|part| part.read_by(reading));
    }
    fn reading(&self) -> Reading {
        self.parts[0].reading()
    }
}

#[cfg(test)]
mod tests {
    use candle_core::DType;

    use super::*;
    use crate::Subset;

    /// Three samples of three modalities, the last of which is a padded sequence; the second sample lacks the first
    /// modality.
    struct Lacking(Subset);

    impl Source for Lacking {
        fn labels(&self) -> &[u32] {
            self.0.labels()
        }
        fn ids(&self) -> &[String] {
            self.0.ids()
        }
        fn shapes(&self) -> &[Vec<usize>] {
            self.0.shapes()
        }
        fn input(&self, modality: usize, index: &[usize], device: &Device) -> Result<Input> {
            self.0.input(modality, index, device)
        }
        fn has(&self, sample: usize, modality: usize) -> bool {
            (sample, modality) != (1, 0)
        }
    }

    fn input(from: f32, width: usize) -> Tensor {
        Tensor::arange(from, from + 3. * width as f32, &Device::Cpu).unwrap().reshape((3, width)).unwrap()
    }

    fn split(order: &[usize]) -> Subset {
        let valid = Tensor::new(&[[1u8, 1], [1, 0], [1, 1]], &Device::Cpu).unwrap();
        let all = [input(0., 1).into(), input(10., 1).into(), Input::padded(input(20., 2), valid).unwrap()];
        let ids = (0..3).map(|i| format!("s{i}")).collect();
        Subset::of(order.iter().map(|&m| all[m].clone()).collect(), vec![0, 1, 0], ids).unwrap()
    }

    fn digest(source: &dyn Source) -> Vec<u8> {
        let mut all = vec![];
        source.digest(&mut |bytes| all.extend_from_slice(bytes)).unwrap();
        all
    }

    #[test]
    fn some_modalities_of_a_split_are_the_split_of_those_modalities() {
        let view = Projected::new(Arc::new(split(&[0, 1, 2])), vec![2, 0]);
        let own = split(&[2, 0]);
        assert_eq!((view.shapes(), view.ids(), view.labels()), (own.shapes(), own.ids(), own.labels()));
        assert_eq!(digest(&view), digest(&own));
        assert_ne!(digest(&view), digest(&split(&[0, 2])));
        let batch = view.batch(&[2, 1], &Device::Cpu).unwrap();
        assert_eq!(batch.inputs[0].values.to_vec2::<f32>().unwrap(), [[24., 25.], [22., 23.]]);
        assert_eq!(batch.inputs[0].valid.as_ref().unwrap().to_vec2::<u8>().unwrap(), [[1, 1], [1, 0]]);
        assert_eq!(batch.inputs[1].values.to_vec2::<f32>().unwrap(), [[2.], [1.]]);
        assert_eq!((batch.ids, batch.labels.to_vec1::<u32>().unwrap()), (vec![2, 1], vec![0, 1]));
    }

    #[test]
    fn the_first_samples_of_a_split_are_a_split() {
        let view = First::new(Arc::new(split(&[0, 1])), 2);
        assert_eq!((view.len(), view.ids(), view.labels()), (2, &["s0".to_owned(), "s1".to_owned()][..], &[0, 1][..]));
        let refused = view.batch(&[2], &Device::Cpu).unwrap_err().to_string();
        assert!(refused.contains("indices below 2"), "{refused}");
        let whole = First::new(Arc::new(split(&[0, 1])), 9);
        assert_eq!((whole.len(), digest(&whole)), (3, digest(&split(&[0, 1]))));
    }

    #[test]
    fn two_splits_in_any_order_are_one() {
        let joined = Joined::new(Arc::new(split(&[0, 2])), Arc::new(First::new(Arc::new(Lacking(split(&[0, 2]))), 2)));
        assert_eq!((joined.len(), joined.labels()), (5, &[0, 1, 0, 0, 1][..]));
        let batch = joined.batch(&[4, 0, 3, 2], &Device::Cpu).unwrap();
        assert_eq!(batch.inputs[0].values.to_vec2::<f32>().unwrap(), [[1.], [0.], [0.], [2.]]);
        let valid = batch.inputs[1].valid.as_ref().unwrap().to_vec2::<u8>().unwrap();
        assert_eq!(valid, [[1, 0], [1, 1], [1, 1], [1, 1]]);
        assert_eq!(batch.labels.to_vec1::<u32>().unwrap(), [1, 0, 0, 0]);
        assert_eq!([joined.has(1, 0), joined.has(4, 0), joined.has(4, 1)], [true, false, true]);
        let one = joined.batch(&[1], &Device::Cpu).unwrap();
        assert_eq!(one.inputs[0].values.to_vec2::<f32>().unwrap(), [[1.]]);
    }

    #[test]
    fn what_a_sample_lacks_is_said_in_its_batch_by_views_and_in_the_checksum() {
        let source: Arc<dyn Source> = Arc::new(Lacking(split(&[0, 1, 2])));
        let present = |source: &dyn Source, index: &[usize]| {
            let batch = source.batch(index, &Device::Cpu).unwrap();
            batch.present.map(|p| p.to_dtype(DType::U8).unwrap().to_vec2::<u8>().unwrap())
        };
        assert_eq!(present(&*source, &[0, 1]), Some(vec![vec![1, 1, 1], vec![0, 1, 1]]));
        assert_eq!(present(&*source, &[0, 2]), None);
        assert_eq!(present(&Projected::new(Arc::clone(&source), vec![2, 0]), &[1]), Some(vec![vec![1, 0]]));
        assert_eq!(present(&Projected::new(Arc::clone(&source), vec![1, 2]), &[1]), None);
        assert_eq!(present(&First::new(Arc::clone(&source), 2), &[1]), Some(vec![vec![0, 1, 1]]));
        assert_ne!(digest(&*source), digest(&split(&[0, 1, 2])));
    }
}
