//! Modalities that samples are made to lack.

use std::sync::Arc;

use aim_core::{Error, Result};
use aim_data::{Dataset, Lack, Source};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Samples without some of their modalities, in training and in further tests. What a sample lacks is drawn once, by
/// its name: the same in every run, row and epoch, and what is missing at one rate is missing at every higher one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Missing {
    /// What a rate counts; published work means either.
    pub counts: Counts,
    /// The rate in the training and validation splits.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1))]
    pub train: f64,
    /// Rates at which the test split is scored once more, beside the whole of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub test: Vec<f64>,
    /// Modalities that may be missing; all, if left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modalities: Option<Vec<String>>,
    /// Seed of the draws.
    #[serde(default)]
    pub seed: u64,
}

/// What a rate of missing modalities counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Counts {
    /// Modalities: each of every sample is missing with that probability, and one stays.
    Modalities,
    /// Samples: that share of them lacks one modality.
    Samples,
}

impl Missing {
    pub(super) fn check(&self) -> Result<()> {
        let rates = std::iter::once(("train".to_owned(), self.train));
        let tests = self.test.iter().enumerate().map(|(i, rate)| (format!("test[{i}]"), *rate));
        for (key, rate) in rates.chain(tests) {
            if !(0. ..=1.).contains(&rate) {
                let place = format!("train.missing.{key}");
                return Err(Error::invalid(place, format!("is {rate}"), "use a rate from 0 to 1"));
            }
        }
        if let Some(i) = (1..self.test.len()).find(|i| self.test[..*i].contains(&self.test[*i])) {
            let problem = format!("is {}, which is there twice", self.test[i]);
            return Err(Error::invalid(format!("train.missing.test[{i}]"), problem, "remove one"));
        }
        if self.train == 0. && self.test.is_empty() {
            let remedy = "give a rate for `train`, rates for `test`, or leave the section out";
            return Err(Error::invalid("train.missing", "says of nothing that it is missing", remedy));
        }
        Ok(())
    }

    /// The set with the training and validation samples as they are then, and the further test splits by rate.
    ///
    /// # Errors
    /// If the set has no modality of a name, or a single one.
    pub(crate) fn apply(&self, data: &Dataset) -> Result<Dataset> {
        let names = self.modalities.iter().flatten();
        if let Some(name) = names.into_iter().find(|name| !data.modalities.contains(name)) {
            let problem = format!("names `{name}`, which data set `{}` has not", data.name);
            return Err(Error::unknown("train.missing.modalities", problem, &data.modalities));
        }
        let mut data = data.clone();
        if self.train > 0. {
            (data.train, data.validation) =
                (self.lacking(&data, &data.train, self.train), self.lacking(&data, &data.validation, self.train));
        }
        Ok(data)
    }

    /// The test split at each further rate.
    pub(crate) fn tests(&self, data: &Dataset) -> Vec<(f64, Arc<dyn Source>)> {
        self.test.iter().map(|rate| (*rate, self.lacking(data, &data.test, *rate))).collect()
    }

    fn lacking(&self, data: &Dataset, split: &Arc<dyn Source>, rate: f64) -> Arc<dyn Source> {
        let lack = match self.counts {
            Counts::Modalities => Lack::Each,
            Counts::Samples => Lack::Samples,
        };
        data.lacking(split, self.modalities.as_deref(), lack, rate, self.seed)
    }
}
