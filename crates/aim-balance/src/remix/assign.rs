//! Which modality a sample is given to.

use aim_core::Result;
use candle_core::{D, DType, Tensor};

/// Divergence of each sample's prediction `[B, classes]` from the uniform distribution, in bits: 0 where nothing is
/// told, the logarithm of the number of classes where the prediction is certain.
///
/// # Errors
/// If the logits are no matrix.
pub fn divergences(logits: &Tensor) -> Result<Vec<f64>> {
    let p = aim_ops::softmax(logits)?.clamp(1e-9, 1.)?;
    let bits = ((&p * logits.dim(1)? as f64)?.log()? / std::f64::consts::LN_2)?;
    Ok((p * bits)?.sum(D::Minus1)?.to_dtype(DType::F64)?.to_vec1()?)
}

/// The modality of the smallest divergence, the last of equals, for each sample; `divergences` has a list a modality,
/// and infinity where a sample lacks it.
pub fn weakest(divergences: &[Vec<f64>]) -> Vec<usize> {
    let samples = divergences.first().map_or(0, Vec::len);
    let of = |i: usize| {
        let lowest = |low: usize, m: usize| if divergences[m][i] <= divergences[low][i] { m } else { low };
        (0..divergences.len()).fold(0, lowest)
    };
    (0..samples).map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn divergences_by_hand() {
        let logits = Tensor::new(&[[0f32, 0.], [3f32.ln(), 0.], [80., 0.]], &Device::Cpu).unwrap();
        // Nothing; (3/4, 1/4): 0.75 log2 1.5 + 0.25 log2 0.5; certainty among two: a bit.
        let want = [0., 0.75 * 1.5f64.log2() - 0.25, 1.];
        let found = divergences(&logits).unwrap();
        assert!(found.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
    }

    #[test]
    fn the_weakest_takes_the_sample_the_last_of_equals() {
        let (lacks, of) = (f64::INFINITY, [vec![0.1, 0.5, 0.2, 0.3], vec![0.2, 0.5, 0.1, 0.4]]);
        assert_eq!(weakest(&of), [0, 1, 1, 0]);
        let third = vec![0.3, 0.5, lacks, 0.];
        assert_eq!(weakest(&[of[0].clone(), of[1].clone(), third]), [0, 2, 1, 2]);
    }
}
