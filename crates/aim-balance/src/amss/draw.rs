//! Which units are drawn, and what their gradients are multiplied by.

use aim_config::choice;
use aim_core::Rng;

choice! {
    /// Draw of units.
    pub enum Mode {
        /// `n` without replacement, with chances `p`.
        Adaptive = "adaptive",
        /// The `n` of the largest `p`.
        TopK = "topk",
        /// `n` without replacement, all with the same chance.
        Random = "random",
        /// Each by itself with chance `p`.
        Bernoulli = "bernoulli",
    }
}

choice! {
    /// Weights of drawn units.
    pub enum Weights {
        /// 1.
        Plain = "amss",
        /// 1 over the chance of being drawn, `min(1, n p)` without replacement.
        Plus = "amss+",
        /// `1 / (p + 1 / units)`.
        Official = "amss+official",
    }
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
pub(super) fn draw(
    (mode, weights): (Mode, Weights),
    score: &[f64],
    rho: f64,
    given: Option<Vec<f32>>,
    rng: &mut Rng,
) -> Drawn {
    let (units, total) = (score.len() as f64, score.iter().sum::<f64>());
    let p: Vec<f64> = score.iter().map(|s| if total > 0. { s / total } else { 1. / units }).collect();
    // 9 of 10 units at rho 0.9 are 9, not the 10 that rounding makes of 9.000000000000002.
    let n = (units * rho - 1e-9).ceil() as usize;
    let eligible = p.iter().filter(|p| drawable(**p)).count();
    let mask = given.unwrap_or_else(|| mode.mask(&p, n, rng));
    let weight = |p: &f64| match weights {
        Weights::Plain => 1.,
        Weights::Plus => 1. / mode.chance(*p, n, eligible),
        Weights::Official => 1. / (p + 1. / units),
    };
    let factor = p.iter().zip(mask).map(|(p, m)| if m == 0. || *p == 0. { 0. } else { weight(p) }).collect();
    Drawn { p, n, factor }
}

impl Mode {
    /// 1 for each unit that is drawn. Those whose share is 0, or rounding, are not.
    fn mask(self, p: &[f64], n: usize, rng: &mut Rng) -> Vec<f32> {
        let p = &possible(p);
        match self {
            Self::Adaptive => without_replacement(p, n, rng),
            Self::Random => {
                let alike: Vec<f64> = p.iter().map(|p| f64::from(u8::from(*p > 0.))).collect();
                without_replacement(&alike, n, rng)
            }
            Self::TopK => largest(p, p, n),
            Self::Bernoulli => p.iter().map(|p| f32::from(u8::from(rng.uniform() < *p))).collect(),
        }
    }

    /// The chance of a unit to be drawn, where `eligible` ones can be.
    fn chance(self, p: f64, n: usize, eligible: usize) -> f64 {
        match self {
            Self::Adaptive => (n as f64 * p).min(1.),
            Self::TopK => 1.,
            Self::Random => (n as f64 / eligible as f64).min(1.),
            Self::Bernoulli => p,
        }
    }
}

/// Whether a unit of this share can be drawn: 1 over a smaller one has no bound.
fn drawable(p: f64) -> bool {
    p > f64::from(f32::EPSILON)
}

/// The shares, 0 for units that cannot be drawn.
fn possible(p: &[f64]) -> Vec<f64> {
    p.iter().map(|p| if drawable(*p) { *p } else { 0. }).collect()
}

/// At most `n` draws without replacement with chances `p`: the largest of `log p` plus Gumbel noise. Those whose chance
/// is 0, or rounding, are not drawn.
fn without_replacement(p: &[f64], n: usize, rng: &mut Rng) -> Vec<f32> {
    let key = |p: &f64| p.max(1e-300).ln() - (-rng.uniform().max(1e-300).ln()).ln();
    let keys: Vec<f64> = p.iter().map(key).collect();
    largest(&keys, p, n)
}

/// The at most `n` units of the largest keys among those with a chance.
fn largest(keys: &[f64], p: &[f64], n: usize) -> Vec<f32> {
    let mut order: Vec<usize> = (0..p.len()).filter(|i| drawable(p[*i])).collect();
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
        let factors = |weights| {
            draw((Mode::Adaptive, weights), &[1., 2., 1., 4.], 0.5, Some(vec![1., 0., 0., 1.]), &mut Rng::keyed(0, "x"))
                .factor
        };
        assert_eq!(factors(Weights::Plain), [1., 0., 0., 1.]);
        // n = 2, p = 1/8 and 1/2.
        assert_eq!(factors(Weights::Plus), [4., 0., 0., 1.]);
        assert_eq!(factors(Weights::Official), [1. / 0.375, 0., 0., 1. / 0.75]);
    }

    #[test]
    fn modes_by_hand() {
        // p = 1/8, 1/4, 1/8, 1/2 and n = 2.
        let factor = |mode, weights, seed| {
            draw((mode, weights), &[1., 2., 1., 4.], 0.5, None, &mut Rng::keyed(seed, "x")).factor
        };
        assert_eq!(factor(Mode::TopK, Weights::Plus, 0), [0., 1., 0., 1.]);
        let mean = |mode: Mode| {
            let mut sum = [0.; 4];
            (0..4000).for_each(|s| sum.iter_mut().zip(factor(mode, Weights::Plain, s)).for_each(|(a, b)| *a += b));
            sum.map(|sum| sum / 4000.)
        };
        // Half of the units whoever they are; each with its own chance.
        let near = |a: [f64; 4], b: [f64; 4]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 0.03);
        assert!(near(mean(Mode::Random), [0.5; 4]) && near(mean(Mode::Bernoulli), [0.125, 0.25, 0.125, 0.5]));
        // Weights of 1 over the chance: 1 / (n / units) = 2, and 1 / p.
        assert!(factor(Mode::Random, Weights::Plus, 1).iter().all(|f| *f == 0. || *f == 2.));
        let each = |s| factor(Mode::Bernoulli, Weights::Plus, s);
        assert!((0..9).all(|s| each(s).iter().zip([8., 4., 8., 2.]).all(|(f, w)| *f == 0. || *f == w)));
        // Units without a gradient are never drawn.
        let none = draw((Mode::Random, Weights::Plain), &[0., 1., 0., 1.], 0.9, None, &mut Rng::keyed(0, "x"));
        assert_eq!(none.factor, [0., 1., 0., 1.]);
        // Of four units two can be drawn, and both are: the chance is 1, not 2 of 4.
        let both = draw((Mode::Random, Weights::Plus), &[0., 1., 0., 1.], 0.5, None, &mut Rng::keyed(0, "x"));
        assert_eq!(both.factor, [0., 1., 0., 1.]);
        // A unit of the first share would weigh 1e12.
        assert_eq!(possible(&[1e-12, 0.5]), [0., 0.5]);
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
