//! The exact interval of a share.

use statrs::function::beta;

use super::Interval;
use crate::{Error, Result, check};

/// The interval of C. J. Clopper, E. S. Pearson, Biometrika 26 (1934), for a share of which `found` of `of` were seen:
/// the shares under which neither so few nor so many are rarer than (1 - level) / 2. It never covers less than its
/// level.
///
/// ```
/// let interval = aim_stats::interval::share_interval(20, 400, 0.95)?;
/// assert!((interval.low - 0.03081).abs() < 1e-5 && (interval.high - 0.07617).abs() < 1e-5);
/// # Ok::<(), aim_stats::Error>(())
/// ```
pub fn share_interval(found: usize, of: usize, level: f64) -> Result<Interval> {
    check::level(level)?;
    check::count("of", of)?;
    let (k, n, tail) = (found as f64, of as f64, (1.0 - level) / 2.0);
    check::probability("the share", k / n)?;
    // P(X >= k) under the share p is the regularised incomplete beta I_p(k, n - k + 1).
    let low = if found == 0 { 0.0 } else { quantile(k, n - k + 1.0, tail)? };
    let high = if found == of { 1.0 } else { quantile(k + 1.0, n - k, 1.0 - tail)? };
    Ok(Interval { low, high, level })
}

/// The x with I_x(a, b) = p, by bisection.
fn quantile(a: f64, b: f64, p: f64) -> Result<f64> {
    let (mut low, mut high) = (0.0, 1.0);
    loop {
        let middle = (low + high) / 2.0;
        if middle <= low || middle >= high {
            return Ok(middle);
        }
        let below = beta::checked_beta_reg(a, b, middle).map_err(|_| Error::Undefined { what: "the share" })?;
        if below < p { low = middle } else { high = middle }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_those_of_the_binomial_tails() {
        // From sums of binomial terms, solved for the share by bisection.
        for (found, of, low, high) in [
            (20, 400, 0.030805241143265966, 0.07616697275514239),
            (0, 400, 0.0, 0.009179804583665295),
            (3, 7, 0.09898827844250788, 0.8159484323599171),
            (7, 7, 0.5903836027749965, 1.0),
        ] {
            let interval = share_interval(found, of, 0.95).unwrap();
            assert!(
                (interval.low - low).abs() < 1e-9 && (interval.high - high).abs() < 1e-9,
                "{found}/{of}: {interval:?}"
            );
        }
        assert!(share_interval(2, 1, 0.95).is_err() && share_interval(0, 0, 0.95).is_err());
    }
}
