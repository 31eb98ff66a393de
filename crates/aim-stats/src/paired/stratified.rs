//! Sign flips within each of several data sets.

use super::{SignFlip, rounded_differences, sign_flip::flips};
use crate::summary::mean;
use crate::{Result, check};
use rand::Rng;

/// The permutation test of the mean over sets of the mean difference, (1/K) sum_k (1/n_k) sum_i (a_ki - b_ki) = 0, with
/// sign flips of each pair within its set.
///
/// Each set counts alike, however many runs it has, and each may have a scale of its own: no difference is exchanged
/// between sets. Otherwise as [`super::sign_flip`], with as many pairs as all sets have together. It speaks of these
/// sets; the sets themselves are not drawn.
///
/// ```
/// use aim_stats::paired::stratified_sign_flip;
/// use rand::SeedableRng;
/// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// // Two pairs on one set, one on the other: of the 8 patterns two are as extreme as the one seen.
/// let sets = [(vec![0.8, 0.9], vec![0.7, 0.7]), (vec![0.6], vec![0.5])];
/// let test = stratified_sign_flip(&sets, 9_999, &mut rng)?;
/// assert!((test.mean_difference - 0.125).abs() < 1e-12 && test.p == 0.25);
/// # Ok::<(), aim_stats::Error>(())
/// ```
///
/// # Errors
/// If there is no set, or one has no pairs.
pub fn stratified_sign_flip<R: Rng + ?Sized>(
    sets: &[(Vec<f64>, Vec<f64>)],
    draws: usize,
    rng: &mut R,
) -> Result<SignFlip> {
    check::count("draws", draws)?;
    check::count("sets", sets.len())?;
    let (mut weighted, mut means) = (Vec::new(), Vec::new());
    for (a, b) in sets {
        let (differences, _) = rounded_differences(a, b)?;
        means.push(mean(&differences)?);
        weighted.extend(differences.iter().map(|difference| difference / differences.len() as f64));
    }
    let (p, exact) = flips(&weighted, draws, rng);
    Ok(SignFlip { mean_difference: mean(&means)?, p, exact })
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;
    use crate::paired::sign_flip;

    fn test(sets: &[(Vec<f64>, Vec<f64>)]) -> Result<SignFlip> {
        stratified_sign_flip(sets, 999, &mut ChaCha8Rng::seed_from_u64(0))
    }

    fn zeros(differences: &[f64]) -> (Vec<f64>, Vec<f64>) {
        (differences.to_vec(), vec![0.; differences.len()])
    }

    #[test]
    fn sets_count_alike_whatever_their_runs() {
        // Terms 4 and 1, 1, 1, 1: mean (4 + 1) / 2. Of the 16 patterns with the first sign fixed only that of all signs
        // alike is as extreme.
        let found = test(&[zeros(&[4.]), zeros(&[1.; 4])]).unwrap();
        assert_eq!((found.mean_difference, found.p, found.exact), (2.5, 1. / 16., true));
        // By pairs alone the sums 4 + 4, 4 + 2, ... have the same extreme pattern, but another mean.
        let pooled = sign_flip(&[4., 1., 1., 1., 1.], &[0.; 5], 9, &mut ChaCha8Rng::seed_from_u64(0)).unwrap();
        assert_eq!(pooled.mean_difference, 1.6);
    }

    #[test]
    fn the_share_of_patterns_by_hand() {
        // Weighted terms .5, .5, -.25, 1: |sum| = 1.75. With the last sign fixed the sums of +-.5 +-.5 -+.25 + 1 are at
        // least that for (+, +, either) and never below -.25: 2 of 8.
        let found = test(&[zeros(&[1., 1.]), zeros(&[-0.25]), zeros(&[1.])]).unwrap();
        assert!((found.mean_difference - (1. - 0.25 + 1.) / 3.).abs() < 1e-12 && found.p == 0.25, "{found:?}");
    }

    #[test]
    fn one_set_is_the_plain_test_and_none_is_refused() {
        let (a, b) = (vec![0.8, 0.9, 0.7, 0.75], vec![0.7, 0.7, 0.75, 0.6]);
        let plain = sign_flip(&a, &b, 9, &mut ChaCha8Rng::seed_from_u64(0)).unwrap();
        assert_eq!(test(&[(a.clone(), b)]).unwrap().p, plain.p);
        assert!(test(&[]).is_err() && test(&[(a, vec![])]).is_err());
    }
}
