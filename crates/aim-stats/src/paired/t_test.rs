//! The paired t test.

use super::rounded_differences;
use crate::distribution::t_two_sided;
use crate::summary::{mean, std};
use crate::{Error, Result};

/// Outcome of [`t_test`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TTest {
    /// mean(a - b).
    pub mean_difference: f64,
    /// The statistic.
    pub t: f64,
    /// Degrees of freedom, n - 1.
    pub df: f64,
    /// Two-sided p-value.
    pub p: f64,
}

/// Student's t test of the differences d = a - b: t = mean(d) / (std(d) / sqrt(n)) with n - 1 degrees of freedom.
///
/// Equal differences are refused: their spread, and with it t, is undefined.
/// Source: Student, The probable error of a mean, Biometrika 6 (1908).
pub fn t_test(a: &[f64], b: &[f64]) -> Result<TTest> {
    let (differences, tolerance) = rounded_differences(a, b)?;
    let (mean_difference, spread) = (mean(&differences)?, std(&differences)?);
    if spread <= tolerance {
        return Err(Error::NoVariation { what: "the t statistic" });
    }
    let n = differences.len() as f64;
    let t = mean_difference / (spread / n.sqrt());
    Ok(TTest { mean_difference, t, df: n - 1.0, p: t_two_sided(t, n - 1.0)? })
}
