//! Samples on their way from a file to a [`Dataset`]: plain numbers that can be standardised and split.

use std::{ops::Range, sync::Arc};

use aim_core::{Error, Result, Rng};
use candle_core::{Device, Tensor};

use crate::{Dataset, Source, Subset};

/// Which split a sample belongs to.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, aim_config::serde::Serialize, aim_config::serde::Deserialize,
)]
#[serde(crate = "aim_config::serde")]
pub(crate) enum Part {
    /// Training.
    Train,
    /// Validation.
    Validation,
    /// Test.
    Test,
    /// None: a setting leaves the sample out.
    Unused,
}

impl Part {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
            Self::Unused => "none",
        }
    }
}

/// One modality of all samples.
#[derive(Clone, Debug)]
pub(crate) struct Array {
    /// Sample after sample.
    pub data: Vec<f32>,
    /// Shape of one sample.
    pub shape: Vec<usize>,
}

/// What shares one mean and standard deviation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Share {
    /// Everything.
    All,
    /// The entries with the same index on the first axis of a sample: a channel.
    Channel,
    /// The entries with the same index on the last axis: a channel of what is read time first.
    Column,
    /// Nothing: each entry of a sample is a feature of its own.
    Feature,
}

/// Which values of a sample are real and no padding: the first ones of each run of equal length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Real {
    /// Values of a run.
    pub run: usize,
    /// How many of them are real.
    pub first: usize,
}

impl Real {
    /// All of them.
    pub const ALL: Self = Self { run: usize::MAX, first: usize::MAX };

    fn has(self, i: usize) -> bool {
        i % self.run < self.first
    }
}

impl Array {
    /// Numbers in a sample.
    pub fn size(&self) -> usize {
        self.shape.iter().product()
    }

    /// Brings each group to mean 0 and standard deviation 1 over the samples in `fit` (the training split, so that
    /// nothing of the other splits enters), and says by what. Constant groups are only centred.
    pub fn standardise(&mut self, fit: &[usize], share: Share) -> Option<Moments> {
        self.standardise_real(fit, share, |_| Real::ALL)
    }

    /// The same of the values that are real, by sample; padding has no part in it and stays as it is.
    pub fn standardise_real(&mut self, fit: &[usize], share: Share, real: impl Fn(usize) -> Real) -> Option<Moments> {
        let size = self.size().max(1);
        let rows = |see: &mut dyn FnMut(&[f32], Real)| -> Result<()> {
            fit.iter().for_each(|row| see(&self.data[row * size..][..size], real(*row)));
            Ok(())
        };
        // Rows in memory are read without fail.
        let moments = Moments::of(share, &self.shape, rows).ok()?;
        self.data.chunks_mut(size).enumerate().for_each(|(i, row)| moments.apply(row, real(i)));
        Some(moments)
    }

    /// Adds normal noise, the same in every run.
    pub fn add_noise(&mut self, std: f64, rng: &mut Rng) {
        if std > 0. {
            self.data.iter_mut().for_each(|v| *v += (rng.normal() * std) as f32);
        }
    }

    /// The array itself, if all its values are finite; else an error that names the place and the sample.
    pub fn finite(self, place: &str) -> Result<Self> {
        let Some(at) = self.data.iter().position(|v| !v.is_finite()) else { return Ok(self) };
        Err(Error::NonFinite {
            name: format!("{place}, sample {}", at / self.size().max(1)),
            value: f64::from(self.data[at]),
            hint: "mend or leave out that sample".to_owned(),
        })
    }

    /// Swaps the two axes of every sample: `[a, b]` becomes `[b, a]` (time first to channels first).
    pub fn transposed(&self) -> Self {
        let (a, b) = (self.shape[0], self.shape[1]);
        let flip = |row: &[f32]| -> Vec<f32> { (0..a * b).map(|i| row[(i % a) * b + i / a]).collect() };
        Self { data: self.data.chunks(a * b).flat_map(flip).collect(), shape: vec![b, a] }
    }

    /// Some channels (entries of a sample's first axis) as an array of their own.
    pub fn channels(&self, range: Range<usize>) -> Self {
        let width = self.size() / self.shape[0].max(1);
        let pick = |row: &[f32]| row[range.start * width..range.end * width].to_vec();
        let shape = [&[range.len()], &self.shape[1..]].concat();
        Self { data: self.data.chunks(self.size()).flat_map(pick).collect(), shape }
    }

