//! A metric: how well the class is found that is found worst.

use aim_core::Result;
use aim_train::metrics::{Evaluation, Metric};

/// Smallest share of a class that is found.
pub const LEAST_RECALL: Metric = Metric {
    name: "least_recall",
    column: Some("least recall"),
    about: "smallest recall of a class that occurs, 0 to 1",
    range: (0., 1.),
    of: least_recall,
};

fn least_recall(answers: &Evaluation, classes: usize) -> Result<f64> {
    let confusion = answers.confusion(classes)?;
    let mut samples = vec![0; classes];
    confusion.pairs().for_each(|((truth, _), count)| samples[truth] += count);
    let occurring = (0..classes).filter(|class| samples[*class] > 0);
    let recalls = occurring.map(|class| confusion.count(class, class) as f64 / samples[class] as f64);
    Ok(recalls.fold(1., f64::min))
}
