//! Scores over several data sets at once, after R. Agarwal, M. Schwarzer, P. S. Castro, A. Courville, M. G. Bellemare,
//! Deep reinforcement learning at the edge of the statistical precipice, NeurIPS 2021.
//!
//! `sets` holds one list of runs for each data set; the numbers of runs may differ. Intervals are stratified
//! percentile bootstraps: runs are drawn anew within each set, the sets themselves stay.

use crate::interval::{Interval, Resampling, percentile_of};
use crate::paired::cliffs_delta;
use crate::summary::{mean, sorted};
use crate::{Result, check};
use rand::Rng;

/// An estimate and its interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The estimate from the runs as they are.
    pub value: f64,
    /// Its stratified bootstrap interval.
    pub interval: Interval,
}

/// The mean of the middle half of all runs of all sets: floor(n / 4) values are left out at either end.
///
/// Sets need comparable scales; normalise before (accuracies between chance and 1, say).
///
/// ```
/// let sets = [vec![0.1, 0.5, 0.6], vec![0.7, 0.99]];
/// assert!((aim_stats::aggregate::interquartile_mean(&sets)? - 0.6).abs() < 1e-12);
/// # Ok::<(), aim_stats::Error>(())
/// ```
pub fn interquartile_mean(sets: &[Vec<f64>]) -> Result<f64> {
    sets.iter().try_for_each(|runs| check::sample(runs, 1))?;
    let sorted = sorted(&sets.concat());
    let out = sorted.len() / 4;
    mean(&sorted[out..sorted.len() - out])
}

/// The chance that a run of `a` beats a run of `b` on a set drawn at random: the mean over sets of
/// (#{a_i > b_j} + #{a_i = b_j} / 2) / (n_a n_b). 1/2 means no difference.
pub fn probability_of_improvement(a: &[Vec<f64>], b: &[Vec<f64>]) -> Result<f64> {
    check::lengths(a.len(), b.len())?;
    let of_set = |(a, b): (&Vec<f64>, &Vec<f64>)| Ok((cliffs_delta(a, b)? + 1.0) / 2.0);
    mean(&a.iter().zip(b).map(of_set).collect::<Result<Vec<_>>>()?)
}

/// [`interquartile_mean`] with its interval.
pub fn interquartile_mean_interval<R: Rng + ?Sized>(
    sets: &[Vec<f64>],
    resampling: Resampling,
    rng: &mut R,
) -> Result<Estimate> {
    estimate(interquartile_mean(sets)?, resampling, || interquartile_mean(&resample(sets, rng)))
}

/// [`probability_of_improvement`] with its interval; the runs of `a` and `b` are drawn independently.
pub fn probability_of_improvement_interval<R: Rng + ?Sized>(
    a: &[Vec<f64>],
    b: &[Vec<f64>],
    resampling: Resampling,
    rng: &mut R,
) -> Result<Estimate> {
    let once = || probability_of_improvement(&resample(a, rng), &resample(b, rng));
    estimate(probability_of_improvement(a, b)?, resampling, once)
}

fn estimate(value: f64, resampling: Resampling, mut once: impl FnMut() -> Result<f64>) -> Result<Estimate> {
    resampling.check()?;
    let drawn = (0..resampling.resamples).map(|_| once()).collect::<Result<Vec<_>>>()?;
    Ok(Estimate { value, interval: percentile_of(&drawn, resampling.level) })
}

fn resample<R: Rng + ?Sized>(sets: &[Vec<f64>], rng: &mut R) -> Vec<Vec<f64>> {
    let mut of_set = |runs: &Vec<f64>| runs.iter().map(|_| runs[rng.random_range(0..runs.len())]).collect();
    sets.iter().map(&mut of_set).collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// With the middle 40 % as interval, the ends are quantiles .3 and .7 of the resamples.
    const MIDDLE: Resampling = Resampling { level: 0.4, resamples: 4000 };

    fn rng() -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(0)
    }

    #[test]
    fn the_middle_half_of_eight_runs_by_hand() {
        let sets = [vec![3., 1., 2.], vec![8., 5., 4., 7., 6.]];
        assert_eq!(interquartile_mean(&sets).unwrap(), (3. + 4. + 5. + 6.) / 4.);
    }

    #[test]
    fn the_interval_of_two_runs_by_hand() {
        // Resamples of {0, 1} have the means 0, 1/2, 1 with chances 1/4, 1/2, 1/4.
        let estimate = interquartile_mean_interval(&[vec![0., 1.]], MIDDLE, &mut rng()).unwrap();
        assert_eq!((estimate.value, estimate.interval.low, estimate.interval.high), (0.5, 0.5, 0.5));
        let wide = Resampling { level: 0.9, ..MIDDLE };
        let estimate = interquartile_mean_interval(&[vec![0., 1.]], wide, &mut rng()).unwrap();
        assert_eq!((estimate.interval.low, estimate.interval.high), (0., 1.));
    }

    #[test]
    fn runs_are_drawn_within_their_set() {
        // Nothing varies within a set, so nothing varies at all; draws across sets would.
        let estimate = interquartile_mean_interval(&[vec![0.2; 2], vec![0.8; 2]], Resampling::default(), &mut rng());
        let estimate = estimate.unwrap();
        assert_eq!((estimate.value, estimate.interval.low, estimate.interval.high), (0.5, 0.5, 0.5));
    }

    #[test]
    fn pairs_won_by_hand() {
        // Set 1: 1 > 0, 1 = 1, 2 > 0, 2 > 1: 3.5 of 4. Set 2: 5 < 6: 0 of 1.
        let (a, b) = ([vec![1., 2.], vec![5.]], [vec![0., 1.], vec![6.]]);
        assert_eq!(probability_of_improvement(&a, &b).unwrap(), (3.5 / 4. + 0.) / 2.);
        // Resamples of {1, 3} are beaten by 2 in all, half or none of the pairs with chances 1/4, 1/2, 1/4.
        let estimate =
            probability_of_improvement_interval(&[vec![2., 2.]], &[vec![1., 3.]], MIDDLE, &mut rng()).unwrap();
        assert_eq!((estimate.value, estimate.interval.low, estimate.interval.high), (0.5, 0.5, 0.5));
        assert!(probability_of_improvement(&a, &b[..1]).is_err());
    }
}
