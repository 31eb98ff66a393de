//! McNemar's test.

use crate::distribution::fair_coins;
use crate::{Result, check};

/// Outcome of [`mcnemar`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct McNemar {
    /// Samples that only the first method has right.
    pub only_a: u64,
    /// Samples that only the second method has right.
    pub only_b: u64,
    /// Exact two-sided p-value.
    pub p: f64,
    /// Two-sided mid-p value: less conservative, still close to its level.
    pub mid_p: f64,
}

/// McNemar's test over the samples of one test set: are the samples on which the methods disagree split evenly?
///
/// With m = min(only_a, only_b) and X the heads of only_a + only_b fair coins, p = min(1, 2 P(X <= m)) and
/// mid-p = 2 P(X < m) + P(X = m). Always the exact binomial, never the chi-squared approximation.
/// Sources: Q. McNemar, Psychometrika 12 (1947); M. W. Fagerland, S. Lydersen, P. Laake, The McNemar test for binary
/// matched-pairs data: mid-p and asymptotic are better than exact conditional, BMC Med. Res. Methodol. 13 (2013).
///
/// It compares two trained networks, not two methods: training again with other seeds is not part of it.
pub fn mcnemar(correct_a: &[bool], correct_b: &[bool]) -> Result<McNemar> {
    check::lengths(correct_a.len(), correct_b.len())?;
    let only = |a, b| correct_a.iter().zip(correct_b).filter(|pair| *pair == (&a, &b)).count() as u64;
    let (only_a, only_b) = (only(true, false), only(false, true));
    let (point, tail) = fair_coins(only_a.min(only_b), only_a + only_b)?;
    Ok(McNemar { only_a, only_b, p: (2.0 * tail).min(1.0), mid_p: (2.0 * tail - point).min(1.0) })
}
