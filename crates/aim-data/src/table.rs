//! Samples on their way from a file to a [`Dataset`]: plain numbers that can be standardised and split.

use std::{ops::Range, sync::Arc};

use aim_core::{Error, Result, Rng};
use candle_core::{Device, Tensor};

use crate::{Dataset, Source, Subset};

/// Which split a sample belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, aim_config::serde::Serialize, aim_config::serde::Deserialize)]
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
    /// Nothing: each entry of a sample is a feature of its own.
    Feature,
}

impl Array {
    /// Numbers in a sample.
    pub fn size(&self) -> usize {
        self.shape.iter().product()
    }

    /// Brings each group to mean 0 and standard deviation 1 over the samples in `fit` (the training split, so that
    /// nothing of the other splits enters), and says by what. Constant groups are only centred.
    pub fn standardise(&mut self, fit: &[usize], share: Share) -> Option<Moments> {
        let size = self.size().max(1);
        let rows = |see: &mut dyn FnMut(&[f32])| -> Result<()> {
            fit.iter().for_each(|row| see(&self.data[row * size..][..size]));
            Ok(())
        };
        // Rows in memory are read without fail.
        let moments = Moments::of(share, &self.shape, rows).ok()?;
        self.data.chunks_mut(size).for_each(|row| moments.apply(row));
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
}

/// Means and standard deviations of groups of a sample's entries.
#[derive(Clone, Debug, PartialEq, aim_config::serde::Serialize, aim_config::serde::Deserialize)]
#[serde(crate = "aim_config::serde")]
pub(crate) struct Moments {
    /// Entries in a group, which lie side by side.
    width: usize,
    groups: Vec<(f64, f64)>,
}

impl Moments {
    /// Those over all samples that `rows` shows, which it is asked to do twice; a standard deviation that is nothing to
    /// speak of is 1.
    pub fn of(share: Share, shape: &[usize], rows: impl Fn(&mut dyn FnMut(&[f32])) -> Result<()>) -> Result<Self> {
        let size = shape.iter().product::<usize>().max(1);
        let groups = match share {
            Share::All => 1,
            Share::Channel => shape.first().copied().unwrap_or(1).max(1),
            Share::Feature => size,
        };
        let width = size / groups;
        let mean = |of: &dyn Fn(usize, &[f32]) -> f64| -> Result<Vec<f64>> {
            let (mut sums, mut count) = (vec![0.; groups], 0);
            rows(&mut |row| {
                count += 1;
                sums.iter_mut().zip(row.chunks(width)).enumerate().for_each(|(g, (sum, run))| *sum += of(g, run));
            })?;
            Ok(sums.into_iter().map(|sum| sum / (count * width).max(1) as f64).collect())
        };
        let centres = mean(&|_, run| run.iter().map(|v| f64::from(*v)).sum())?;
        let variances = mean(&|g, run| run.iter().map(|v| (f64::from(*v) - centres[g]).powi(2)).sum())?;
        let std = |variance: f64| if variance > 1e-12 { variance.sqrt() } else { 1. };
        Ok(Self { width, groups: centres.into_iter().zip(variances.into_iter().map(std)).collect() })
    }

    /// Whether they are of samples with so many entries.
    pub fn fits(&self, size: usize) -> bool {
        self.width > 0 && self.width * self.groups.len() == size
    }

    /// Brings the groups of a sample to mean 0 and standard deviation 1.
    pub fn apply(&self, row: &mut [f32]) {
        for (run, (mean, std)) in row.chunks_mut(self.width).zip(&self.groups) {
            run.iter_mut().for_each(|v| *v = ((f64::from(*v) - mean) / std) as f32);
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
    fn transposes_each_sample() {
        let a = Array { data: vec![1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12.], shape: vec![3, 2] };
        let t = a.transposed();
        assert_eq!((t.shape, t.data), (vec![2, 3], vec![1., 3., 5., 2., 4., 6., 7., 9., 11., 8., 10., 12.]));
    }
}
