//! Confidence intervals: Student's t for means, the bootstrap for any statistic.

mod binomial;
mod bootstrap;
mod ratio;

pub use binomial::share_interval;
pub use bootstrap::{Resampling, bca_of, bootstrap_bca, bootstrap_percentile};
pub(crate) use bootstrap::{percentile_of, replicates};
pub use ratio::ratio_interval;

use crate::distribution::t_quantile;
use crate::summary::{mean, std};
use crate::{Result, check};

/// A confidence interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// The confidence level, for example 0.95.
    pub level: f64,
}

impl Interval {
    /// The part of it that lies from `low` to `high`, for a quantity that cannot be elsewhere: a true value in that
    /// range is in the part exactly when it is in the whole, so that the level stays what it was.
    ///
    /// ```
    /// let interval = aim_stats::interval::t_interval(&[0.97, 0.99, 1.0], 0.95)?;
    /// assert!(interval.high > 1.0 && interval.within(0.0, 1.0).high == 1.0);
    /// # Ok::<(), aim_stats::Error>(())
    /// ```
    #[must_use]
    pub fn within(self, low: f64, high: f64) -> Self {
        Self { low: self.low.max(low).min(high), high: self.high.min(high).max(low), level: self.level }
    }
}

/// Student's interval of a mean: mean -+ t * std / sqrt(n), with t the quantile for n - 1 degrees of freedom.
///
/// The interval of a paired difference is that of [`crate::paired::differences`].
///
/// ```
/// let interval = aim_stats::interval::t_interval(&[0.70, 0.72, 0.74], 0.95)?;
/// assert!((interval.low - 0.6703).abs() < 1e-4 && (interval.high - 0.7697).abs() < 1e-4);
/// # Ok::<(), aim_stats::Error>(())
/// ```
pub fn t_interval(values: &[f64], level: f64) -> Result<Interval> {
    check::level(level)?;
    let (mean, std) = (mean(values)?, std(values)?);
    let n = values.len() as f64;
    let half = t_quantile(level, n - 1.0)? * std / n.sqrt();
    Ok(Interval { low: mean - half, high: mean + half, level })
}
