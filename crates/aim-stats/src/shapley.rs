//! Shapley values of the modalities, their shares, and the distance of the shares from balance.

use crate::{Error, Result, check};

/// Added to each clamped value, so that shares exist even where no modality contributes.
const CLAMP_OFFSET: f64 = 1e-8;

/// The part of the values' sizes up to which their sum counts as rounding: values are sums of differences of
/// accuracies, which are known to about 1e-16.
const ROUNDING: f64 = 1e-9;

/// Exact Shapley values from the values of all 2^M coalitions; bit i of an index says whether modality i is present.
///
/// phi_m = sum over S without m of |S|! (M - |S| - 1)! / M! * (v(S + m) - v(S)), so sum(phi) = v(all) - v(none).
/// Source: L. S. Shapley, A value for n-person games (1953).
///
/// ```
/// // none .2, audio .6, video .4, both .8
/// let phi = aim_stats::shapley::shapley_values(&[0.2, 0.6, 0.4, 0.8])?;
/// assert!((phi[0] - 0.4).abs() < 1e-12 && (phi[1] - 0.2).abs() < 1e-12);
/// # Ok::<(), aim_stats::Error>(())
/// ```
pub fn shapley_values(coalitions: &[f64]) -> Result<Vec<f64>> {
    let found = coalitions.len();
    if found < 2 || !found.is_power_of_two() {
        return Err(Error::Coalitions { found });
    }
    check::sample(coalitions, 2)?;
    let players = found.trailing_zeros();
    let weights = weights(players);
    Ok((0..players).map(|player| value_of(player, coalitions, &weights)).collect())
}

/// |S|! (M - |S| - 1)! / M! = 1 / (M * binomial(M - 1, |S|)) for |S| = 0 .. M - 1.
fn weights(players: u32) -> Vec<f64> {
    let mut choices = 1.0;
    let mut weights = Vec::new();
    for size in 0..players {
        weights.push(1.0 / (f64::from(players) * choices));
        choices *= f64::from(players - 1 - size) / f64::from(size + 1);
    }
    weights
}

fn value_of(player: u32, coalitions: &[f64], weights: &[f64]) -> f64 {
    let bit = 1_usize << player;
    let without = (0..coalitions.len()).filter(|coalition| coalition & bit == 0);
    without.map(|c| weights[c.count_ones() as usize] * (coalitions[c | bit] - coalitions[c])).sum()
}

/// phi / sum(phi), as it is: shares are negative where a modality harms. Undefined where the values cancel, so that
/// their sum is nothing but rounding.
pub fn share(phi: &[f64]) -> Result<Vec<f64>> {
    check::sample(phi, 1)?;
    let total = total(phi);
    phi.iter().map(|value| check::result("the Shapley share", value / total)).collect()
}

/// Shares of max(phi, 0) + 1e-8: each lies between 0 and 1 and they sum to 1.
pub fn share_clamped(phi: &[f64]) -> Result<Vec<f64>> {
    check::sample(phi, 1)?;
    share(&phi.iter().map(|value| value.max(0.0) + CLAMP_OFFSET).collect::<Vec<_>>())
}

/// The sum of the values, 0 where it is nothing but the rounding of values that cancel.
fn total(phi: &[f64]) -> f64 {
    let total: f64 = phi.iter().sum();
    let size: f64 = phi.iter().map(|value| value.abs()).sum();
    if total.abs() > ROUNDING * size { total } else { 0.0 }
}

/// [`share`] where the values sum to something positive, else [`share_clamped`]: dividing by a sum below 0 would turn
/// the order of the modalities round.
///
/// ```
/// use aim_stats::shapley::share_or_clamped;
/// assert_eq!(share_or_clamped(&[0.3, -0.1])?, [0.3 / (0.3 - 0.1), -0.1 / (0.3 - 0.1)]);
/// assert!(share_or_clamped(&[0.1, -0.3])?[0] > 0.99);
/// # Ok::<(), aim_stats::Error>(())
/// ```
pub fn share_or_clamped(phi: &[f64]) -> Result<Vec<f64>> {
    if total(phi) > 0. { share(phi) } else { share_clamped(phi) }
}

/// The distance of shares from balance, sum over m of |1/M - share_m|: 0 where all modalities contribute equally.
/// Raw or clamped as the shares given.
pub fn edm(shares: &[f64]) -> Result<f64> {
    check::sample(shares, 1)?;
    let even = 1.0 / shares.len() as f64;
    Ok(shares.iter().map(|share| (even - share).abs()).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_cancel_have_no_raw_shares() {
        for phi in [[0.3, -0.3], [0.3, -0.3 + 1e-16], [0.1 + 0.2, -0.3], [1e-3, -1e-3 - 1e-18], [0., 0.]] {
            assert_eq!(share(&phi), Err(Error::Undefined { what: "the Shapley share" }), "{phi:?}");
            let shares = share_or_clamped(&phi).unwrap();
            assert!(shares.iter().all(|s| (0. ..=1.).contains(s)), "{phi:?}: {shares:?}");
            assert!(edm(&shares).unwrap() <= 1., "{phi:?}");
        }
        // One sample in a million is no rounding.
        assert_eq!(share_or_clamped(&[0.3, -0.3 + 1e-6]).unwrap()[0], 0.3 / (0.3 + (-0.3 + 1e-6)));
    }

    #[test]
    fn no_values_of_coalitions_make_shares_beyond_what_a_sample_can() {
        // All accuracies on 30 samples of two modalities: the smallest sum that is not 0 is 1 / 30, the largest
        // value 1, so that no share is above 30.
        let accuracy = |right: usize| right as f64 / 30.;
        for code in 0..31_usize.pow(3) {
            let [a, b, both] = [code % 31, code / 31 % 31, code / 961].map(accuracy);
            let phi = shapley_values(&[accuracy(11), a, b, both]).unwrap();
            let shares = share_or_clamped(&phi).unwrap();
            assert!(shares.iter().all(|s| s.abs() <= 31.), "{a} {b} {both}: {shares:?}");
        }
    }
}
