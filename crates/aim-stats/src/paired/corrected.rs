//! The paired t test over folds, whose training sets overlap.

use super::{TTest, rounded_differences};
use crate::distribution::{t_quantile, t_two_sided};
use crate::interval::Interval;
use crate::summary::{mean, std};
use crate::{Error, Result, check};

/// How the runs of one method relate to each other, and with that which t test of their differences is right.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Repeats {
    /// Runs whose differences are independent: seeds on fixed splits.
    Independent,
    /// One value a fold or resample of a data set: their training sets overlap, so that the differences are alike and
    /// their spread says too little of the mean's.
    ///
    /// Several seeds on the same folds share what each fold brings, so that their runs are no further values: the value
    /// of a fold is the mean over its seeds. Only folds that are dealt anew each time give a value a run.
    Overlapping {
        /// Samples of a test part divided by those of a training part: of k folds 1 / (k - 1) where all others train,
        /// and 1 / (k - 2) where one of them validates.
        test_to_train: f64,
    },
}

impl Repeats {
    /// The factor on the differences' variance that gives the variance of their mean.
    fn factor(self, n: usize) -> Result<f64> {
        let n = n as f64;
        match self {
            Self::Independent => Ok(1.0 / n),
            Self::Overlapping { test_to_train } if test_to_train > 0.0 && test_to_train.is_finite() => {
                Ok(1.0 / n + test_to_train)
            }
            Self::Overlapping { test_to_train } => Err(Error::OutOfRange {
                what: "the ratio of test to training samples",
                value: test_to_train,
                range: "above 0",
            }),
        }
    }

    /// Student's t test of the differences d = a - b, t = mean(d) / sqrt(f var(d)) with n - 1 degrees of freedom:
    /// f = 1/n where they are independent, and f = 1/n + n_test/n_train where training sets overlap, which is the
    /// corrected resampled t test.
    ///
    /// Sources: Student, The probable error of a mean, Biometrika 6 (1908); C. Nadeau, Y. Bengio, Inference for the
    /// generalization error, Machine Learning 52 (2003); for folds that are dealt anew R. R. Bouckaert, E. Frank,
    /// Evaluating the replicability of significance tests for comparing learning algorithms, PAKDD 2004.
    ///
    /// ```
    /// use aim_stats::paired::Repeats;
    /// let (a, b) = ([0.81, 0.79, 0.84, 0.80, 0.83], [0.78, 0.77, 0.80, 0.81, 0.79]);
    /// // Five folds, of which one tests, one validates and three train.
    /// let folds = Repeats::Overlapping { test_to_train: 1.0 / 3.0 };
    /// assert!(Repeats::Independent.t_test(&a, &b)?.p < 0.07 && folds.t_test(&a, &b)?.p > 0.15);
    /// # Ok::<(), aim_stats::Error>(())
    /// ```
    ///
    /// # Errors
    /// If there are fewer than two pairs, or the differences do not vary.
    pub fn t_test(self, a: &[f64], b: &[f64]) -> Result<TTest> {
        let (differences, tolerance) = rounded_differences(a, b)?;
        let (mean_difference, spread) = (mean(&differences)?, std(&differences)?);
        if spread <= tolerance {
            return Err(Error::NoVariation { what: "the t statistic" });
        }
        let t = mean_difference / (spread * self.factor(differences.len())?.sqrt());
        let df = (differences.len() - 1) as f64;
        Ok(TTest { mean_difference, t, df, p: t_two_sided(t, df)? })
    }

    /// The interval of the mean difference that belongs to [`Self::t_test`].
    ///
    /// # Errors
    /// If there are fewer than two pairs.
    pub fn t_interval(self, a: &[f64], b: &[f64], level: f64) -> Result<Interval> {
        self.mean_interval(&rounded_differences(a, b)?.0, level)
    }

    /// The same interval of a mean of values that are no differences.
    ///
    /// # Errors
    /// If there are fewer than two values.
    pub fn mean_interval(self, values: &[f64], level: f64) -> Result<Interval> {
        check::level(level)?;
        let (mean, spread) = (mean(values)?, std(values)?);
        let half = t_quantile(level, (values.len() - 1) as f64)? * spread * self.factor(values.len())?.sqrt();
        Ok(Interval { low: mean - half, high: mean + half, level })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: [f64; 10] = [0.81, 0.79, 0.84, 0.80, 0.83, 0.82, 0.80, 0.85, 0.79, 0.81];
    const B: [f64; 10] = [0.78, 0.77, 0.80, 0.81, 0.79, 0.80, 0.79, 0.80, 0.80, 0.79];

    #[test]
    fn folds_as_by_numpy_and_scipy() {
        // t = mean / sqrt((1/n + r) var), its p from scipy.stats.t.sf, the interval from t.ppf.
        for (test_to_train, t, p, low, high) in [
            (0.25, 1.7530461293723323, 0.11349831414739453, -0.006098716698214483, 0.04809871669821443),
            (1. / 9., 2.257209246285058, 0.050405967686066144, -4.603305916236686e-05, 0.04204603305916231),
        ] {
            let folds = Repeats::Overlapping { test_to_train };
            let (test, interval) = (folds.t_test(&A, &B).unwrap(), folds.t_interval(&A, &B, 0.95).unwrap());
            assert!((test.t - t).abs() < 1e-12 && (test.p - p).abs() < 1e-10 && test.df == 9., "{test:?}");
            assert!((interval.low - low).abs() < 1e-12 && (interval.high - high).abs() < 1e-12, "{interval:?}");
        }
    }

    #[test]
    fn independent_pairs_as_by_scipy_and_by_hand() {
        let test = Repeats::Independent.t_test(&A, &B).unwrap();
        assert!((test.t - 3.2796489996607265).abs() < 1e-12 && (test.p - 0.009534613041301047).abs() < 1e-10);
        // Differences 1, 2, 3: t = 2 / (1 / sqrt 3); with as many test as training samples t = 2 / sqrt(1/3 + 1).
        let (a, b) = ([1., 2., 3.], [0., 0., 0.]);
        assert!((Repeats::Independent.t_test(&a, &b).unwrap().t - 12_f64.sqrt()).abs() < 1e-12);
        let halves = Repeats::Overlapping { test_to_train: 1. };
        assert!((halves.t_test(&a, &b).unwrap().t - 3_f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn what_has_no_t_is_refused() {
        let folds = |test_to_train| Repeats::Overlapping { test_to_train };
        assert!(folds(0.).t_test(&A, &B).is_err() && folds(f64::NAN).t_test(&A, &B).is_err());
        assert!(matches!(folds(0.5).t_test(&A, &A), Err(Error::NoVariation { .. })));
        assert!(folds(0.5).t_test(&[1.], &[0.]).is_err());
    }
}
