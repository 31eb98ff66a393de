//! Which units are drawn, and what their gradients are multiplied by.

use aim_core::Rng;
use serde::{Deserialize, Serialize};

/// Weights of drawn units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Weights {
    /// 1.
    #[serde(rename = "amss")]
    Plain,
    /// `1 / min(1, n p)`.
    #[serde(rename = "amss+")]
    Plus,
    /// `1 / (p + 1 / units)`.
    #[serde(rename = "amss+official")]
    Official,
}

/// The units of one layer.
pub(super) struct Drawn {
    /// Chance of each in one draw.
    pub p: Vec<f64>,
    /// Number asked for.
    pub n: usize,
    /// Factor of each gradient.
    pub factor: Vec<f64>,
}

/// Draws the units of one layer, or takes those given.
pub(super) fn draw(weights: Weights, score: &[f64], rho: f64, given: Option<Vec<f32>>, rng: &mut Rng) -> Drawn {
    let (units, total) = (score.len() as f64, score.iter().sum::<f64>());
    let p: Vec<f64> = score.iter().map(|s| if total > 0. { s / total } else { 1. / units }).collect();
    // 9 of 10 units at rho 0.9 are 9, not the 10 that rounding makes of 9.000000000000002.
    let n = (units * rho - 1e-9).ceil() as usize;
    let mask = given.unwrap_or_else(|| without_replacement(&p, n, rng));
    let weight = |p: &f64| match weights {
        Weights::Plain => 1.,
        Weights::Plus => 1. / (n as f64 * p).min(1.),
        Weights::Official => 1. / (p + 1. / units),
    };
    let factor = p.iter().zip(mask).map(|(p, m)| if m == 0. || *p == 0. { 0. } else { weight(p) }).collect();
    Drawn { p, n, factor }
}

/// At most `n` draws without replacement with chances `p`: the largest of `log p` plus Gumbel noise. Those whose chance is 0,
/// or rounding, are not drawn.
fn without_replacement(p: &[f64], n: usize, rng: &mut Rng) -> Vec<f32> {
    let key = |p: &f64| p.max(1e-300).ln() - (-rng.uniform().max(1e-300).ln()).ln();
    let keys: Vec<f64> = p.iter().map(key).collect();
    let mut order: Vec<usize> = (0..p.len()).filter(|i| p[*i] > f64::from(f32::EPSILON)).collect();
    order.sort_by(|a, b| keys[*b].total_cmp(&keys[*a]));
    let mut mask = vec![0.; p.len()];
    order.into_iter().take(n).for_each(|i| mask[i] = 1.);
    mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_by_hand() {
        let factors =
            |weights| draw(weights, &[1., 2., 1., 4.], 0.5, Some(vec![1., 0., 0., 1.]), &mut Rng::keyed(0, "x")).factor;
        assert_eq!(factors(Weights::Plain), [1., 0., 0., 1.]);
        // n = 2, p = 1/8 and 1/2.
        assert_eq!(factors(Weights::Plus), [4., 0., 0., 1.]);
        assert_eq!(factors(Weights::Official), [1. / 0.375, 0., 0., 1. / 0.75]);
    }

    #[test]
    fn draws_are_as_many_as_asked_of_those_with_a_chance() {
        let mask = without_replacement(&[0.1, 0.2, 0.3, 0.4], 3, &mut Rng::keyed(1, "x"));
        assert_eq!(mask.iter().sum::<f32>(), 3.);
        // Of four wanted only two have a gradient worth the name.
        let mask = without_replacement(&[0.5, 0., 1e-12, 0.5, 0.], 4, &mut Rng::keyed(1, "x"));
        assert_eq!(mask, [1., 0., 0., 1., 0.]);
    }
}
