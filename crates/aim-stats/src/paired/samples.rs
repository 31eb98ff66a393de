//! The paired bootstrap over test samples.

use crate::interval::{Interval, Resampling, percentile_of, replicates};
use crate::{Result, check};
use rand::Rng;

/// Outcome of [`paired_bootstrap`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PairedBootstrap {
    /// The difference on all samples.
    pub difference: f64,
    /// Its percentile interval.
    pub interval: Interval,
    /// Two-sided p-value.
    pub p: f64,
}

/// The bootstrap of a difference between two methods over the same `samples` test samples.
///
/// `difference` is given the indices of a resample and returns score(a) - score(b) on it; the same indices for both
/// methods keep the pairing. p = 2 min(#{d* <= 0} + 1, #{d* >= 0} + 1) / (resamples + 1), at most 1.
/// Source: B. Efron, R. Tibshirani, An Introduction to the Bootstrap (1993), chapters 13 and 16.
///
/// ```
/// use aim_stats::{paired::paired_bootstrap, summary::mean};
/// use rand::SeedableRng;
/// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(7);
/// let (a, b) = ([1., 1., 1., 0., 1., 1., 1., 1.], [1., 0., 1., 0., 0., 1., 0., 0.]);
/// let accuracy = |scores: &[f64], drawn: &[usize]| mean(&drawn.iter().map(|&i| scores[i]).collect::<Vec<_>>());
/// let difference = |drawn: &[usize]| Ok(accuracy(&a, drawn)? - accuracy(&b, drawn)?);
/// let test = paired_bootstrap(a.len(), difference, Default::default(), &mut rng)?;
/// assert_eq!(test.difference, 0.5);
/// assert!(test.interval.low > 0.0 && test.p < 0.05);
/// # Ok::<(), aim_stats::Error>(())
/// ```
pub fn paired_bootstrap<R: Rng + ?Sized>(
    samples: usize,
    difference: impl Fn(&[usize]) -> Result<f64>,
    resampling: Resampling,
    rng: &mut R,
) -> Result<PairedBootstrap> {
    check::count("samples", samples)?;
    let all: Vec<usize> = (0..samples).collect();
    let observed = check::result("the difference", difference(&all)?)?;
    let drawn = replicates(samples, &difference, resampling, rng)?;
    let tail = |beyond: fn(&&f64) -> bool| drawn.iter().filter(beyond).count();
    let smaller = tail(|value| **value <= 0.0).min(tail(|value| **value >= 0.0));
    let p = (2.0 * (smaller + 1) as f64 / (drawn.len() + 1) as f64).min(1.0);
    Ok(PairedBootstrap { difference: observed, interval: percentile_of(&drawn, resampling.level), p })
}