    /// The samples at `rows`.
    pub fn tensor(&self, rows: &[usize]) -> Result<Tensor> {
        let size = self.size();
        let mut data = Vec::with_capacity(rows.len() * size);
        rows.iter().for_each(|row| data.extend_from_slice(&self.data[row * size..][..size]));
        let shape = [&[rows.len()][..], &self.shape].concat();
        Ok(Tensor::from_vec(data, shape, &Device::Cpu)?)
    }

    /// All samples as a tensor, which takes the numbers over.
    pub fn into_tensor(self) -> Result<Tensor> {
        let samples = self.data.len() / self.size().max(1);
        Ok(Tensor::from_vec(self.data, [&[samples][..], &self.shape].concat(), &Device::Cpu)?)
    }
}

/// Means and standard deviations of groups of a sample's entries: runs of one width belong to one group after another,
/// and from the first one again behind the last.
#[derive(Clone, Debug, PartialEq, aim_config::serde::Serialize, aim_config::serde::Deserialize)]
#[serde(crate = "aim_config::serde")]
pub(crate) struct Moments {
    /// Entries in a group, which lie side by side.
    width: usize,
    groups: Vec<(f64, f64)>,
}

impl Moments {
    /// Those of the real values of all samples that `rows` shows, which it is asked to do twice; a standard deviation
    /// that is nothing to speak of is 1.
    pub fn of(
        share: Share,
        shape: &[usize],
        rows: impl Fn(&mut dyn FnMut(&[f32], Real)) -> Result<()>,
    ) -> Result<Self> {
        let size = shape.iter().product::<usize>().max(1);
        let (groups, width) = match share {
            Share::All => (1, size),
            Share::Channel => {
                let channels = shape.first().copied().unwrap_or(1).max(1);
                (channels, size / channels)
            }
            Share::Column => (shape.last().copied().unwrap_or(1).max(1), 1),
            Share::Feature => (size, 1),
        };
        let mean = |of: &dyn Fn(usize, f64) -> f64| -> Result<Vec<f64>> {
            let (mut sums, mut counts) = (vec![0.; groups], vec![0_usize; groups]);
            rows(&mut |row, real| {
                for (k, run) in row.chunks(width).enumerate() {
                    let (g, start) = (k % groups, k * width);
                    let own = run.iter().enumerate().filter(|(i, _)| real.has(start + i));
                    counts[g] += own.clone().count();
                    sums[g] += own.map(|(_, v)| of(g, f64::from(*v))).sum::<f64>();
                }
            })?;
            Ok(sums.into_iter().zip(counts).map(|(sum, count)| sum / count.max(1) as f64).collect())
        };
        let centres = mean(&|_, v| v)?;
        let variances = mean(&|g, v| (v - centres[g]).powi(2))?;
        let std = |variance: f64| if variance > 1e-12 { variance.sqrt() } else { 1. };
        Ok(Self { width, groups: centres.into_iter().zip(variances.into_iter().map(std)).collect() })
    }

    /// Whether they are of samples with so many entries.
    pub fn fits(&self, size: usize) -> bool {
        let round = self.width * self.groups.len();
        round > 0 && size.is_multiple_of(round)
    }

    /// Brings the groups of a sample's real values to mean 0 and standard deviation 1.
    pub fn apply(&self, row: &mut [f32], real: Real) {
        for ((k, run), (mean, std)) in row.chunks_mut(self.width).enumerate().zip(self.groups.iter().cycle()) {
            let own = run.iter_mut().enumerate().filter(|(i, _)| real.has(k * self.width + i));
            own.for_each(|(_, v)| *v = ((f64::from(*v) - mean) / std) as f32);
        }
    }
}

/// All samples of a set, not yet split.
pub(crate) struct Table {
    /// Name of the set.
    pub name: &'static str,
    /// Modalities with their names.
    pub modalities: Vec<(String, Array)>,
    /// Names of the classes.
    pub class_names: Vec<String>,
    /// Labels.
    pub labels: Vec<u32>,
    /// Names of the samples.
    pub ids: Vec<String>,
    /// Which split each sample belongs to.
    pub parts: Vec<Part>,
}

impl Table {
    /// Indices of a split's samples.
    pub fn rows(&self, part: Part) -> Vec<usize> {
        (0..self.parts.len()).filter(|&i| self.parts[i] == part).collect()
    }

    /// Standardises every modality with the statistics of the training split.
    pub fn standardise(&mut self, share: Share) {
        let fit = self.rows(Part::Train);
        self.modalities.iter_mut().for_each(|(_, array)| drop(array.standardise(&fit, share)));
    }

