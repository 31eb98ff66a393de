//! The sign-flip permutation test.

use super::rounded_differences;
use crate::summary::mean;
use crate::{Result, check};
use rand::Rng;

/// Up to so many pairs all sign patterns are enumerated.
const EXACT_UP_TO: usize = 20;

/// Outcome of [`sign_flip`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SignFlip {
    /// mean(a - b).
    pub mean_difference: f64,
    /// Two-sided p-value.
    pub p: f64,
    /// Whether all sign patterns were enumerated.
    pub exact: bool,
}

/// The permutation test of mean(a - b) = 0: the share of sign patterns s with |sum s_i d_i| >= |sum d_i|.
///
/// Up to 20 pairs all 2^n patterns are enumerated and neither `draws` nor `rng` is used. Beyond that `draws` patterns
/// are drawn and p = (1 + extreme) / (1 + draws), which is never 0 and never too small. Assumes that the difference's
/// distribution is symmetric about 0 where the methods do not differ; with n seeds p cannot be below 2^(1 - n).
/// Sources: R. A. Fisher, The Design of Experiments (1935), section 21; B. Phipson, G. K. Smyth, Permutation p-values
/// should never be zero, Stat. Appl. Genet. Mol. Biol. 9 (2010).
///
/// ```
/// use rand::SeedableRng;
/// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let test = aim_stats::paired::sign_flip(&[0.8, 0.9, 0.7], &[0.7, 0.7, 0.4], 9_999, &mut rng)?;
/// assert!(test.exact && test.p == 0.25);
/// # Ok::<(), aim_stats::Error>(())
/// ```
pub fn sign_flip<R: Rng + ?Sized>(a: &[f64], b: &[f64], draws: usize, rng: &mut R) -> Result<SignFlip> {
    check::count("draws", draws)?;
    let (differences, _) = rounded_differences(a, b)?;
    let (p, exact) = flips(&differences, draws, rng);
    Ok(SignFlip { mean_difference: mean(&differences)?, p, exact })
}

/// The p-value of a sum under sign flips of its terms, and whether all patterns were enumerated.
pub(crate) fn flips<R: Rng + ?Sized>(terms: &[f64], draws: usize, rng: &mut R) -> (f64, bool) {
    let exact = terms.len() <= EXACT_UP_TO;
    (if exact { enumerated(terms) } else { sampled(terms, draws, rng) }, exact)
}

/// The sum from which on a pattern is as extreme as the one seen; sums in another order round differently.
fn extreme(differences: &[f64]) -> f64 {
    let size: f64 = differences.iter().map(|difference| difference.abs()).sum();
    differences.iter().sum::<f64>().abs() - 1e-12 * size
}

pub(crate) fn enumerated(differences: &[f64]) -> f64 {
    let extreme = extreme(differences);
    // A pattern and its opposite are equally extreme, so the last sign can stay.
    let patterns = 1_u32 << (differences.len() - 1);
    let found = (0..patterns).filter(|pattern| flipped_sum(differences, |i| pattern >> i & 1 == 1).abs() >= extreme);
    found.count() as f64 / f64::from(patterns)
}

pub(crate) fn sampled<R: Rng + ?Sized>(differences: &[f64], draws: usize, rng: &mut R) -> f64 {
    let extreme = extreme(differences);
    let found = (0..draws).filter(|_| flipped_sum(differences, |_| rng.random::<bool>()).abs() >= extreme).count();
    (1 + found) as f64 / (1 + draws) as f64
}

fn flipped_sum(differences: &[f64], mut flip: impl FnMut(usize) -> bool) -> f64 {
    differences.iter().enumerate().map(|(i, difference)| if flip(i) { -difference } else { *difference }).sum()
}
