//! Whether confidence means what it says.

use crate::{Result, check};

/// The usual number of bins.
pub const BINS: usize = 15;

/// The expected calibration error: the sum over bins of (n_b / n) |accuracy_b - mean confidence_b|.
///
/// `confidence` is the probability of the predicted class, `correct` whether it was right. Bin b of B holds the
/// confidences in (b/B, (b+1)/B], bin 0 also 0 itself.
/// Source: C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger, On calibration of modern neural networks, ICML 2017.
///
/// ```
/// use aim_stats::calibration::{BINS, expected_calibration_error};
/// // Two predictions at .9 of which one is right: |1/2 - .9|.
/// let error = expected_calibration_error(&[0.9, 0.9], &[true, false], BINS)?;
/// assert!((error - 0.4).abs() < 1e-12);
/// # Ok::<(), aim_stats::Error>(())
/// ```
pub fn expected_calibration_error(confidence: &[f64], correct: &[bool], bins: usize) -> Result<f64> {
    check::lengths(confidence.len(), correct.len())?;
    check::count("bins", bins)?;
    check::sample(confidence, 1)?;
    confidence.iter().try_for_each(|&value| check::probability("a confidence", value))?;
    let mut gaps = vec![0.0; bins];
    for (&confidence, &correct) in confidence.iter().zip(correct) {
        gaps[bin(confidence, bins)] += f64::from(u8::from(correct)) - confidence;
    }
    // n_b |accuracy_b - confidence_b| is the size of the bin's summed difference.
    Ok(gaps.iter().map(|gap: &f64| gap.abs()).sum::<f64>() / confidence.len() as f64)
}

fn bin(confidence: f64, bins: usize) -> usize {
    let upper = (confidence * bins as f64).ceil() as usize;
    upper.saturating_sub(1).min(bins - 1)
}
