//! Clusters of features, and how pure they are.

use std::collections::BTreeMap;

use aim_core::{Result, Rng};
use candle_core::{DType, Tensor};

/// Features `[N, d]` scaled to [-1, 1] in each dimension (f64); constant dimensions become -1.
///
/// # Errors
/// If there is no sample.
pub fn scaled(features: &Tensor) -> Result<Tensor> {
    let x = features.to_dtype(DType::F64)?;
    let (low, high) = (x.min_keepdim(0)?, x.max_keepdim(0)?);
    let range = (high - &low)?.maximum(1e-12)?;
    Ok((x.broadcast_sub(&low)?.broadcast_div(&range)? * 2.)?.affine(1., -1.)?)
}

/// Share of samples whose label is the majority label of their cluster.
pub fn purity(clusters: &[usize], labels: &[usize]) -> f64 {
    let mut counts: BTreeMap<usize, BTreeMap<usize, usize>> = BTreeMap::new();
    for (cluster, label) in clusters.iter().zip(labels) {
        *counts.entry(*cluster).or_default().entry(*label).or_default() += 1;
    }
    let majority: usize = counts.values().filter_map(|labels| labels.values().max()).sum();
    majority as f64 / labels.len() as f64
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum()
}

/// The nearest centre and the squared distance to it.
fn nearest(point: &[f64], centres: &[Vec<f64>]) -> (usize, f64) {
    let distances = centres.iter().map(|c| distance(point, c)).enumerate();
    distances.fold((0, f64::INFINITY), |best, next| if next.1 < best.1 { next } else { best })
}

/// Cluster of each point by k-means.
pub(super) fn clusters(points: &[Vec<f64>], k: usize, rng: &mut Rng) -> Vec<usize> {
    let mut centres = vec![points[rng.below(points.len())].clone()];
    while centres.len() < k.min(points.len()) {
        let chances: Vec<f64> = points.iter().map(|p| nearest(p, &centres).1).collect();
        let mut left = rng.uniform() * chances.iter().sum::<f64>();
        let pick = chances.iter().position(|c| {
            left -= c;
            left < 0.
        });
        centres.push(points[pick.unwrap_or(0)].clone());
    }
    let mut assigned = vec![];
    for _ in 0..50 {
        let next: Vec<usize> = points.iter().map(|p| nearest(p, &centres).0).collect();
        if next == assigned {
            break;
        }
        assigned = next;
        for (c, centre) in centres.iter_mut().enumerate() {
            let own: Vec<_> = points.iter().zip(&assigned).filter(|(_, a)| **a == c).map(|(p, _)| p).collect();
            for (d, x) in centre.iter_mut().enumerate().filter(|_| !own.is_empty()) {
                *x = own.iter().map(|p| p[d]).sum::<f64>() / own.len() as f64;
            }
        }
    }
    assigned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purity_by_hand() {
        // Cluster 0 holds labels 1, 1, 2; cluster 1 holds 2, 2.
        assert_eq!(purity(&[0, 0, 0, 1, 1], &[1, 1, 2, 2, 2]), 0.8);
    }

    #[test]
    fn clusters_of_two_clouds() {
        let points: Vec<Vec<f64>> = [0., 0.1, 0.2, 5., 5.1].iter().map(|x| vec![*x]).collect();
        let found = clusters(&points, 2, &mut Rng::keyed(0, "x"));
        assert_eq!(purity(&found, &[0, 0, 0, 1, 1]), 1.);
    }
}