    /// The three splits.
    pub fn dataset(self) -> Result<Dataset> {
        let rows = [Part::Train, Part::Validation, Part::Test].map(|part| self.rows(part));
        let (mut modalities, mut inputs) = (Vec::new(), [const { Vec::new() }; 3]);
        // One after the other, so that a large modality is not held twice for long.
        for (name, array) in self.modalities {
            for (inputs, rows) in inputs.iter_mut().zip(&rows) {
                inputs.push(array.tensor(rows)?);
            }
            modalities.push(name);
        }
        let split = |inputs: &mut Vec<Tensor>, rows: &[usize]| -> Result<Arc<dyn Source>> {
            let labels = rows.iter().map(|&r| self.labels[r]).collect();
            let ids = rows.iter().map(|&r| self.ids[r].clone()).collect();
            Ok(Arc::new(Subset::new(std::mem::take(inputs), labels, ids)?))
        };
        Ok(Dataset {
            name: self.name.to_owned(),
            modalities,
            class_names: self.class_names,
            train: split(&mut inputs[0], &rows[0])?,
            validation: split(&mut inputs[1], &rows[1])?,
            test: split(&mut inputs[2], &rows[2])?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standardises_with_the_fitted_samples_alone() {
        // Two channels of two steps; the third sample is not fitted. Channel 0: 1, 3, 5, 7 -> mean 4, variance 5.
        let mut a = Array { data: vec![1., 3., 9., 9., 5., 7., 9., 9., 4., 9., 8., 9.], shape: vec![2, 2] };
        a.standardise(&[0, 1], Share::Channel);
        let s = 5f64.sqrt();
        let want = [-3. / s, -1. / s, 0., 0., 1. / s, 3. / s, 0., 0., 0., 5. / s, -1., 0.];
        assert_eq!(a.data, want.map(|v| v as f32));
    }

    #[test]
    fn shares() {
        let fit = |share| {
            let mut a = Array { data: vec![0., 0., 2., 4.], shape: vec![2] };
            a.standardise(&[0, 1], share);
            a.data
        };
        assert_eq!(fit(Share::Feature), [-1., -1., 1., 1.]);
        let s = (11f64 / 4.).sqrt();
        assert_eq!(fit(Share::All), [-1.5 / s, -1.5 / s, 0.5 / s, 2.5 / s].map(|v| v as f32));
    }

    #[test]
    fn padding_has_no_part_in_means() {
        // Two samples of three steps of two columns; the second has one real step. Column 0: 1, 3, 8 and column 1:
        // 2, 4, 3, so means 4 and 3, variances (9 + 1 + 16) / 3 and 2 / 3; a third real step stands in neither.
        let series = |padding: f32| Array {
            data: vec![1., 2., 3., 4., padding, padding, 8., 3., padding, padding, padding, padding],
            shape: vec![3, 2],
        };
        let steps = [2, 1];
        let (a, b) = ((26f64 / 3.).sqrt(), (2f64 / 3.).sqrt());
        let want = [-3. / a, -1. / b, -1. / a, 1. / b, 0., 0., 4. / a, 0., 0., 0., 0., 0.];
        let mut columns = series(0.);
        let first = |row: usize| Real { run: 6, first: 2 * steps[row] };
        columns.standardise_real(&[0, 1], Share::Column, first);
        assert_eq!(columns.data, want.map(|v| v as f32));
        let moments = |mut of: Array, share, real: &dyn Fn(usize) -> Real| of.standardise_real(&[0, 1], share, real);
        // The same numbers channels first, and whatever stands where nothing was measured.
        let turned = |padding| series(padding).transposed();
        let beside = |row: usize| Real { run: 3, first: steps[row] };
        assert_eq!(
            moments(turned(0.), Share::Channel, &beside).unwrap().groups,
            moments(series(7.), Share::Column, &first).unwrap().groups,
        );
        // As a whole: six values with the mean 3.5.
        let all = moments(series(0.), Share::All, &first).unwrap();
        assert_eq!(all.groups, [(3.5, (29.5f64 / 6.).sqrt())]);
        // An entry that no sample has stays as it is.
        let entries = moments(series(0.), Share::Feature, &first).unwrap();
        assert_eq!(entries.groups[..2], [(4.5, 3.5), (2.5, 0.5)]);
        assert_eq!(entries.groups[4], (0., 1.));
        assert!(all.fits(6) && entries.fits(6) && !entries.fits(8));
    }

    #[test]
    fn transposes_each_sample() {
        let a = Array { data: vec![1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12.], shape: vec![3, 2] };
        let t = a.transposed();
        assert_eq!((t.shape, t.data), (vec![2, 3], vec![1., 3., 5., 2., 4., 6., 7., 9., 11., 8., 10., 12.]));
    }
}
