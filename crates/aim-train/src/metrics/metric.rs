//! Metrics by name: what every split is scored by.

use aim_config::{Named, Registry};
use aim_core::Result;
use aim_stats::calibration;

use super::{Evaluation, statistics};

/// A number that sums up the answers on a split.
#[derive(Clone, Copy)]
pub struct Metric {
    /// Name in results, and its key in every export.
    pub name: &'static str,
    /// Heading of its column in the comparison of a table; `None` keeps it to the records.
    pub column: Option<&'static str>,
    /// Definition, with the range.
    pub about: &'static str,
    /// The smallest and the largest value that there can be, which no interval passes.
    pub range: (f64, f64),
    /// The metric of answers to samples of so many classes.
    pub of: fn(&Evaluation, usize) -> Result<f64>,
}

impl Named for Metric {
    fn name(&self) -> &str {
        self.name
    }
}

impl std::fmt::Debug for Metric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metric").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Metrics by name.
pub type Metrics = Registry<Metric>;

/// Name of the metric that everything is chosen by, unless a row's `train.select` says otherwise.
pub const ACCURACY: &str = "accuracy";
/// Name of the mean F1 over classes.
pub const MACRO_F1: &str = "macro_f1";
/// Name of the mean share of right predictions over classes.
pub const BALANCED_ACCURACY: &str = "balanced_accuracy";
/// Name of the loss.
pub const LOSS: &str = "loss";

/// The metrics of this workspace.
pub fn builtin() -> Metrics {
    let mut metrics = Metrics::new("metric", "metrics");
    // Names differ, as a test makes sure.
    for metric in [CROSS_ENTROPY, SHARE_RIGHT, MEAN_RECALL, MEAN_F1, CALIBRATION_ERROR] {
        drop(metrics.add(metric));
    }
    metrics
}

const CROSS_ENTROPY: Metric = Metric {
    name: LOSS,
    column: None,
    about: "mean cross-entropy of the fused logits, in nats",
    range: (0., f64::INFINITY),
    of: |answers, _| Ok(answers.mean_loss()),
};

const SHARE_RIGHT: Metric = Metric {
    name: ACCURACY,
    // It has columns of its own, with intervals and tests.
    column: None,
    about: "share of samples whose fused prediction is right, 0 to 1",
    range: (0., 1.),
    of: |answers, classes| Ok(answers.confusion(classes)?.accuracy()),
};

const MEAN_RECALL: Metric = Metric {
    name: BALANCED_ACCURACY,
    column: Some("balanced"),
    about: "mean over the classes that occur of the share of their samples that is predicted right, 0 to 1",
    range: (0., 1.),
    of: |answers, classes| Ok(answers.confusion(classes)?.balanced_accuracy()),
};

const MEAN_F1: Metric = Metric {
    name: MACRO_F1,
    column: Some("macro-F1"),
    about: "mean F1 over the classes that occur, 0 to 1",
    range: (0., 1.),
    of: |answers, classes| Ok(answers.confusion(classes)?.macro_f1()),
};

const CALIBRATION_ERROR: Metric = Metric {
    name: "calibration_error",
    column: None,
    about: "expected calibration error of the fused prediction, 0 to 1",
    range: (0., 1.),
    of: |answers, _| {
        let confidence: Vec<f64> = answers.confidence.iter().map(|c| c.min(1.)).collect();
        calibration::expected_calibration_error(&confidence, &answers.correct(), calibration::BINS).map_err(statistics)
    },
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_differ() {
        assert_eq!(builtin().iter().count(), 5);
    }
}
