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

/// Mean feature `[C, d]` of each class, zeros for a class without samples, and which classes have some.
///
/// # Errors
/// If shapes do not fit.
pub fn class_means(features: &Tensor, labels: &Tensor, classes: usize) -> Result<(Tensor, Vec<bool>)> {
    let mut means = ClassMeans::new(classes, features.dim(1)?);
    means.add(features, labels)?;
    means.finish()
}

/// `momentum old + (1 - momentum) new`; a class without samples keeps its prototype.
///
/// # Errors
/// If shapes do not fit.
pub fn moved(old: &Tensor, new: &Tensor, seen: &[bool], momentum: f64) -> Result<Tensor> {
    let seen: Vec<f32> = seen.iter().map(|seen| f32::from(u8::from(*seen))).collect();
    let seen = Tensor::new(seen, old.device())?.unsqueeze(1)?;
    let blended = ((old * momentum)? + (new * (1. - momentum))?)?;
    Ok((old + blended.sub(old)?.broadcast_mul(&seen)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_without_samples_keeps_its_prototype() {
        let features = Tensor::new(&[[1f32, 2.], [3., 6.]], &Device::Cpu).unwrap();
        let labels = Tensor::new(&[1u32, 1], &Device::Cpu).unwrap();
        let (means, seen) = class_means(&features, &labels, 2).unwrap();
        assert_eq!((means.to_vec2::<f32>().unwrap(), &seen), (vec![vec![0., 0.], vec![2., 4.]], &vec![false, true]));
        let old = Tensor::new(&[[5f32, 5.], [4., 0.]], &Device::Cpu).unwrap();
        // Class 0 has none; class 1: a half of (4, 0) and a half of (2, 4).
        let new = moved(&old, &means, &seen, 0.5).unwrap();
        assert_eq!(new.to_vec2::<f32>().unwrap(), [[5., 5.], [3., 2.]]);
    }
}
