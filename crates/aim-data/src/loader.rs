//! Batches of a split or of what a plan shows of it, in an order that depends on (seed, epoch) and their number alone.

use std::{ops::ControlFlow, sync::mpsc, thread};

use aim_core::{Batch, Criterion, Error, Extra, Plan, Result, Rng};
use candle_core::Device;

use crate::{
    Showing, Source,
    shares::shares,
    source::{possession, present},
};

/// Cuts a split into batches on a device. It has no position of its own: an epoch can be started again at any time.
#[derive(Clone, Debug)]
pub struct Loader<'a> {
    source: &'a dyn Source,
    batch: usize,
    device: Device,
    drops_last: bool,
    criterion: Criterion,
    trains: bool,
    strata: &'a [u32],
}

impl<'a> Loader<'a> {
    /// Batches of `batch` samples (at least 1); the last one of an epoch may be smaller.
    pub fn new(source: &'a dyn Source, batch: usize, device: &Device) -> Self {
        let criterion = Criterion::default();
        let (batch, device) = (batch.max(1), device.clone());
        Self { source, batch, device, drops_last: false, criterion, trains: false, strata: &[] }
    }

    /// Whether epochs leave out a last batch that is smaller; of turns, that of the last one.
    #[must_use]
    pub fn dropping_last(self, drops_last: bool) -> Self {
        Self { drops_last, ..self }
    }

    /// How the task's loss counts the labels of every batch.
    #[must_use]
    pub fn criterion(self, criterion: Criterion) -> Self {
        Self { criterion, ..self }
    }

    /// Whether epochs show samples as training does, with random changes by (seed, epoch, sample) where the set's
    /// settings ask for them.
    #[must_use]
    pub fn showing(self, trains: bool) -> Self {
        Self { trains, ..self }
    }

    /// Of which stratum each sample is, a class or a group: shuffled epochs then show every stratum equally often in
    /// place of every sample once. With an empty list they do not. Turns of a plan choose their samples by themselves.
    #[must_use]
    pub fn strata(self, strata: &'a [u32]) -> Self {
        Self { strata, ..self }
    }

    /// Batches in an epoch without extras.
    pub fn batches(&self) -> usize {
        self.count(self.source.len())
    }

    fn count(&self, samples: usize) -> usize {
        if self.drops_last { samples / self.batch } else { samples.div_ceil(self.batch) }
    }

    /// Every sample once, in the order of (seed, epoch).
    pub fn epoch(&self, seed: u64, epoch: usize) -> Batches<'a> {
        self.epoch_from(0, seed, epoch, Plan::default())
    }

    /// What a plan shows, in the order of (seed, epoch), from batch `first` on. A batch says what is present if a
    /// sample of it lacks a modality.
    pub fn epoch_from(&self, first: usize, seed: u64, epoch: usize, plan: Plan) -> Batches<'a> {
        let showing = self.trains.then_some(Showing { seed, epoch });
        let order = |turn: &str, showings| Rng::keyed(seed, &format!("loader@{epoch}{turn}")).permutation(showings);
        if plan.turns.is_empty() {
            let mut order = order("", self.source.len() + plan.extra.len());
            if !self.strata.is_empty() {
                let shown = shares(self.strata, &mut Rng::keyed(seed, &format!("sampler@{epoch}")));
                order.iter_mut().for_each(|place| *place = shown.get(*place).copied().unwrap_or(*place));
            }
            return self.over(first, self.cut(&order, &[]), plan.extra, showing);
        }
        let (mut cuts, mut shown) = (vec![], vec![]);
        for (turn, (showings, resting)) in turns(plan).into_iter().enumerate() {
            let start = self.source.len() + shown.len();
            let order: Vec<usize> =
                order(&format!(".{turn}"), showings.len()).into_iter().map(|place| start + place).collect();
            cuts.extend(self.cut(&order, &resting));
            shown.extend(showings);
        }
        self.over(first, cuts, shown, showing)
    }

    /// Every sample once, in the order of the split.
    pub fn in_order(&self) -> Batches<'a> {
        let order: Vec<usize> = (0..self.source.len()).collect();
        self.over(0, self.cut(&order, &[]), vec![], None)
    }

    fn cut(&self, order: &[usize], resting: &[usize]) -> Vec<Cut> {
        order.chunks(self.batch).map(|index| Cut { index: index.to_vec(), resting: resting.to_vec() }).collect()
    }

    fn over(&self, first: usize, mut cuts: Vec<Cut>, extra: Vec<Extra>, showing: Option<Showing>) -> Batches<'a> {
        cuts.pop_if(|last| self.drops_last && last.index.len() < self.batch);
        let Self { source, device, criterion, .. } = self.clone();
        Batches { cuts, first, maker: Maker { source, device, criterion, extra, showing } }
    }
}

/// Batches that are made one after the other.
pub struct Batches<'a> {
    cuts: Vec<Cut>,
    /// The next one.
    first: usize,
    maker: Maker<'a>,
}

