//! How many seeds a paired comparison needs.

use crate::distribution::{normal_cdf, normal_quantile, t_quantile};
use crate::paired::sign_flip::{enumerated, sampled};
use crate::{Error, Result, check};
use rand::Rng;
use statrs::function::gamma::ln_gamma;

/// Experiments that are simulated for a power, whose standard error is then at most .016.
const EXPERIMENTS: usize = 1000;
/// Up to so many seeds a simulated experiment enumerates its sign patterns; beyond, so many are drawn.
const ENUMERATED: usize = 11;
const DRAWS: usize = 1999;
/// Steps of Simpson's rule.
const STEPS: usize = 2000;

/// What is to be found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Goal {
    /// The true mean difference.
    pub difference: f64,
    /// Standard deviation of the paired differences between seeds, from a pilot.
    pub std: f64,
    /// The level of a single two-sided test: of m tests under Holm's correction alpha / m, its first step.
    pub level: f64,
    /// The chance with which it is to be found.
    pub power: f64,
    /// The most seeds that come into question.
    pub most: usize,
}

impl Goal {
    fn check(&self) -> Result<()> {
        let above = |what, value: f64| match value > 0.0 && value.is_finite() {
            true => Ok(()),
            false => Err(Error::OutOfRange { what, value, range: "above 0" }),
        };
        above("the difference to be found", self.difference)?;
        if !(self.std >= 0.0 && self.std.is_finite()) {
            return Err(Error::OutOfRange { what: "the standard deviation", value: self.std, range: "at or above 0" });
        }
        check::level(1.0 - self.level)?;
        check::level(self.power)
    }

    /// The fewest seeds with which the paired t test has the power; `None` if `most` are not enough.
    ///
    /// ```
    /// let goal = aim_stats::power::Goal { difference: 0.01, std: 0.01, level: 0.05, power: 0.8, most: 50 };
    /// assert_eq!(goal.seeds_by_t()?, Some(10));
    /// # Ok::<(), aim_stats::Error>(())
    /// ```
    ///
    /// # Errors
    /// If a number is out of range.
    pub fn seeds_by_t(&self) -> Result<Option<usize>> {
        self.check()?;
        if self.std == 0.0 {
            return Ok(Some(2).filter(|n| *n <= self.most));
        }
        let effect = self.difference / self.std;
        for n in 2..=self.most {
            if t_power(effect, n, self.level)? >= self.power {
                return Ok(Some(n));
            }
        }
        Ok(None)
    }

    /// The fewest seeds, from `least` on, with which sign flips have the power where differences are normal, found by
    /// simulation; `None` if `most` are not enough.
    ///
    /// # Errors
    /// If a number is out of range.
    pub fn seeds_by_sign_flips<R: Rng + ?Sized>(&self, least: usize, rng: &mut R) -> Result<Option<usize>> {
        self.check()?;
        for n in least.max(2)..=self.most {
            if sign_flip_power(self.difference, self.std, n, self.level, rng)? >= self.power {
                return Ok(Some(n));
            }
        }
        Ok(None)
    }
}

/// The power of the two-sided paired t test with n pairs, for a true mean difference of so many standard deviations of
/// the differences: P(|T| > t) for T noncentral t with n - 1 degrees of freedom and noncentrality effect sqrt(n).
///
/// T = (Z + ncp) / S with S^2 = chi^2 / df, so it is the mean of Phi(ncp - t S) + Phi(-ncp - t S) over S, here by
/// Simpson's rule. Source: J. Cohen, Statistical Power Analysis for the Behavioral Sciences, 2nd ed. (1988), section 2.
///
/// # Errors
/// If there are fewer than two pairs, or the level is no probability.
pub fn t_power(effect: f64, n: usize, level: f64) -> Result<f64> {
    check::level(1.0 - level)?;
    if n < 2 {
        return Err(Error::TooFew { needed: 2, found: n });
    }
    let df = (n - 1) as f64;
    let (critical, centre) = (t_quantile(1.0 - level, df)?, effect * (n as f64).sqrt());
    let scale = std::f64::consts::LN_2 + df / 2.0 * (df / 2.0).ln() - ln_gamma(df / 2.0);
    let at = |s: f64| {
        // At 0 the density is 0, or finite with one degree of freedom.
        let log_power = if s == 0.0 && df == 1.0 { 0.0 } else { (df - 1.0) * s.ln() };
        let density = (scale + log_power - df * s * s / 2.0).exp();
        density * (normal_cdf(centre - critical * s) + normal_cdf(-centre - critical * s))
    };
    let width = (1.0 + 10.0 / df.sqrt()) / STEPS as f64;
    let weight = |i: usize| if i == 0 || i == STEPS { 1.0 } else { 2.0 + 2.0 * (i % 2) as f64 };
    let sum: f64 = (0..=STEPS).map(|i| weight(i) * at(i as f64 * width)).sum();
    check::result("the power", (sum * width / 3.0).min(1.0))
}

