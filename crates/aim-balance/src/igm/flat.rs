//! Directions that are flat for a head: what its layers read over the training split.

use aim_config::choice;
use aim_core::{EpochStart, Pass, Result, Site, Split};
use candle_core::{DType, Device, Tensor};

choice! {
    /// Inputs that enter the covariance.
    pub enum Covariance {
        /// Means of batches.
        BatchMean = "batch_mean",
        /// Every sample.
        PerSample = "per_sample",
    }
}

/// Adds a batch of inputs to their covariance.
pub fn accumulate(covariance: &mut [Vec<f64>], batch: &[Vec<f64>], kind: Covariance) {
    let mean = || (0..covariance.len()).map(|j| batch.iter().map(|x| x[j]).sum::<f64>() / batch.len() as f64).collect();
    let rows = if kind == Covariance::BatchMean { vec![mean()] } else { batch.to_vec() };
    for x in rows {
        for (row, a) in covariance.iter_mut().zip(&x) {
            row.iter_mut().zip(&x).for_each(|(sum, b)| *sum += a * b);
        }
    }
}

/// Eigenvalues of the covariance, and T.
pub fn matrix(covariance: &[Vec<f64>], tau: f64) -> (Vec<f64>, Vec<Vec<f64>>) {
    let (values, vectors) = crate::eigen::symmetric(covariance);
    let (low, high) = (values.first().copied().unwrap_or(0.), values.last().copied().unwrap_or(0.));
    let keep = |s: &f64| if high > low { (-tau * (s - low) / (high - low)).exp() } else { 1. };
    let kept: Vec<f64> = values.iter().map(keep).collect();
    let n = covariance.len();
    let entry = |i: usize, j: usize| (0..n).map(|k| kept[k] * vectors[k][i] * vectors[k][j]).sum();
    let matrix = (0..n).map(|i| (0..n).map(|j| entry(i, j)).collect()).collect();
    (values, matrix)
}

/// T of each layer of a modality's head.
pub(super) fn matrices(cx: &EpochStart<'_>, modality: usize, tau: f64, kind: Covariance) -> Result<Vec<Tensor>> {
    let mut covariances: Vec<Vec<Vec<f64>>> = vec![];
    cx.samples.each(Split::Train, &mut |batch| {
        let own = batch.having(modality)?;
        let batch = own.as_ref().unwrap_or(batch);
        if batch.is_empty() {
            return Ok(());
        }
        let mut pass = Pass::eval().keep();
        cx.net.forward(batch, &mut pass)?;
        let kept = pass.into_kept();
        let layers = (0..).map_while(|layer| kept.raw(Site::HeadInput { modality, layer }));
        for (layer, x) in layers.enumerate() {
            let rows = x.to_dtype(DType::F64)?.to_vec2::<f64>()?;
            if covariances.len() == layer {
                covariances.push(vec![vec![0.; rows[0].len()]; rows[0].len()]);
            }
            accumulate(&mut covariances[layer], &rows, kind);
        }
        Ok(())
    })?;
    let device = cx.net.params().iter().next().map_or(Device::Cpu, |(_, p)| p.var.device().clone());
    let tensor = |c: &Vec<Vec<f64>>| Ok(Tensor::new(matrix(c, tau).1, &device)?.to_dtype(DType::F32)?);
    covariances.iter().map(tensor).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrix_by_hand() {
        // Eigenvalues 1 and 3: the second direction is damped by exp(-tau).
        let (values, t) = matrix(&[vec![1., 0.], vec![0., 3.]], 0.4);
        assert_eq!(values, [1., 3.]);
        assert!((t[0][0] - 1.).abs() < 1e-12 && (t[1][1] - (-0.4f64).exp()).abs() < 1e-12 && t[0][1].abs() < 1e-12);
        assert_eq!(matrix(&[vec![2., 0.], vec![0., 2.]], 0.4).1, [[1., 0.], [0., 1.]]);
    }

    #[test]
    fn covariances_by_hand() {
        let of = |kind| {
            let mut sum = vec![vec![0.; 2]; 2];
            accumulate(&mut sum, &[vec![1., 0.], vec![3., 2.]], kind);
            sum
        };
        assert_eq!(of(Covariance::BatchMean), [[4., 2.], [2., 1.]]);
        assert_eq!(of(Covariance::PerSample), [[10., 6.], [6., 4.]]);
    }
}
