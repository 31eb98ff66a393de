//! What a feature says about the fused one, from histograms or as if all were normal.

use std::f64::consts::{E, TAU};

/// Each draw's bin among equal ones over the range of all; the largest value falls in the last.
fn binned(values: &[f64], bins: usize) -> Vec<usize> {
    let low = values.iter().copied().fold(f64::INFINITY, f64::min);
    let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let width = (high - low) / bins as f64;
    let bin = |v: &f64| if width > 0. { (((v - low) / width) as usize).min(bins - 1) } else { 0 };
    values.iter().map(bin).collect()
}

/// Joint entropy of variables that share their draws, in nats.
fn entropy(variables: &[&[usize]], bins: usize) -> f64 {
    let mut counts = vec![0usize; bins.pow(variables.len() as u32)];
    let draws = variables[0].len();
    for i in 0..draws {
        counts[variables.iter().fold(0, |cell, v| cell * bins + v[i])] += 1;
    }
    let p = counts.into_iter().filter(|n| *n > 0).map(|n| n as f64 / draws as f64);
    -p.map(|p| p * p.ln()).sum::<f64>()
}

/// What one modality's feature says about the fused one.
#[derive(Clone, Copy, Debug)]
pub struct Information {
    /// Entropy of the feature.
    pub entropy: f64,
    /// Mutual information with the fused feature.
    pub mutual: f64,
    /// The same, normalised.
    pub normalised: f64,
    /// Conditional mutual information given the other modality.
    pub conditional: f64,
    /// The same, normalised.
    pub conditional_normalised: f64,
}

impl Information {
    /// From draws of the feature, the other modality's and the fused one.
    pub fn of(own: &[f64], other: &[f64], fused: &[f64], bins: usize, bins_cmi: usize) -> Self {
        let (x, f) = (binned(own, bins), binned(fused, bins));
        let (h, h_f) = (entropy(&[&x], bins), entropy(&[&f], bins));
        let mutual = h + h_f - entropy(&[&x, &f], bins);
        let (x, y, z) = (binned(own, bins_cmi), binned(fused, bins_cmi), binned(other, bins_cmi));
        let joint = |variables: &[&[usize]]| entropy(variables, bins_cmi);
        let (xz, yz, h_z) = (joint(&[&x, &z]), joint(&[&y, &z]), joint(&[&z]));
        let conditional = xz + yz - joint(&[&x, &y, &z]) - h_z;
        Self {
            entropy: h,
            mutual,
            normalised: 2. * mutual / (h + h_f).max(1e-12),
            conditional,
            conditional_normalised: 2. * conditional / (xz + yz - 2. * h_z).max(1e-12),
        }
    }

    /// The same as if the draws were normal: from correlations, and as the share that one variable determines of the
    /// other, `sqrt(1 - exp(-2 I))`, which is the size of the (partial) correlation.
    pub fn gaussian(own: &[f64], other: &[f64], fused: &[f64]) -> Self {
        let (own, other, fused) = (centred(own), centred(other), centred(fused));
        let r = |a: &[f64], b: &[f64]| correlation(dot(a, b), dot(a, a), dot(b, b));
        let plain = r(&own, &fused);
        let (z_own, z_fused) = (r(&own, &other), r(&fused, &other));
        let partial = correlation(plain - z_own * z_fused, 1. - z_own * z_own, 1. - z_fused * z_fused);
        let information = |r: f64| -0.5 * (1. - r * r).max(f64::MIN_POSITIVE).ln();
        let variance = dot(&own, &own) / own.len() as f64;
        Self {
            entropy: 0.5 * (TAU * E * variance.max(f64::MIN_POSITIVE)).ln(),
            mutual: information(plain),
            normalised: plain.abs(),
            conditional: information(partial),
            conditional_normalised: partial.abs(),
        }
    }

    /// Interaction information: normalised information less its conditional part.
    pub fn interaction(&self) -> f64 {
        self.normalised - self.conditional_normalised
    }

    /// `P_f nmi + P_other ii`.
    pub fn contribution(&self, fused: f64, other: f64) -> f64 {
        fused * self.normalised + other * self.interaction()
    }
}

/// Scale of a modality from its contribution and the other's.
pub fn scale(own: f64, other: f64) -> f64 {
    (other.max(1e-3) / own.max(1e-3)).clamp(0.25, 4.)
}

/// Draws less their mean.
fn centred(values: &[f64]) -> Vec<f64> {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    values.iter().map(|v| v - mean).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// The correlation of a covariance and two variances; 0 where a variance vanishes.
fn correlation(covariance: f64, a: f64, b: f64) -> f64 {
    if a <= 1e-12 || b <= 1e-12 { 0. } else { (covariance / (a * b).sqrt()).clamp(-1., 1.) }
}

/// Contribution of each modality from draws of both features and of the fused one, and from the probability that the
/// fused and the unimodal logits give the true class. `estimate` takes draws of a feature, of the other and of the
/// fused one.
pub fn contributions(
    z: [&[f64]; 2],
    fused: &[f64],
    p_fused: f64,
    p: [f64; 2],
    estimate: impl Fn(&[f64], &[f64], &[f64]) -> Information,
) -> [f64; 2] {
    [0, 1].map(|m| estimate(z[m], z[1 - m], fused).contribution(p_fused, p[1 - m]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn information_by_hand() {
        // f repeats the feature, the other modality is independent of both.
        let (own, other) = ([0., 0., 1., 1.], [0., 1., 0., 1.]);
        let found = Information::of(&own, &other, &own, 2, 2);
        let bit = 2f64.ln();
        assert!((found.mutual - bit).abs() < 1e-12 && (found.normalised - 1.).abs() < 1e-12);
        assert!((found.conditional - bit).abs() < 1e-12 && found.interaction().abs() < 1e-12);
    }

    #[test]
    fn information_of_normal_draws_by_hand() {
        // Orthogonal and of the same size: f = own + other correlates 1/sqrt 2 with each, and given the other it is
        // own.
        let (own, other) = ([1., 1., -1., -1.], [1., -1., 1., -1.]);
        let fused = [2., 0., 0., -2.];
        let found = Information::gaussian(&own, &other, &fused);
        assert!((found.normalised - 0.5f64.sqrt()).abs() < 1e-12 && (found.mutual - 0.5 * 2f64.ln()).abs() < 1e-12);
        assert!((found.conditional_normalised - 1.).abs() < 1e-12);
        // Independent draws, and draws that do not vary, say nothing.
        assert_eq!(Information::gaussian(&own, &other, &other).normalised, 0.);
        assert_eq!(Information::gaussian(&[3.; 4], &other, &fused).interaction(), 0.);
    }

    #[test]
    fn scales_by_hand() {
        assert_eq!((scale(0.5, 1.), scale(1., -3.), scale(0.001, 1.)), (2., 0.25, 4.));
    }
}