impl Iterator for Batches<'_> {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        let cut = self.cuts.get(self.first)?;
        self.first += 1;
        Some(self.maker.make(cut))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = self.cuts.len().saturating_sub(self.first);
        (left, Some(left))
    }
}

impl ExactSizeIterator for Batches<'_> {}

impl Batches<'_> {
    /// Shows the batches to `visit` one after the other, until it breaks off. Where the source wants it, threads make
    /// the next ones meanwhile, one each: the same batches in the same order.
    ///
    /// # Errors
    /// Those of the source and of `visit`.
    pub fn visit(self, mut visit: impl FnMut(Batch) -> Result<ControlFlow<()>>) -> Result<()> {
        let workers = self.maker.source.reading().workers().min(self.len());
        if workers == 0 {
            for batch in self {
                if visit(batch?)?.is_break() {
                    break;
                }
            }
            return Ok(());
        }
        let (maker, cuts) = (&self.maker, &self.cuts[self.first..]);
        thread::scope(|scope| {
            let lane = |lane: usize| {
                // Without room for a batch that waits: a worker holds the one that it has made.
                let (sender, receiver) = mpsc::sync_channel(0);
                let mut own = cuts.iter().skip(lane).step_by(workers);
                // Nobody receives any more once a visit has broken off.
                scope.spawn(move || own.all(|cut| sender.send(maker.make(cut)).is_ok()));
                receiver
            };
            let lanes: Vec<_> = (0..workers).map(lane).collect();
            for (_, lane) in cuts.iter().zip(lanes.iter().cycle()) {
                // A worker ends early only by a panic, which the scope passes on.
                let Ok(batch) = lane.recv() else { break };
                if visit(batch?)?.is_break() {
                    break;
                }
            }
            Ok(())
        })
    }
}

/// Makes batches.
struct Maker<'a> {
    source: &'a dyn Source,
    device: Device,
    criterion: Criterion,
    extra: Vec<Extra>,
    showing: Option<Showing>,
}

impl Maker<'_> {
    fn make(&self, cut: &Cut) -> Result<Batch> {
        let Self { source, device, criterion, extra, showing } = self;
        Ok(Batch { criterion: criterion.clone(), ..show(*source, cut, extra, *showing, device)? })
    }
}

/// A batch that is to be shown: samples of the split by index, which goes on into the extras where the split ends.
struct Cut {
    index: Vec<usize>,
    resting: Vec<usize>,
}

/// The showings of each turn of a plan, and the modalities whose encoders rest in it.
fn turns(Plan { mut extra, turns }: Plan) -> Vec<(Vec<Extra>, Vec<usize>)> {
    let mut all = Vec::with_capacity(turns.len() + 1);
    for turn in turns {
        let own = turn.samples.into_iter().map(|sample| Extra { sample, present: turn.present.clone() });
        let (joining, others) = extra.into_iter().partition(|extra| extra.present == turn.present);
        let absent = turn.present.iter().enumerate().filter(|(_, kept)| turn.rest && !**kept).map(|(m, _)| m);
        all.push((own.chain::<Vec<Extra>>(joining).collect(), absent.collect()));
        extra = others;
    }
    all.push((extra, vec![]));
    all
}

