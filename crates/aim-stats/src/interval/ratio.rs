//! The interval of a ratio of two means.

use super::{Interval, Resampling, percentile_of, replicates};
use crate::summary::mean;
use crate::{Error, Result, check};
use rand::Rng;

/// The percentile interval of mean(numerator) / mean(denominator), whose values come in pairs that are drawn together:
/// what of a gap is regained, by seed.
///
/// It is refused where the denominator's own interval reaches 0: the ratio then has no bounded interval, and may have
/// either sign. Where few resamples have such a denominator, theirs count as ratios beyond all others. Source: B.
/// Efron, R. Tibshirani, An Introduction to the Bootstrap (1993), chapter 13; on the refusal E. C. Fieller, Some
/// problems in interval estimation, J. R. Statist. Soc. B 16 (1954).
///
/// ```
/// use rand::SeedableRng;
/// let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(0);
/// let (regained, gap) = ([0.04, 0.05, 0.06, 0.05], [0.10, 0.11, 0.09, 0.10]);
/// let interval = aim_stats::interval::ratio_interval(&regained, &gap, Default::default(), &mut rng)?;
/// assert!(interval.low > 0.38 && interval.low < 0.5 && interval.high > 0.5 && interval.high < 0.66);
/// # Ok::<(), aim_stats::Error>(())
/// ```
///
/// # Errors
/// If there are fewer than two pairs, or the denominator is not clearly above or below 0.
pub fn ratio_interval<R: Rng + ?Sized>(
    numerator: &[f64],
    denominator: &[f64],
    resampling: Resampling,
    rng: &mut R,
) -> Result<Interval> {
    check::lengths(numerator.len(), denominator.len())?;
    check::sample(numerator, 2)?;
    check::sample(denominator, 2)?;
    let sign = mean(denominator)?.signum();
    let of = |values: &[f64], drawn: &[usize]| mean(&drawn.iter().map(|&i| values[i]).collect::<Vec<_>>());
    // A denominator of the other sign is as good as none: the ratio runs through infinity on its way there, to the side
    // that the numerator says.
    let ratio = |drawn: &[usize]| {
        let (above, below) = (of(numerator, drawn)?, of(denominator, drawn)?);
        Ok(if below * sign > 0.0 { above / below } else { f64::MAX.copysign(above * sign) })
    };
    let drawn = replicates(numerator.len(), ratio, resampling, rng)?;
    let bounded = || drawn.iter().map(|ratio| ratio.abs()).filter(|ratio| *ratio != f64::MAX);
    let lost = (drawn.len() - bounded().count()) as f64 / drawn.len() as f64;
    let interval = percentile_of(&drawn, resampling.level);
    let largest = bounded().fold(0.0, f64::max);
    if lost > (1.0 - resampling.level) / 2.0 || interval.low < -largest || interval.high > largest {
        return Err(Error::Undefined { what: "the interval of a ratio whose denominator may be 0" });
    }
    Ok(interval)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// With the middle 40 % as interval, the ends are quantiles .3 and .7 of the resamples.
    const MIDDLE: Resampling = Resampling { level: 0.4, resamples: 4000 };

    fn of(numerator: &[f64], denominator: &[f64]) -> Result<Interval> {
        ratio_interval(numerator, denominator, MIDDLE, &mut ChaCha8Rng::seed_from_u64(0))
    }

    #[test]
    fn the_interval_of_two_pairs_by_hand() {
        // Resamples have the ratios 1/4, 4/6, 3/2 with chances 1/4, 1/2, 1/4.
        let interval = of(&[1., 3.], &[4., 2.]).unwrap();
        assert_eq!((interval.low, interval.high), (4. / 6., 4. / 6.));
        let wide = Resampling { level: 0.9, ..MIDDLE };
        let interval = ratio_interval(&[1., 3.], &[4., 2.], wide, &mut ChaCha8Rng::seed_from_u64(0)).unwrap();
        assert_eq!((interval.low, interval.high), (0.25, 1.5));
    }

    #[test]
    fn pairs_are_drawn_together_and_signs_cancel() {
        let interval = of(&[1., 2., 3.], &[2., 4., 6.]).unwrap();
        assert_eq!((interval.low, interval.high), (0.5, 0.5));
        let negative = of(&[1., 2., 3.], &[-2., -4., -6.]).unwrap();
        assert_eq!((negative.low, negative.high), (-0.5, -0.5));
    }

    #[test]
    fn a_gap_that_may_be_none_has_no_interval() {
        // Resamples have the ratios 1 / 3, 1 / .5 and none, with chances 1/4, 1/2, 1/4: fewer have none than the 30 %
        // that the middle 40 % leave out at one end. They lie beyond the others, so that quantile .3 and .7 are both 2;
        // without them quantile .3 would be 1 / 3.
        let interval = of(&[1., 1.], &[3., -2.]).unwrap();
        assert_eq!((interval.low, interval.high), (2., 2.));
        let negative = of(&[-1., -1.], &[3., -2.]).unwrap();
        assert_eq!((negative.low, negative.high), (-2., -2.));
        let wide = Resampling { level: 0.95, ..MIDDLE };
        let refused = ratio_interval(&[1., 1.], &[3., -2.], wide, &mut ChaCha8Rng::seed_from_u64(0));
        assert!(matches!(refused, Err(Error::Undefined { .. })));
        assert!(of(&[1.], &[1.]).is_err() && of(&[1., 2.], &[1.]).is_err());
    }
}
