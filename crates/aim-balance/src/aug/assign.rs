//! Which modality gets a classifier.

use super::{Aug, Rule};

/// The modality that gets one, by the scores of all: the first of the weakest, if it is behind; `None` if nobody is.
pub fn behind(scores: &[f64], settings: &Aug) -> Option<usize> {
    let Aug { rule, sigma, tau, .. } = *settings;
    let weakest = (0..scores.len()).reduce(|low, m| if scores[m] < scores[low] { m } else { low })?;
    let strongest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    match (rule, scores) {
        (Rule::Difference, _) => (strongest - sigma * scores[weakest] > tau).then_some(weakest),
        (Rule::Ratio, [first, second]) => {
            let ratio = first / second;
            if ratio > sigma + tau { Some(1) } else { (ratio < sigma - tau).then_some(0) }
        }
        (Rule::Ratio, _) => (strongest / scores[weakest] > sigma + tau).then_some(weakest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classifiers_are_assigned_by_hand() {
        let of = |rule, sigma, scores: &[f64]| behind(scores, &Aug { rule, sigma, tau: 0.1, ..Aug::default() });
        assert_eq!(of(Rule::Difference, 1., &[0.5, 0.3]), Some(1));
        assert_eq!(of(Rule::Difference, 1., &[0.5, 0.55]), None);
        assert_eq!(of(Rule::Difference, 1., &[0.3, 0.6, 0.3]), Some(0), "the first of equals");
        assert_eq!(of(Rule::Difference, 2., &[0.5, 0.25]), None);
        // 0.5 / 0.4 = 1.25; 0.4 / 0.45 = 0.89 lies below 0.9, 0.4 / 0.44 = 0.91 does not.
        assert_eq!(of(Rule::Ratio, 1., &[0.5, 0.4]), Some(1));
        assert_eq!(of(Rule::Ratio, 1., &[0.4, 0.45]), Some(0));
        assert_eq!(of(Rule::Ratio, 1., &[0.4, 0.44]), None);
        assert_eq!(of(Rule::Ratio, 1., &[0.4, 0.5, 0.3]), Some(2));
        assert_eq!(of(Rule::Ratio, 1., &[0., 0.]), None);
    }
}
