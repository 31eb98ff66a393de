//! What follows from the scores of the epochs before.

/// Last value against the mean of the five before; 1 while there are not that many.
pub(super) fn ratio(history: &[f64]) -> f64 {
    match history.split_last() {
        Some((last, before)) if before.len() >= 5 => last / (before[before.len() - 5..].iter().sum::<f64>() / 5.),
        _ => 1.,
    }
}

/// Losses smoothed over two epochs.
fn smoothed(losses: &[f64]) -> Vec<f64> {
    let pairs = losses.windows(2).map(|w| 0.6 * w[0] + 0.4 * w[1]);
    losses.first().copied().into_iter().chain(pairs).collect()
}

/// The epoch of the first minimum up to which `patience` was never exceeded, and whether it was exceeded after it.
pub(super) fn best_epoch(losses: &[f64], patience: usize) -> (usize, bool) {
    let (mut best, mut stopped) = (0, false);
    let smoothed = smoothed(losses);
    for (epoch, loss) in smoothed.iter().enumerate() {
        if !stopped && *loss < smoothed[best] {
            best = epoch;
        }
        stopped |= epoch - best > patience;
    }
    (best, stopped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratio_by_hand() {
        assert_eq!(ratio(&[0.1, 0.2, 0.3, 0.4, 0.5]), 1.);
        assert!((ratio(&[9., 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]) - 0.6 / 0.3).abs() < 1e-12);
    }

    #[test]
    fn stops_by_hand() {
        // Smoothed: 1, 0.8, 0.62, 0.74, 0.9.
        let losses = [1., 0.5, 0.8, 0.65, 1.275];
        assert_eq!(best_epoch(&losses, 1), (2, true));
        assert_eq!(best_epoch(&losses, 2), (2, false));
    }
}
