//! Comparisons of two methods under the same conditions: over seeds (sign flips, t, Wilcoxon), over folds (corrected
//! t), over seeds of several sets (stratified sign flips), over test samples (McNemar, bootstrap), and how large the
//! difference is.
//!
//! All tests are two-sided.

mod corrected;
mod effect;
mod mcnemar;
mod samples;
pub(crate) mod sign_flip;
mod stratified;
mod t_test;
mod wilcoxon;

pub use corrected::Repeats;
pub use effect::{WinTieLoss, cliffs_delta, cohens_dz, win_tie_loss};
pub use mcnemar::{McNemar, mcnemar};
pub use samples::{PairedBootstrap, paired_bootstrap};
pub use sign_flip::{SignFlip, sign_flip};
pub use stratified::stratified_sign_flip;
pub use t_test::{TTest, t_test};
pub use wilcoxon::{Wilcoxon, wilcoxon};

use crate::{Result, check};

/// a_i - b_i of two samples of equal length.
pub fn differences(a: &[f64], b: &[f64]) -> Result<Vec<f64>> {
    check::lengths(a.len(), b.len())?;
    check::sample(a, 1)?;
    check::sample(b, 1)?;
    a.iter().zip(b).map(|(a, b)| check::result("the difference", a - b)).collect()
}

/// The differences with those that are only rounding set to 0.
///
/// Accuracies are counts over n: 0.8 - 0.7 and 0.7 - 0.6 are the same difference although their last bits are not.
/// What lies within the returned tolerance, 1e-12 of the largest value, counts as equal.
fn rounded_differences(a: &[f64], b: &[f64]) -> Result<(Vec<f64>, f64)> {
    let differences = differences(a, b)?;
    let largest = a.iter().chain(b).fold(0.0_f64, |largest, value| largest.max(value.abs()));
    let tolerance = 1e-12 * largest;
    let round = |difference: f64| if difference.abs() <= tolerance { 0.0 } else { difference };
    Ok((differences.into_iter().map(round).collect(), tolerance))
}
