//! Accuracy, macro-F1 and confusion counts.

use std::collections::BTreeMap;

use crate::{Error, Result, check};

/// The share of predictions that equal the truth.
pub fn accuracy(truth: &[usize], predicted: &[usize]) -> Result<f64> {
    check::lengths(truth.len(), predicted.len())?;
    let correct = truth.iter().zip(predicted).filter(|(truth, predicted)| truth == predicted).count();
    Ok(correct as f64 / truth.len() as f64)
}

/// How often each class was taken for each other. Only pairs that occur take memory, so that thousands of classes are
/// no more than their samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Confusion {
    classes: usize,
    counts: BTreeMap<(usize, usize), u64>,
    /// Samples of each class, and predictions of it.
    totals: Vec<(u64, u64)>,
}

impl Confusion {
    /// Counts the pairs of true and predicted labels, all below `classes`.
    ///
    /// ```
    /// let confusion = aim_stats::classification::Confusion::of(&[0, 0, 1], &[0, 1, 1], 2)?;
    /// assert_eq!((confusion.count(0, 1), confusion.count(1, 0)), (1, 0));
    /// # Ok::<(), aim_stats::Error>(())
    /// ```
    pub fn of(truth: &[usize], predicted: &[usize], classes: usize) -> Result<Self> {
        check::lengths(truth.len(), predicted.len())?;
        labels(truth, classes)?;
        labels(predicted, classes)?;
        let mut counts = BTreeMap::new();
        let mut totals = vec![(0, 0); classes];
        for (truth, predicted) in truth.iter().copied().zip(predicted.iter().copied()) {
            *counts.entry((truth, predicted)).or_insert(0) += 1;
            totals[truth].0 += 1;
            totals[predicted].1 += 1;
        }
        Ok(Self { classes, counts, totals })
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The number of samples of class `truth` taken for class `predicted`; 0 for classes that do not exist.
    pub fn count(&self, truth: usize, predicted: usize) -> u64 {
        self.counts.get(&(truth, predicted)).copied().unwrap_or(0)
    }

    /// The pairs of a true and a predicted class that occur, in order, with their counts.
    pub fn pairs(&self) -> impl Iterator<Item = ((usize, usize), u64)> {
        self.counts.iter().map(|(pair, count)| (*pair, *count))
    }

    /// F1 = 2 TP / (2 TP + FP + FN) of a class; `None` where it is neither in the truth nor predicted.
    pub fn f1(&self, class: usize) -> Option<f64> {
        let total = self.totals.get(class).map_or(0, |(truth, predicted)| truth + predicted);
        (total > 0).then(|| 2.0 * self.count(class, class) as f64 / total as f64)
    }

    /// The mean F1 of the classes that are in the truth or predicted.
    ///
    /// This is scikit-learn's `f1_score(truth, predicted, average="macro", zero_division=0)`: a class found in neither
    /// is left out, so that a test split without some class is not punished for it; a class that is only predicted, or
    /// never found, counts with 0.
    pub fn macro_f1(&self) -> f64 {
        let present: Vec<f64> = (0..self.classes).filter_map(|class| self.f1(class)).collect();
        present.iter().sum::<f64>() / present.len() as f64
    }

    /// The mean over the classes in the truth of the share of their samples that is predicted right.
    ///
    /// This is scikit-learn's `balanced_accuracy_score(truth, predicted)`. Whoever predicts one class only scores one
    /// over the number of classes, however frequent it is.
    pub fn balanced_accuracy(&self) -> f64 {
        let totals = self.totals.iter().map(|(truth, _)| *truth).enumerate().filter(|(_, total)| *total > 0);
        let recalls: Vec<f64> = totals.map(|(c, total)| self.count(c, c) as f64 / total as f64).collect();
        recalls.iter().sum::<f64>() / recalls.len() as f64
    }

    /// The share of samples on the diagonal.
    pub fn accuracy(&self) -> f64 {
        let correct: u64 = (0..self.classes).map(|class| self.count(class, class)).sum();
        correct as f64 / self.counts.values().sum::<u64>() as f64
    }
}

/// [`Confusion::macro_f1`] of labels below `classes`.
pub fn macro_f1(truth: &[usize], predicted: &[usize], classes: usize) -> Result<f64> {
    Ok(Confusion::of(truth, predicted, classes)?.macro_f1())
}

fn labels(labels: &[usize], classes: usize) -> Result<()> {
    match labels.iter().position(|&label| label >= classes) {
        Some(index) => Err(Error::Label { index, label: labels[index], classes }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::Confusion;

    #[test]
    fn balanced_accuracy_by_hand() {
        // Of class 0 one in four is right, of class 1 one in two; class 2 is predicted once but never true.
        let confusion = Confusion::of(&[0, 0, 0, 0, 1, 1], &[0, 1, 1, 2, 1, 0], 3).unwrap();
        assert!((confusion.balanced_accuracy() - (0.25 + 0.5) / 2.).abs() < 1e-12);
        let always = Confusion::of(&[0, 0, 0, 0, 1, 2], &[0; 6], 3).unwrap();
        assert!((always.balanced_accuracy() - 1. / 3.).abs() < 1e-12);
    }

    #[test]
    fn pairs_and_totals_by_hand() {
        let confusion = Confusion::of(&[0, 0, 0, 1], &[0, 1, 1, 1], 3).unwrap();
        assert_eq!(confusion.pairs().collect::<Vec<_>>(), [((0, 0), 1), ((0, 1), 2), ((1, 1), 1)]);
        assert_eq!((confusion.count(0, 1), confusion.count(1, 0), confusion.count(7, 9)), (2, 0, 0));
        assert_eq!((confusion.f1(0), confusion.f1(1), confusion.f1(2)), (Some(0.5), Some(0.5), None));
    }

    #[test]
    fn nothing_grows_with_the_square_of_the_classes() {
        // As a square of counts this would be 2^43 bytes.
        let confusion = Confusion::of(&[0, 5, 1 << 20], &[0, 6, 1 << 20], (1 << 20) + 1).unwrap();
        assert_eq!((confusion.accuracy(), confusion.balanced_accuracy()), (2. / 3., 2. / 3.));
        assert_eq!(confusion.macro_f1(), 0.5);
    }
}
