//! Who is read first, and the accuracies that decide it.

use aim_config::choice;
use aim_core::{Batch, EpochStart, Pass, Result, Rng, Split};
use candle_core::{D, DType, Tensor};

use crate::util::{members, number};

choice! {
    /// Modality that is read and trained first.
    pub enum Order {
        /// The modality with the smallest share.
        WeakFirst = "weak-first",
        /// The modality with the largest share.
        StrongFirst = "strong-first",
        /// Drawn anew for each epoch.
        Random = "random",
        /// The network's first.
        Fixed = "fixed",
    }
}

/// Modalities by what they contribute; equal ones keep the network's order.
pub(super) fn ranked(shares: &[f64], rule: Order, rng: &mut Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..shares.len()).collect();
    match rule {
        Order::WeakFirst => order.sort_by(|a, b| shares[*a].total_cmp(&shares[*b])),
        Order::StrongFirst => order.sort_by(|a, b| shares[*b].total_cmp(&shares[*a])),
        Order::Random => order = rng.permutation(shares.len()),
        Order::Fixed => {}
    }
    order
}

/// Validation accuracy of every set of modalities, the features of the others set to zero.
pub(super) fn accuracies(cx: &EpochStart<'_>) -> Result<Vec<f64>> {
    let modalities = cx.net.modalities();
    let (mut right, mut count) = (vec![0.; 1 << modalities], 0.);
    cx.samples.each(Split::Validation, &mut |batch| {
        let encode = |(m, x)| cx.net.encode(m, x, &mut Pass::eval());
        let features = batch.inputs.iter().enumerate().map(encode).collect::<Result<Vec<_>>>()?;
        for (set, right) in right.iter_mut().enumerate() {
            let taking_part = members(set, modalities);
            let mut pass = Pass::eval().subset(&taking_part);
            *right += hits(&cx.net.fuse(features.clone(), batch.present.as_ref(), &mut pass)?.logits, batch)?;
        }
        count += batch.len() as f64;
        Ok(())
    })?;
    Ok(right.into_iter().map(|right| right / count).collect())
}

fn hits(logits: &Tensor, batch: &Batch) -> Result<f64> {
    number(&logits.argmax(D::Minus1)?.eq(&batch.labels)?.to_dtype(DType::F32)?.sum_all()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use aim_stats::shapley::{edm, shapley_values, share_clamped};

    #[test]
    fn order_and_distance_from_equilibrium_by_hand() {
        // Accuracies: none 0.2, first 0.6, second 0.4, both 0.8: Shapley values 0.4 and 0.2, shares 2/3 and 1/3.
        let shares = share_clamped(&shapley_values(&[0.2, 0.6, 0.4, 0.8]).unwrap()).unwrap();
        assert!((edm(&shares).unwrap() - 1. / 3.).abs() < 1e-6);
        let ranked = |shares: &[f64], rule| super::ranked(shares, rule, &mut Rng::keyed(0, "order"));
        assert_eq!(ranked(&shares, Order::WeakFirst), [1, 0]);
        assert_eq!(ranked(&shares, Order::StrongFirst), [0, 1]);
        assert_eq!(ranked(&[0.5, 0.2, 0.2, 0.1], Order::WeakFirst), [3, 1, 2, 0]);
        assert_eq!(ranked(&[0.5, 0.2], Order::Fixed), [0, 1]);
        let mut drawn = ranked(&[0.5, 0.2, 0.3], Order::Random);
        drawn.sort_unstable();
        assert_eq!(drawn, [0, 1, 2]);
    }
}
