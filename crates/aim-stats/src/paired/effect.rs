//! How large and how consistent a difference is.

use super::{differences, rounded_differences};
use crate::summary::{mean, sorted, std};
use crate::{Error, Result, check};

/// Pairs won, tied and lost by the first sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WinTieLoss {
    /// a > b + tolerance.
    pub wins: usize,
    /// |a - b| <= tolerance.
    pub ties: usize,
    /// a < b - tolerance.
    pub losses: usize,
}

/// Counts of a_i above, within `tolerance` of, and below b_i.
pub fn win_tie_loss(a: &[f64], b: &[f64], tolerance: f64) -> Result<WinTieLoss> {
    if !(tolerance >= 0.0 && tolerance.is_finite()) {
        return Err(Error::OutOfRange { what: "the tolerance", value: tolerance, range: "at or above 0" });
    }
    let differences = differences(a, b)?;
    let wins = differences.iter().filter(|&&difference| difference > tolerance).count();
    let losses = differences.iter().filter(|&&difference| difference < -tolerance).count();
    Ok(WinTieLoss { wins, ties: differences.len() - wins - losses, losses })
}

/// Cohen's d_z = mean(a - b) / std(a - b), the paired effect in units of its spread.
///
/// Source: J. Cohen, Statistical Power Analysis for the Behavioral Sciences, 2nd ed. (1988), section 2.3.5.
pub fn cohens_dz(a: &[f64], b: &[f64]) -> Result<f64> {
    let (differences, tolerance) = rounded_differences(a, b)?;
    let spread = std(&differences)?;
    if spread <= tolerance {
        return Err(Error::NoVariation { what: "Cohen's d_z" });
    }
    Ok(mean(&differences)? / spread)
}

/// Cliff's delta, (#{a_i > b_j} - #{a_i < b_j}) / (n_a n_b) over all pairs i, j: from -1 to 1, unpaired.
///
/// Source: N. Cliff, Dominance statistics, Psychol. Bull. 114 (1993).
///
/// ```
/// assert_eq!(aim_stats::paired::cliffs_delta(&[2.0, 3.0], &[1.0, 2.0])?, 0.75);
/// # Ok::<(), aim_stats::Error>(())
/// ```
pub fn cliffs_delta(a: &[f64], b: &[f64]) -> Result<f64> {
    check::sample(a, 1)?;
    check::sample(b, 1)?;
    let b = sorted(b);
    let one = |value: f64| {
        let below = b.partition_point(|&other| other < value);
        let up_to = b.partition_point(|&other| other <= value);
        below as f64 - (b.len() - up_to) as f64
    };
    Ok(a.iter().map(|&value| one(value)).sum::<f64>() / (a.len() * b.len()) as f64)
}
