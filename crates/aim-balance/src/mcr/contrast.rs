//! The contrast of features with labels as classes, over all modalities.

use aim_core::{Batch, Result};
use candle_core::{DType, Tensor};

use crate::util::{log_sum_exp, unit_rows};

/// What stands for a similarity that does not count: nothing in a sum of exponentials.
const NONE: f32 = -1e30;

/// Whether features of these widths can be compared.
pub(super) fn defined(widths: &[usize]) -> bool {
    widths.windows(2).all(|pair| pair[0] == pair[1])
}

/// Mean over pairs of equal label of `-log(e^s / (e^s + sum over the first's pairs of unequal label of e^s))`, s their
/// cosine over the temperature; 0 without a pair of either kind. Features that samples lack take no part.
pub(super) fn contrast(features: &[Tensor], batch: &Batch, temperature: f64) -> Result<Tensor> {
    let units = Tensor::cat(&features.iter().map(unit_rows).collect::<candle_core::Result<Vec<_>>>()?, 0)?;
    let scores = (units.matmul(&units.t()?)? / temperature)?;
    let (equal, other) = pairs(features.len(), batch)?;
    let (equal, count) = (mask(&equal, &scores)?, equal.iter().filter(|pair| **pair).count());
    if count == 0 || !other.contains(&true) {
        return Ok(scores.zeros_like()?.sum_all()?.detach());
    }
    let ignored = Tensor::full(NONE, scores.dims(), scores.device())?.to_dtype(scores.dtype())?;
    let negatives = log_sum_exp(&mask(&other, &scores)?.where_cond(&scores, &ignored)?, 1)?.unsqueeze(1)?;
    let losses = softplus(&negatives.broadcast_sub(&scores)?)?;
    Ok(((losses * equal.to_dtype(scores.dtype())?)?.sum_all()? / count as f64)?)
}

/// `ln(1 + e^x)`.
fn softplus(x: &Tensor) -> Result<Tensor> {
    Ok((x.relu()? + (x.abs()?.neg()?.exp()? + 1.)?.log()?)?)
}

/// Which pairs of different rows have one label, and which have two; a row for each sample of each modality.
fn pairs(modalities: usize, batch: &Batch) -> Result<(Vec<bool>, Vec<bool>)> {
    let labels = batch.labels.to_vec1::<u32>()?;
    let present = match &batch.present {
        Some(present) => present.t()?.flatten_all()?.to_dtype(DType::F32)?.to_vec1::<f32>()?,
        None => vec![1.; modalities * labels.len()],
    };
    let label = |row: usize| labels[row % labels.len()];
    let every = |f: &dyn Fn(usize, usize) -> bool| -> Vec<bool> {
        let rows = present.len();
        let known = |row: usize| present[row] > 0.;
        (0..rows * rows).map(|k| (k / rows, k % rows)).map(|(a, b)| known(a) && known(b) && f(a, b)).collect()
    };
    Ok((every(&|a, b| a != b && label(a) == label(b)), every(&|a, b| label(a) != label(b))))
}

fn mask(pairs: &[bool], scores: &Tensor) -> Result<Tensor> {
    let pairs: Vec<u8> = pairs.iter().map(|pair| u8::from(*pair)).collect();
    Ok(Tensor::from_vec(pairs, scores.dims(), scores.device())?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::util::number;

    fn found(labels: &[u32]) -> f64 {
        let of = |rows: &[[f32; 2]; 2]| Tensor::new(rows, &Device::Cpu).unwrap();
        let batch = Batch::new(vec![], Tensor::new(labels, &Device::Cpu).unwrap()).unwrap();
        number(&contrast(&[of(&[[2., 0.], [0., 3.]]), of(&[[1., 0.], [1., 0.]])], &batch, 0.5).unwrap()).unwrap()
    }

    #[test]
    fn contrast_by_hand() {
        // Units a = (1, 0), b = (0, 1) of the first modality, twice (1, 0) of the second; labels 0, 1, 0, 1. Pairs of
        // one label: rows 0 and 2 (s = 2, others: 0 and 2), 1 and 3 (s = 0; others of row 1: 0, 0, of row 3: 2, 2).
        let e2 = 2f64.exp();
        let one = |s: f64, others: f64| -(s.exp() / (s.exp() + others)).ln();
        let by_hand = (2. * one(2., 1. + e2) + one(0., 2.) + one(0., 2. * e2)) / 4.;
        assert!((found(&[0, 1]) - by_hand).abs() < 1e-6, "{} and not {by_hand}", found(&[0, 1]));
    }

    #[test]
    fn one_class_has_nothing_to_contrast() {
        assert_eq!(found(&[1, 1]), 0.);
    }
}
