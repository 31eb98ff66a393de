//! Samples on their way from a file to a [`Dataset`]: plain numbers that can be standardised and split.

use aim_core::Result;
use candle_core::{Device, Tensor};

use crate::{Dataset, Subset};

/// Which split a sample belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Training.
    Train,
    /// Validation.
    Validation,
    /// Test.
    Test,
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
    /// nothing of the other splits enters). Constant groups are only centred.
    pub fn standardise(&mut self, fit: &[usize], share: Share) {
        let size = self.size();
        let groups = match share {
            Share::All => 1,
            Share::Channel => self.shape.first().copied().unwrap_or(1),
            Share::Feature => size,
        };
        let inner = (size / groups.max(1)).max(1);
        let mut sums = vec![(0f64, 0f64); groups];
        let each = |f: &mut dyn FnMut(usize, f64)| {
            for &row in fit {
                for (i, v) in self.data[row * size..(row + 1) * size].iter().enumerate() {
                    f(i / inner, f64::from(*v));
                }
            }
        };
        let count = (fit.len() * inner).max(1) as f64;
        each(&mut |g, v| sums[g].0 += v / count);
        let means: Vec<f64> = sums.iter().map(|s| s.0).collect();
        each(&mut |g, v| sums[g].1 += (v - means[g]).powi(2) / count);
        for (i, v) in self.data.iter_mut().enumerate() {
            let (mean, variance) = sums[i % size / inner];
            let std = if variance > 1e-12 { variance.sqrt() } else { 1. };
            *v = ((f64::from(*v) - mean) / std) as f32;
        }
    }

    /// Swaps the two axes of every sample: `[a, b]` becomes `[b, a]` (time first to channels first).
    pub fn transposed(&self) -> Self {
        let (a, b) = (self.shape[0], self.shape[1]);
        let flip = |row: &[f32]| -> Vec<f32> { (0..a * b).map(|i| row[(i % a) * b + i / a]).collect() };
        Self { data: self.data.chunks(a * b).flat_map(flip).collect(), shape: vec![b, a] }
    }

    /// The samples at `rows`.
    pub fn tensor(&self, rows: &[usize]) -> Result<Tensor> {
        let size = self.size();
        let data: Vec<f32> = rows.iter().flat_map(|r| &self.data[r * size..(r + 1) * size]).copied().collect();
        let shape = [&[rows.len()][..], &self.shape].concat();
        Ok(Tensor::from_vec(data, shape, &Device::Cpu)?)
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
        self.modalities.iter_mut().for_each(|(_, array)| array.standardise(&fit, share));
    }

    /// The three splits.
    pub fn dataset(self) -> Result<Dataset> {
        let subset = |part| -> Result<Subset> {
            let rows = self.rows(part);
            Ok(Subset {
                inputs: self.modalities.iter().map(|(_, array)| array.tensor(&rows)).collect::<Result<_>>()?,
                labels: rows.iter().map(|&r| self.labels[r]).collect(),
                ids: rows.iter().map(|&r| self.ids[r].clone()).collect(),
            })
        };
        Ok(Dataset {
            name: self.name.to_owned(),
            train: subset(Part::Train)?,
            validation: subset(Part::Validation)?,
            test: subset(Part::Test)?,
            modalities: self.modalities.into_iter().map(|(name, _)| name).collect(),
            class_names: self.class_names,
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
        let s = 5f32.sqrt();
        assert_eq!(a.data, [-3. / s, -1. / s, 0., 0., 1. / s, 3. / s, 0., 0., 0., 5. / s, -1., 0.]);
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
