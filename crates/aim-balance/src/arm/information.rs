//! What a feature says about the fused one, from histograms.

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

/// Contribution of each modality from draws of both features and of the fused one, and from the probability that the fused
/// and the unimodal logits give the true class.
pub fn contributions(z: [&[f64]; 2], fused: &[f64], p_fused: f64, p: [f64; 2], bins: (usize, usize)) -> [f64; 2] {
    [0, 1].map(|m| Information::of(z[m], z[1 - m], fused, bins.0, bins.1).contribution(p_fused, p[1 - m]))
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
    fn scales_by_hand() {
        assert_eq!((scale(0.5, 1.), scale(1., -3.), scale(0.001, 1.)), (2., 0.25, 4.));
    }
}
