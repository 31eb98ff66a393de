//! What the splits are used for.

use std::sync::Arc;

use aim_core::{Error, Result};
use aim_data::{Dataset, First, Joined};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::train::{DropLast, TrainConfig};

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
    /// As the table's recipe was published: what the recipe says under `as-published` is laid over the rest, training
    /// takes what would validate, and the test split chooses.
    #[serde(rename = "as-published")]
    AsPublished,
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
            Self::AsPublished => "as-published",
        }
    }

    /// What a reader of scores must know; nothing for the clean protocol.
    pub fn warning(self) -> Option<&'static str> {
        match self {
            Self::Clean => None,
            Self::BalanceBench => Some(
                "Protocol `balancebench`, NOT clean: the test split stands in for the validation split and so chooses the epoch \
                 whose accuracy on it is reported, and what a search chooses; the last incomplete batch is left out, in every epoch \
                 of training and of the test split, whose remaining samples are never scored; published tables made like this \
                 show one seed. For comparison with such tables only.",
            ),
            Self::AsPublished => Some(
                "Protocol `as-published`, NOT clean: the test split stands in for the validation split and so chooses the epoch \
                 whose accuracy on it is reported, and what a search chooses; what would validate is trained on; where the recipe \
                 leaves out the last incomplete batch of the test split, its samples are never scored. For comparison with \
                 published tables of this recipe only.",
            ),
        }
    }

    /// Whether an epoch of training leaves out its last, incomplete batch.
    pub fn drops_last(self, train: &TrainConfig) -> bool {
        self == Self::BalanceBench || matches!(train.drop_last, DropLast::Train | DropLast::Both)
    }

    /// The data as a run under this protocol sees them.
    ///
    /// # Errors
    /// If a split has no whole batch and whole batches only are used.
    pub fn apply(self, mut data: Dataset, train: &TrainConfig) -> Result<Dataset> {
        if self == Self::AsPublished {
            data.train = Arc::new(Joined::new(data.train, data.validation.clone()));
        }
        let drops_test = self == Self::BalanceBench || matches!(train.drop_last, DropLast::Test | DropLast::Both);
        for (name, split, drops) in
            [("training", &data.train, self.drops_last(train)), ("test", &data.test, drops_test)]
        {
            if drops && split.len() < train.batch {
                let problem =
                    format!("a batch of {} is more than the {} samples of the {name} split", train.batch, split.len());
                return Err(Error::invalid("train.batch", problem, "whole batches only are used here: lower it"));
            }
        }
        if self == Self::Clean {
            return Ok(data);
        }
        if drops_test {
            let whole = data.test.len() / train.batch * train.batch;
            data.test = Arc::new(First::new(data.test, whole));
        }
        data.validation = data.test.clone();
        Ok(data)
    }
}
