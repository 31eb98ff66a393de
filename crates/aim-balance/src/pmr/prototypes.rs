//! Class means of features, of which prototypes are made.

use aim_core::Result;
use candle_core::{DType, Device, Tensor};

/// Sums of features by class.
pub(super) struct ClassMeans {
    sums: Vec<Vec<f64>>,
    counts: Vec<f64>,
}

impl ClassMeans {
    pub fn new(classes: usize, width: usize) -> Self {
        Self { sums: vec![vec![0.; width]; classes], counts: vec![0.; classes] }
    }

    pub fn add(&mut self, features: &Tensor, labels: &Tensor) -> Result<()> {
        let rows = features.to_dtype(DType::F64)?.to_vec2::<f64>()?;
        for (row, label) in rows.into_iter().zip(labels.to_vec1::<u32>()?) {
            let label = label as usize;
            self.sums[label].iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
            self.counts[label] += 1.;
        }
        Ok(())
    }

    /// The means, and which classes had samples.
    pub fn finish(mut self) -> Result<(Tensor, Vec<bool>)> {
        for (sum, count) in self.sums.iter_mut().zip(&self.counts) {
            sum.iter_mut().for_each(|x| *x /= count.max(1.));
        }
        let means = Tensor::new(self.sums, &Device::Cpu)?.to_dtype(DType::F32)?;
        Ok((means, self.counts.iter().map(|n| *n > 0.).collect()))
    }
}

/// Mean feature `[C, d]` of each class; zeros for a class without samples.
///
/// # Errors
/// If shapes do not fit.
pub fn class_means(features: &Tensor, labels: &Tensor, classes: usize) -> Result<Tensor> {
    let mut means = ClassMeans::new(classes, features.dim(1)?);
    means.add(features, labels)?;
    Ok(means.finish()?.0)
}

/// `momentum old + (1 - momentum) new`.
///
/// # Errors
/// If shapes do not fit.
pub fn blend(old: &Tensor, new: &Tensor, momentum: f64) -> Result<Tensor> {
    Ok(((old * momentum)? + (new * (1. - momentum))?)?)
}
