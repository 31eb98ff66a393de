//! Splits whose samples lack modalities at a rate.

use std::sync::Arc;

use aim_core::{Input, Result, Rng};
use candle_core::Device;

use crate::{Dataset, Fitted, Reading, Showing, Source, source::possession};

/// What a rate of missing modalities counts. The literature means either, so that a rate says nothing without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// Every modality of every sample is missing with that probability, independent of all others; of a sample that
    /// would lose all it has, one stays. Of two modalities at rate r, about 1 - (1 - r)^2 of the samples are
    /// incomplete.
    Each,
    /// That share of the samples is incomplete, and lacks one modality, evenly drawn (Lee et al., CVPR 2023,
    /// "missing-both").
    Samples,
}

/// A split of which samples lack modalities that its source has. What a sample lacks depends on the seed, its name and
/// the names of the modalities alone, so that it is the same in every run and epoch; what is missing at one rate is
/// missing at every higher one.
pub struct Lacking {
    of: Arc<dyn Source>,
    /// By sample and modality.
    has: Vec<Vec<bool>>,
}

impl Lacking {
    /// `names` are those of the source's modalities, `may` tells which of them may be missing.
    pub fn new(of: Arc<dyn Source>, names: &[String], may: &[bool], lack: Lack, rate: f64, seed: u64) -> Self {
        let drawn = |what: &str, id: &str| Rng::keyed(seed, &format!("lacking.{what}@{id}")).uniform();
        let has = of.ids().iter().enumerate().map(|(sample, id)| {
            let own = possession(&*of, sample);
            let own: Vec<(usize, f64)> =
                (0..names.len()).filter(|m| own[*m] && may[*m]).map(|m| (m, drawn(&names[m], id))).collect();
            let mut has = possession(&*of, sample);
            match lack {
                Lack::Each => own.iter().filter(|(_, u)| *u < rate).for_each(|(m, _)| has[*m] = false),
                Lack::Samples if drawn("", id) < rate => {
                    let least = own.iter().min_by(|a, b| a.1.total_cmp(&b.1));
                    least.into_iter().for_each(|(m, _)| has[*m] = false);
                }
                Lack::Samples => {}
            }
            // One stays: of those drawn, the last to go as the rate rises.
            if !has.contains(&true)
                && let Some((m, _)) = own.iter().max_by(|a, b| a.1.total_cmp(&b.1))
            {
                has[*m] = true;
            }
            has
        });
        Self { has: has.collect(), of }
    }
}

impl Source for Lacking {
    fn labels(&self) -> &[u32] {
        self.of.labels()
    }
    fn ids(&self) -> &[String] {
        self.of.ids()
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
        self.has[sample][modality]
    }
    fn fitted(&self, modality: usize) -> Option<Fitted> {
        self.of.fitted(modality)
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
    fn checks_values(&self) -> bool {
        self.of.checks_values()
    }
    fn digest(&self, feed: &mut dyn FnMut(&[u8])) -> Result<()> {
        self.of.digest(feed)?;
        self.has.iter().for_each(|has| feed(format!("{has:?}").as_bytes()));
        Ok(())
    }
}

impl Dataset {
    /// A split of this set whose samples lack modalities; `may` are the names of those that may be missing, or all.
    pub fn lacking(
        &self,
        split: &Arc<dyn Source>,
        may: Option<&[String]>,
        lack: Lack,
        rate: f64,
        seed: u64,
    ) -> Arc<dyn Source> {
        let may: Vec<bool> = self.modalities.iter().map(|name| may.is_none_or(|may| may.contains(name))).collect();
        Arc::new(Lacking::new(Arc::clone(split), &self.modalities, &may, lack, rate, seed))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Tensor;

    use super::*;
    use crate::Subset;

    fn names(n: usize) -> Vec<String> {
        (0..n).map(|m| format!("m{m}")).collect()
    }

    fn split(samples: usize, modalities: usize) -> Arc<dyn Source> {
        let input = || Input::from(Tensor::zeros((samples, 1), candle_core::DType::F32, &Device::Cpu).unwrap());
        let inputs = (0..modalities).map(|_| input()).collect();
        let ids = (0..samples).map(|i| format!("s{i}")).collect();
        Arc::new(Subset::of(inputs, vec![0; samples], ids).unwrap())
    }

    fn lacks(lack: Lack, rate: f64, modalities: usize) -> Vec<Vec<bool>> {
        let source = split(4000, modalities);
        let lacking = Lacking::new(source, &names(modalities), &vec![true; modalities], lack, rate, 7);
        (0..4000).map(|i| possession(&lacking, i)).collect()
    }

    fn share(rows: &[Vec<bool>], of: impl Fn(&[bool]) -> bool) -> f64 {
        rows.iter().filter(|row| of(row)).count() as f64 / rows.len() as f64
    }

    #[test]
    fn rates_count_modalities_or_samples() {
        // Of two at .3: each is there with .7; both are gone with .09, and then the one that goes last stays.
        let each = lacks(Lack::Each, 0.3, 2);
        assert!((share(&each, |has| has == [true, true]) - 0.49).abs() < 0.025);
        assert!((share(&each, |has| !has[0]) - (0.3 - 0.045)).abs() < 0.025);
        let samples = lacks(Lack::Samples, 0.3, 2);
        assert!((share(&samples, |has| has == [true, true]) - 0.7).abs() < 0.025);
        assert!((share(&samples, |has| !has[1]) - 0.15).abs() < 0.02);
        for lack in [Lack::Each, Lack::Samples] {
            assert!(lacks(lack, 0., 3).iter().flatten().all(|has| *has));
            let all = lacks(lack, 1., 3);
            let kept = if lack == Lack::Each { 1 } else { 2 };
            assert!(all.iter().all(|has| has.iter().filter(|own| **own).count() == kept));
        }
    }

    #[test]
    fn what_is_missing_stays_missing_at_higher_rates() {
        for lack in [Lack::Each, Lack::Samples] {
            let rates = [0., 0.2, 0.5, 0.9, 1.].map(|rate| lacks(lack, rate, 3));
            for pair in rates.windows(2) {
                let kept = pair[0].iter().flatten().zip(pair[1].iter().flatten());
                assert!(kept.into_iter().all(|(low, high)| *low || !*high), "{lack:?}");
            }
        }
    }

    #[test]
    fn some_modalities_are_never_missing_and_names_decide() {
        let source = split(500, 2);
        let pick = |names: &[&str], may: &[bool]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            Lacking::new(Arc::clone(&source), &names, may, Lack::Each, 0.5, 1)
        };
        let only = pick(&["a", "b"], &[false, true]);
        assert!((0..500).all(|i| only.has(i, 0)) && (0..500).any(|i| !only.has(i, 1)));
        let turned = pick(&["b", "a"], &[true, false]);
        assert!((0..500).all(|i| only.has(i, 1) == turned.has(i, 0)));
    }
}