fn show(
    source: &dyn Source,
    Cut { index, resting }: &Cut,
    extra: &[Extra],
    showing: Option<Showing>,
    device: &Device,
) -> Result<Batch> {
    let extras: Vec<_> = index.iter().map(|i| extra.get(i.checked_sub(source.len())?)).collect();
    let samples: Vec<usize> = index.iter().zip(&extras).map(|(i, e)| e.map_or(*i, |e| e.sample)).collect();
    let mut batch = source.batch_shown(&samples, showing, device)?;
    batch.resting.clone_from(resting);
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
    use aim_core::{Input, Turn};
    use candle_core::Tensor;

    use super::*;
    use crate::{Reading, Subset};

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
    fn strata_are_shown_equally_often_and_extras_beside_them() {
        let subset = subset(8, 2);
        let strata = [0, 0, 0, 0, 0, 0, 1, 1];
        let loader = Loader::new(&subset, 3, &Device::Cpu).strata(&strata);
        let first = ids(loader.epoch(3, 0));
        let count = |epoch: &[Vec<usize>]| epoch.concat().into_iter().filter(|sample| *sample > 5).count();
        assert_eq!((first.iter().map(Vec::len).sum::<usize>(), count(&first)), (8, 4));
        assert_eq!(first, ids(loader.epoch(3, 0)));
        assert_ne!(first, ids(loader.epoch(3, 1)));
        let extra = vec![Extra { sample: 7, present: vec![true, false] }; 2];
        let more = ids(loader.epoch_from(0, 3, 0, Plan { extra, turns: vec![] }));
        assert_eq!((more.concat().len(), count(&more)), (10, 6));
        assert_eq!(ids(loader.in_order()).concat(), (0..8).collect::<Vec<_>>());
    }

    #[test]
    fn batches_that_were_read_ahead_are_the_same() {
        /// Samples in memory of which it is said that reading takes time, and one of which cannot be read.
        struct Slow(Subset, Reading, Option<usize>);
        impl Source for Slow {
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
                match self.2.filter(|bad| index.contains(bad)) {
                    Some(_) => Err(Error::invalid("sample", "cannot be read", "mend it")),
                    None => self.0.input(modality, index, device),
                }
            }
            fn reading(&self) -> Reading {
                self.1.clone()
            }
        }
        let plan = || Plan { extra: vec![Extra { sample: 2, present: vec![true, false] }; 3], turns: vec![] };
        let seen = |workers, bad, most: usize| {
            let source = Slow(subset(20, 2), Reading::new(1, workers), bad);
            let mut seen = vec![];
            let result = Loader::new(&source, 3, &Device::Cpu).epoch_from(1, 5, 2, plan()).visit(|batch| {
                let values = batch.inputs[1].values.flatten_all()?.to_vec1::<f32>()?;
                seen.push((batch.ids, values, batch.present.is_some()));
                Ok(if seen.len() == most { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            });
            (seen, result.map_err(|e| e.to_string()))
        };
        let all = seen(0, None, 99);
        assert_eq!((all.0.len(), &all.1), (7, &Ok(())));
        for workers in [1, 2, 4, 9] {
            assert_eq!(seen(workers, None, 99), all);
            assert_eq!(seen(workers, None, 3), seen(0, None, 3));
            let broken = seen(workers, Some(11), 99);
            assert_eq!(broken, seen(0, Some(11), 99));
            assert!(broken.1.unwrap_err().contains("cannot be read"));
        }
    }

    #[test]
    fn extras_are_shuffled_in_with_their_masks() {
        let subset = subset(4, 2);
        let loader = Loader::new(&subset, 3, &Device::Cpu);
        let keep = |present: [bool; 2]| Extra { sample: 2, present: present.into() };
        let epoch = |extra| loader.epoch_from(0, 3, 0, Plan { extra, turns: vec![] }).collect::<Result<Vec<_>>>();
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
        assert_eq!(ids(loader.epoch_from(1, 3, 0, Plan::default())), ids(loader.epoch(3, 0))[1..]);
        let error = epoch(vec![Extra { sample: 1, present: vec![false] }]).unwrap_err().to_string();
        assert!(error.contains("sample 1") && error.contains("2 modalities"), "{error}");
    }

    #[test]
    fn a_turn_has_batches_of_its_own_and_extras_join_it() {
        let subset = subset(6, 2);
        let loader = Loader::new(&subset, 2, &Device::Cpu);
        let turn = |samples: &[usize], present: [bool; 2], rest| Turn {
            samples: samples.into(),
            present: present.into(),
            rest,
        };
        let extra = |sample, present: [bool; 2]| Extra { sample, present: present.into() };
        let plan = Plan {
            extra: vec![extra(0, [true, true]), extra(5, [true, false])],
            turns: vec![turn(&[0, 2, 4], [false, true], true), turn(&[1, 3], [true, false], false)],
        };
        let batches: Vec<Batch> = loader.epoch_from(0, 3, 0, plan.clone()).collect::<Result<_>>().unwrap();
        let seen: Vec<_> = batches.iter().map(|b| (b.len(), b.resting.clone())).collect();
        assert_eq!(seen, [(2, vec![0]), (1, vec![0]), (2, vec![]), (1, vec![]), (1, vec![])]);
        let kept = |b: &Batch| b.present.as_ref().map(|p| p.to_vec2::<f32>().unwrap()[0].clone());
        let own = [Some(vec![0., 1.]), Some(vec![1., 0.]), None];
        assert_eq!(batches.iter().map(kept).collect::<Vec<_>>(), [0, 0, 1, 1, 2].map(|turn: usize| own[turn].clone()));
        let sorted = |range: std::ops::Range<usize>| {
            let mut all = batches[range].iter().flat_map(|b| b.ids.clone()).collect::<Vec<_>>();
            all.sort_unstable();
            all
        };
        assert_eq!([sorted(0..2), sorted(2..4), sorted(4..5)], [vec![0, 2, 4], vec![1, 3, 5], vec![0]]);
        let whole = ids(loader.epoch_from(0, 3, 0, plan.clone()));
        assert_eq!(ids(loader.epoch_from(3, 3, 0, plan.clone())), whole[3..]);
        assert_ne!(ids(loader.epoch_from(0, 4, 0, plan.clone())), whole, "a seed shuffles within turns");
        let dropped = ids(loader.dropping_last(true).epoch_from(0, 3, 0, plan));
        assert_eq!(dropped, whole[..4], "only the epoch's last batch is left out, not one a turn");
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
