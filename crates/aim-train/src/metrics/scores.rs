//! The numbers of a run, as they are stored.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::metric::{ACCURACY, LOSS};

/// How a modality is taken away for the Shapley values.
pub const REMOVAL: &str = "its feature set to zero";
/// The same where encoders see each other.
pub const REMOVAL_INSIDE: &str = "its feature set to zero, and the other encoders seeing nothing of it";

/// Key of the accuracies by modality, beside the metrics.
pub(super) const MODALITY: &str = "modality";

/// Scores on one split.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Each metric by name; a run of an older program lacks the newer ones.
    #[serde(flatten)]
    pub values: BTreeMap<String, f64>,
    /// Accuracy of each modality's own logits, by name; empty where the network has none.
    pub modality: BTreeMap<String, f64>,
}

impl Scores {
    /// A metric, if the run has it.
    pub fn get(&self, metric: &str) -> Option<f64> {
        self.values.get(metric).copied()
    }

    /// Share of samples whose fused prediction is right, 0 to 1.
    pub fn accuracy(&self) -> f64 {
        self.get(ACCURACY).unwrap_or(f64::NAN)
    }

    /// Mean cross-entropy of the fused logits, in nats.
    pub fn loss(&self) -> f64 {
        self.get(LOSS).unwrap_or(f64::NAN)
    }
}

/// Test accuracy of logistic regressions on frozen features.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Probes {
    /// On each encoder's features, by name of the modality.
    pub modality: BTreeMap<String, f64>,
    /// On all encoders' features together.
    pub all: f64,
}

/// What each modality contributes to the fused accuracy on the test split.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Contributions {
    /// How a modality is taken away.
    pub removal: String,
    /// Shapley value of each modality; they sum to the accuracy with all minus the accuracy with none.
    pub shapley: BTreeMap<String, f64>,
    /// Share of each in the sum, negative where a modality harms.
    pub share: BTreeMap<String, f64>,
    /// Distance of the shares from balance, `sum_m |1/M - share_m|`; 0 is balance.
    pub edm: f64,
}
