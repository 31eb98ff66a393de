//! Tails and quantiles of the distributions the tests need.
//!
//! The special functions (incomplete beta, error function, log gamma) come from `statrs`: maintained, tested against
//! tables of reference values, and without its default features only two small dependencies. Its quantile of the t
//! distribution is not used: it loses digits as the degrees of freedom grow (3e-6 relative at 1e5, 7 % at 1e7 against
//! scipy), while its distribution function keeps them, so the quantile is found here by bisection.

use crate::{Error, Result, check};
use statrs::function::{beta, erf, gamma};
use std::f64::consts::{LN_2, SQRT_2};

/// P(|T| >= |t|) for Student's t: the regularised incomplete beta I_x(df/2, 1/2) at x = df / (df + t^2).
pub(crate) fn t_two_sided(t: f64, df: f64) -> Result<f64> {
    beta::checked_beta_reg(df / 2.0, 0.5, df / (df + t * t)).map_err(|_| Error::Undefined { what: "Student's t" })
}

/// The t with P(|T| <= t) = `level`.
pub(crate) fn t_quantile(level: f64, df: f64) -> Result<f64> {
    let beyond = |t| Ok::<bool, Error>(t_two_sided(t, df)? < 1.0 - level);
    let mut high = 1.0;
    while !beyond(high)? {
        high *= 2.0;
    }
    let mut low = 0.0;
    loop {
        let middle = (low + high) / 2.0;
        if middle <= low || middle >= high {
            return Ok(middle);
        }
        if beyond(middle)? { high = middle } else { low = middle }
    }
}

/// P(Z <= z) for the standard normal.
pub(crate) fn normal_cdf(z: f64) -> f64 {
    0.5 * erf::erfc(-z / SQRT_2)
}

/// The z with P(Z <= z) = p; infinite at 0 and 1.
pub(crate) fn normal_quantile(p: f64) -> f64 {
    -SQRT_2 * erf::erfc_inv(2.0 * p)
}

/// P(X = k) and P(X <= k) for X of n fair coins, k <= n/2.
///
/// The sum runs down from the largest term by the ratio k/(n-k+1); `statrs` stops its continued fraction after 140
/// terms, which is too early for large n.
pub(crate) fn fair_coins(k: u64, n: u64) -> Result<(f64, f64)> {
    let log_factorial = |i: u64| gamma::ln_gamma(i as f64 + 1.0);
    let log_point = log_factorial(n) - log_factorial(k) - log_factorial(n - k) - n as f64 * LN_2;
    let point = log_point.exp();
    let (mut term, mut tail) = (point, point);
    for i in (1..=k).rev() {
        term *= i as f64 / (n - i + 1) as f64;
        tail += term;
        if term <= tail * f64::EPSILON / 4.0 {
            break;
        }
    }
    Ok((check::result("the binomial tail", point)?, tail.min(1.0)))
}
