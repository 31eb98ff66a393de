//! Confidence intervals: Student's t for means, the bootstrap for any statistic.

mod binomial;
mod bootstrap;

pub use binomial::share_interval;
pub use bootstrap::{Resampling, bca_of, bootstrap_bca, bootstrap_percentile};
pub(crate) use bootstrap::{percentile_of, replicates};

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
