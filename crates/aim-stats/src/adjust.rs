//! Corrections for many tests. The family is the list given: the rows of one table.

use crate::{Result, check};

/// Holm's step-down adjustment, which bounds the chance of any false positive in the family.
///
/// With p_(1) <= ... <= p_(m): adjusted p_(i) = max over j <= i of min(1, (m - j + 1) p_(j)). Results stand in the
/// order of the input. Source: S. Holm, A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6
/// (1979).
///
/// ```
/// let adjusted = aim_stats::adjust::holm(&[0.01, 0.04, 0.03])?;
/// assert_eq!(adjusted, [0.03, 0.06, 0.06]);
/// # Ok::<(), aim_stats::Error>(())
/// ```
pub fn holm(p: &[f64]) -> Result<Vec<f64>> {
    let order = ascending(p)?;
    let mut adjusted = vec![0.0; p.len()];
    let mut largest = 0.0_f64;
    for (place, &index) in order.iter().enumerate() {
        largest = largest.max((p.len() - place) as f64 * p[index]).min(1.0);
        adjusted[index] = largest;
    }
    Ok(adjusted)
}

/// Benjamini and Hochberg's step-up adjustment, which bounds the expected share of false positives among the positives
/// of independent (or positively dependent) tests.
///
/// Adjusted p_(i) = min over j >= i of min(1, m p_(j) / j). Results stand in the order of the input.
/// Source: Y. Benjamini, Y. Hochberg, Controlling the false discovery rate, J. R. Statist. Soc. B 57 (1995).
pub fn benjamini_hochberg(p: &[f64]) -> Result<Vec<f64>> {
    let order = ascending(p)?;
    let mut adjusted = vec![0.0; p.len()];
    let mut smallest = 1.0_f64;
    for (place, &index) in order.iter().enumerate().rev() {
        smallest = smallest.min(p.len() as f64 / (place + 1) as f64 * p[index]);
        adjusted[index] = smallest;
    }
    Ok(adjusted)
}

fn ascending(p: &[f64]) -> Result<Vec<usize>> {
    check::sample(p, 1)?;
    p.iter().try_for_each(|&value| check::probability("a p-value", value))?;
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|&i, &j| p[i].total_cmp(&p[j]));
    Ok(order)
}
