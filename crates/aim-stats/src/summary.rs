//! Mean, standard deviation and median.

use crate::{Result, check};

/// How a sample of runs is summarised.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    /// The number of values.
    pub n: usize,
    /// The arithmetic mean.
    pub mean: f64,
    /// The standard deviation with n - 1; `None` for a single value, whose spread is unknown rather than 0.
    pub std: Option<f64>,
}

impl Summary {
    /// The summary of a sample that holds at least one value.
    ///
    /// ```
    /// use aim_stats::summary::Summary;
    /// let one = Summary::of(&[0.7])?;
    /// assert_eq!((one.n, one.mean, one.std), (1, 0.7, None));
    /// # Ok::<(), aim_stats::Error>(())
    /// ```
    pub fn of(values: &[f64]) -> Result<Self> {
        let mean = mean(values)?;
        let std = if values.len() > 1 { Some(std(values)?) } else { None };
        Ok(Self { n: values.len(), mean, std })
    }
}

/// The arithmetic mean, sum(x) / n.
pub fn mean(values: &[f64]) -> Result<f64> {
    check::sample(values, 1)?;
    let n = values.len() as f64;
    let first = values.iter().sum::<f64>() / n;
    // The second pass removes the rounding of the first: the mean of equal values is that value, so their spread is 0.
    let rest = values.iter().map(|value| value - first).sum::<f64>() / n;
    check::result("the mean", first + rest)
}

/// The standard deviation sqrt(sum((x - mean)^2) / (n - 1)).
pub fn std(values: &[f64]) -> Result<f64> {
    check::sample(values, 2)?;
    let mean = mean(values)?;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    check::result("the standard deviation", (squares / (values.len() - 1) as f64).sqrt())
}

/// The middle value, or the mean of the two middle ones.
pub fn median(values: &[f64]) -> Result<f64> {
    check::sample(values, 1)?;
    Ok(quantile_of_sorted(&sorted(values), 0.5))
}

pub(crate) fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}

/// The quantile of sorted values with linear interpolation (definition 7 of Hyndman & Fan 1996, numpy's default).
pub(crate) fn quantile_of_sorted(sorted: &[f64], probability: f64) -> f64 {
    let last = sorted.len() - 1;
    let place = probability.clamp(0.0, 1.0) * last as f64;
    let below = (place.floor() as usize).min(last);
    let above = (below + 1).min(last);
    let weight = place - below as f64;
    sorted[below] * (1.0 - weight) + sorted[above] * weight
}