/// The power of the two-sided sign-flip test with n pairs whose differences are normal, simulated.
///
/// # Errors
/// If there is no pair, or the level is no probability.
pub fn sign_flip_power<R: Rng + ?Sized>(mean: f64, std: f64, n: usize, level: f64, rng: &mut R) -> Result<f64> {
    check::level(1.0 - level)?;
    check::count("pairs", n)?;
    // No p-value is smaller than this, so that nothing need be simulated.
    if 2f64.powi(1 - i32::try_from(n).unwrap_or(i32::MAX)) > level {
        return Ok(0.0);
    }
    let mut rejects = || {
        // 1 - u lies in (0, 1], where the quantile at 1 alone is infinite.
        let mut normal = || normal_quantile((1.0 - rng.random::<f64>()).min(1.0 - f64::EPSILON));
        let differences: Vec<f64> = (0..n).map(|_| mean + std * normal()).collect();
        let p = if n <= ENUMERATED { enumerated(&differences) } else { sampled(&differences, DRAWS, rng) };
        p <= level
    };
    Ok((0..EXPERIMENTS).filter(|_| rejects()).count() as f64 / EXPERIMENTS as f64)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn the_power_of_t_is_that_of_the_noncentral_distribution() {
        // 1 - nct.cdf(t, df, ncp) + nct.cdf(-t, df, ncp) with t = t.ppf(1 - level / 2, df), SciPy.
        for (effect, n, level, power) in [
            (0.5, 5, 0.05, 0.14051668999029823),
            (1.0, 10, 0.05, 0.8030968566327219),
            (0.8, 20, 0.05 / 6., 0.7286675796795468),
            (1.5, 3, 0.05, 0.3163818615591507),
            (2.0, 2, 0.05, 0.17570741109776025),
            (0.3, 40, 0.01, 0.2241096301245005),
        ] {
            let found = t_power(effect, n, level).unwrap();
            assert!((found - power).abs() < 1e-7, "{effect} {n} {level}: {found}, not {power}");
        }
        // Without an effect it rejects as often as its level says.
        assert!((t_power(0., 7, 0.05).unwrap() - 0.05).abs() < 1e-9);
    }

    #[test]
    fn seeds_are_the_fewest_that_have_the_power() {
        let goal = Goal { difference: 0.01, std: 0.012, level: 0.05 / 6., power: 0.8, most: 60 };
        let n = goal.seeds_by_t().unwrap().unwrap();
        let power = |n| t_power(0.01 / 0.012, n, 0.05 / 6.).unwrap();
        assert!(power(n) >= 0.8 && power(n - 1) < 0.8, "{n}");
        assert_eq!(Goal { most: n - 1, ..goal }.seeds_by_t().unwrap(), None);
        assert_eq!(Goal { std: 0., ..goal }.seeds_by_t().unwrap(), Some(2));
    }

    #[test]
    fn sign_flips_need_patterns_enough_and_then_about_as_many_as_t() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let goal = Goal { difference: 0.01, std: 0., level: 0.05 / 6., power: 0.8, most: 60 };
        // A difference that never varies is found as soon as 2^(1 - n) is at most the level: with 8, not with 7.
        assert_eq!(goal.seeds_by_sign_flips(2, &mut rng).unwrap(), Some(8));
        let goal = Goal { std: 0.012, ..goal };
        let (t, flips) = (goal.seeds_by_t().unwrap().unwrap(), goal.seeds_by_sign_flips(2, &mut rng).unwrap().unwrap());
        assert!(flips.abs_diff(t) <= 3, "{flips} {t}");
        assert_eq!(Goal { most: 9, ..goal }.seeds_by_sign_flips(2, &mut rng).unwrap(), None);
    }

    #[test]
    fn the_simulated_power_is_that_of_a_count_by_hand() {
        // With 6 pairs and level 1/32 only the two patterns of one sign reject: all six differences have the same sign.
        let (mean, share) = (0.5, 0.691_462_461_274_013_f64);
        let want = share.powi(6) + (1. - share).powi(6);
        let found = sign_flip_power(mean, 1., 6, 1. / 32., &mut ChaCha8Rng::seed_from_u64(1)).unwrap();
        assert!((found - want).abs() < 0.03, "{found} {want}");
    }

    #[test]
    fn numbers_out_of_range_are_refused() {
        let goal = Goal { difference: 0.01, std: 0.01, level: 0.05, power: 0.8, most: 50 };
        for wrong in [
            Goal { difference: 0., ..goal },
            Goal { std: -1., ..goal },
            Goal { level: 0., ..goal },
            Goal { power: 1., ..goal },
        ] {
            assert!(wrong.seeds_by_t().is_err());
        }
        assert!(t_power(1., 1, 0.05).is_err());
    }
}
