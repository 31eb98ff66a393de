//! What the splits are used for.

use std::sync::Arc;

use aim_core::{Error, Result};
use aim_data::{Dataset, First};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the splits are used for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// Everything is chosen on the validation split; the whole test split is scored once.
    #[default]
    Clean,
    /// As BalanceBenchmark's code does, for comparison with published numbers: the last incomplete batch is left out in
    /// training and in scoring, and the test split chooses the epoch.
    BalanceBench,
}

impl Protocol {
    /// Whether it is the default, which configurations do not mention.
    pub fn is_clean(&self) -> bool {
        *self == Self::Clean
    }

    /// The protocol's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::BalanceBench => "balancebench",
        }
    }

    /// What a reader of scores must know; nothing for the clean protocol.
    pub fn warning(self) -> Option<&'static str> {
        (self == Self::BalanceBench).then_some(
            "Protocol `balancebench`, NOT clean: the test split stands in for the validation split and so chooses the epoch \
             whose accuracy on it is reported, and what a search chooses; the last incomplete batch is left out, in every epoch \
             of training and of the test split, whose remaining samples are never scored; published tables made like this \
             show one seed. For comparison with such tables only.",
        )
    }

    /// Whether an epoch of training leaves out its last, incomplete batch.
    pub fn drops_last(self) -> bool {
        self == Self::BalanceBench
    }

    /// The data as a run under this protocol sees them.
    ///
    /// # Errors
    /// If a split has no whole batch and the protocol uses whole batches only.
    pub fn apply(self, mut data: Dataset, batch: usize) -> Result<Dataset> {
        if self == Self::Clean {
            return Ok(data);
        }
        for (name, split) in [("training", &data.train), ("test", &data.test)] {
            if split.len() < batch {
                let problem =
                    format!("a batch of {batch} is more than the {} samples of the {name} split", split.len());
                return Err(Error::invalid("train.batch", problem, "this protocol uses whole batches only: lower it"));
            }
        }
        let whole = data.test.len() / batch * batch;
        data.test = Arc::new(First::new(data.test, whole));
        data.validation = data.test.clone();
        Ok(data)
    }
}
