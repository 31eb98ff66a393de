//! The paired t test.

use super::Repeats;
use crate::Result;

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
    Repeats::Independent.t_test(a, b)
}
