//! Wilcoxon's signed-rank test.

use super::rounded_differences;
use crate::Result;
use crate::distribution::normal_cdf;

/// Up to so many non-zero differences the exact distribution is used.
const EXACT_UP_TO: usize = 50;

/// Outcome of [`wilcoxon`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Wilcoxon {
    /// Sum of the ranks of the positive differences.
    pub plus: f64,
    /// Sum of the ranks of the negative differences.
    pub minus: f64,
    /// The number of differences that are not 0.
    pub n: usize,
    /// Two-sided p-value.
    pub p: f64,
    /// Whether p comes from the exact distribution.
    pub exact: bool,
}

/// The signed-rank test: the differences a - b are ranked by size, and the ranks of the positive ones summed.
///
/// Differences of 0 are left out (if none remains, p = 1) and ties share their mean rank. Up to 50 differences p is
/// exact, given the ties: twice the smaller tail over all 2^n signs. Beyond that it is the normal approximation with
/// variance (n(n+1)(2n+1) - sum(t^3 - t)/2) / 24 for ties of size t and no continuity correction.
/// Source: F. Wilcoxon, Individual comparisons by ranking methods, Biometrics Bulletin 1 (1945).
pub fn wilcoxon(a: &[f64], b: &[f64]) -> Result<Wilcoxon> {
    let (mut differences, tolerance) = rounded_differences(a, b)?;
    differences.retain(|&difference| difference != 0.0);
    differences.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
    let groups = ties(&differences, tolerance);
    let ranks = doubled_ranks(&groups);
    let total: usize = ranks.iter().sum();
    let plus: usize = ranks.iter().zip(&differences).filter(|(_, difference)| **difference > 0.0).map(|(r, _)| r).sum();
    let n = differences.len();
    let exact = n <= EXACT_UP_TO;
    let smaller = plus.min(total - plus);
    let p = if exact { exact_p(&ranks, smaller) } else { approximate_p(smaller, total, &groups) };
    Ok(Wilcoxon { plus: plus as f64 / 2.0, minus: (total - plus) as f64 / 2.0, n, p, exact })
}

/// Sizes of the groups of equal magnitudes, in ascending order of magnitude.
fn ties(sorted: &[f64], tolerance: f64) -> Vec<usize> {
    sorted.chunk_by(|a, b| b.abs() - a.abs() <= tolerance).map(<[f64]>::len).collect()
}

/// Twice the mean rank of every value, a whole number: ranks r+1 ..= r+t share (2r + t + 1) / 2.
fn doubled_ranks(groups: &[usize]) -> Vec<usize> {
    let mut ranks = Vec::new();
    for &size in groups {
        ranks.extend(std::iter::repeat_n(2 * ranks.len() + size + 1, size));
    }
    ranks
}

/// The distribution of the rank sum grows by one rank at a time, each added with probability 1/2.
fn exact_p(ranks: &[usize], smaller: usize) -> f64 {
    let mut probability = vec![0.0; ranks.iter().sum::<usize>() + 1];
    probability[0] = 1.0;
    for &rank in ranks {
        for sum in (0..probability.len()).rev() {
            let with = if sum >= rank { probability[sum - rank] } else { 0.0 };
            probability[sum] = (probability[sum] + with) / 2.0;
        }
    }
    (2.0 * probability[..=smaller].iter().sum::<f64>()).min(1.0)
}

fn approximate_p(smaller: usize, total: usize, groups: &[usize]) -> f64 {
    let n: f64 = groups.iter().map(|&size| size as f64).sum();
    let ties: f64 = groups.iter().map(|&size| (size as f64).powi(3) - size as f64).sum();
    let variance = (n * (n + 1.0) * (2.0 * n + 1.0) - ties / 2.0) / 24.0;
    let z = (smaller as f64 - total as f64 / 2.0) / 2.0 / variance.sqrt();
    (2.0 * normal_cdf(z)).min(1.0)
}
