//! Principal components: the directions in which samples differ most.

use aim_core::{Result, Rng};
use candle_core::{Device, Tensor};

/// Rounds of orthogonal iteration; each multiplies by the eighth power of the covariance.
const ROUNDS: usize = 25;

/// Centres samples (rows of `size` numbers) at the mean of the first `fit` and takes away what lies in the `count`
/// directions in which those vary most.
pub(crate) fn remove_top(data: &mut [f32], size: usize, fit: usize, count: usize) -> Result<()> {
    centre(data, size, fit);
    let device = Device::Cpu;
    let sample = Tensor::from_slice(&data[..fit * size], (fit, size), &device)?;
    let basis = top(&sample, count)?;
    // In pieces, so that a large set is never held twice.
    for piece in data.chunks_mut(1024 * size) {
        let x = Tensor::from_slice(piece, (piece.len() / size, size), &device)?;
        let rest = (&x - x.matmul(&basis.t()?)?.matmul(&basis)?)?;
        piece.copy_from_slice(&rest.flatten_all()?.to_vec1()?);
    }
    Ok(())
}

/// Samples (the rows of a matrix) on the `count` directions in which they vary most, or on as many as they have
/// columns.
///
/// # Errors
/// If `data` is no matrix.
pub fn principal(data: &Tensor, count: usize) -> Result<Tensor> {
    let (_, size) = data.dims2()?;
    let centred = data.broadcast_sub(&data.mean_keepdim(0)?)?;
    Ok(centred.matmul(&top(&centred, count.min(size))?.t()?)?)
}

fn centre(data: &mut [f32], size: usize, fit: usize) {
    let mut mean = vec![0f64; size];
    for row in data[..fit * size].chunks(size) {
        mean.iter_mut().zip(row).for_each(|(m, v)| *m += f64::from(*v) / fit.max(1) as f64);
    }
    for row in data.chunks_mut(size) {
        row.iter_mut().zip(&mean).for_each(|(v, m)| *v = (f64::from(*v) - m) as f32);
    }
}

/// Orthonormal rows that span the `count` top components of centred samples, `[count, size]`, by orthogonal iteration:
/// multiplied by the covariance again and again, any start turns towards them. Where two variances are nearly equal it
/// turns slowly, but then it matters little which of the two directions is taken.
fn top(sample: &Tensor, count: usize) -> Result<Tensor> {
    let (rows, size) = sample.dims2()?;
    let covariance = (sample.t()?.matmul(sample)?.to_dtype(candle_core::DType::F64)? / rows as f64)?;
    let mut power = covariance;
    for _ in 0..3 {
        power = power.matmul(&power)?;
    }
    let start = Rng::keyed(0, "pca").normal_tensor(&[count, size], 1., sample.device())?;
    let mut basis = start.to_dtype(candle_core::DType::F64)?;
    for _ in 0..ROUNDS {
        basis = orthonormal(&basis.matmul(&power)?)?;
    }
    Ok(basis.to_dtype(candle_core::DType::F32)?)
}

/// Gram and Schmidt's rows, each made orthogonal twice: once is not enough where rows are nearly parallel.
fn orthonormal(x: &Tensor) -> Result<Tensor> {
    let mut rows: Vec<Vec<f64>> = x.to_vec2()?;
    for i in 0..rows.len() {
        let (done, rest) = rows.split_at_mut(i);
        let row = &mut rest[0];
        scale(row);
        for other in done.iter().chain(&*done) {
            let along: f64 = row.iter().zip(other).map(|(a, b)| a * b).sum();
            row.iter_mut().zip(other).for_each(|(a, b)| *a -= along * b);
        }
        scale(row);
    }
    Ok(Tensor::new(rows, x.device())?)
}

fn scale(row: &mut [f64]) {
    let norm = row.iter().map(|v| v * v).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
    row.iter_mut().for_each(|v| *v /= norm);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_away_the_largest_variances_alone() {
        // Three independent directions of standard deviation 9, 3 and 1 (columns mixed by a rotation), mean 5.
        let mut rng = Rng::keyed(0, "test");
        let (c, s) = (0.6, 0.8);
        let row = |[a, b, d]: [f64; 3]| [c * a - s * b + 5., s * a + c * b + 5., d + 5.].map(|v| v as f32);
        let mut data: Vec<f32> =
            (0..400).flat_map(|_| row([9. * rng.normal(), 3. * rng.normal(), rng.normal()])).collect();
        remove_top(&mut data, 3, 300, 2).unwrap();
        let variance = |i: usize| data.iter().skip(i).step_by(3).map(|v| v * v).sum::<f32>() / 400.;
        assert!(variance(0) < 0.05 && variance(1) < 0.05, "{} {}", variance(0), variance(1));
        assert!((variance(2) - 1.).abs() < 0.3, "{}", variance(2));
        let mean = data[2..900].iter().step_by(3).sum::<f32>() / 300.;
        assert!(mean.abs() < 1e-3, "{mean}");
    }

    #[test]
    fn the_first_directions_come_in_the_order_of_their_variance() {
        // Points of a rectangle 8 by 2 in the plane of (3, 4)/5 and the third axis, around (1, 1, 1).
        let corner = |a: f32, b: f32| [1. + 4. * a * 0.6, 1. + 4. * a * 0.8, 1. + b];
        let data =
            Tensor::new(&[corner(1., 1.), corner(1., -1.), corner(-1., 1.), corner(-1., -1.)], &Device::Cpu).unwrap();
        let points = principal(&data, 2).unwrap().to_vec2::<f32>().unwrap();
        for point in &points {
            assert!((point[0].abs() - 4.).abs() < 1e-4 && (point[1].abs() - 1.).abs() < 1e-4, "{points:?}");
        }
        assert_eq!(principal(&data, 9).unwrap().dims(), [4, 3]);
    }
}
