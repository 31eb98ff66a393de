//! The settings of MSLR and MSES and their cards.

use std::collections::BTreeMap;

use aim_config::{at_least, between, by_type, choice, settings};
use aim_core::{NetSpec, Result, capability};

use super::{Rates, Rule};
use crate::{Built, MethodInfo, MethodSettings, Provenance, Quantity, Requirements, Unimodal, card::known};

const REQUIRES: Requirements =
    Requirements { unimodal: Unimodal::Trained, capabilities: &[capability::DISJOINT_HEADS], ..Requirements::NONE };

/// Card of [`Mslr`].
pub static MSLR: MethodInfo = MethodInfo {
    name: "mslr",
    title: "MSLR",
    idea: "a learning rate for each modality that follows its validation accuracy",
    paper: "Yao & Mihalcea, ACL 2022; as in the AGM repository",
    cost: "1 forward and 1 backward pass; epoch: one evaluation of the validation split",
    departs: &[
        "The rule is read from the AGM repository, because the original was not available.",
        "Accuracy is that of the validation split; the AGM repository watches the test split.",
        "Factors start at 1, so that none is tuned to a data set; the AGM repository has 0.9 for audio and 1.1 for \
        video.",
        "The factor multiplies gradients, as in the source, which under Adam and its kin is no learning rate (`factor: \
        learning_rate` is one).",
    ],
    requires: REQUIRES,
    provenance: Provenance::Faithful,
    reports: &[
        Quantity::modality("ratio", "", "validation accuracy over the mean of those before"),
        Quantity::modality("coef", "", "factor on the gradients or the learning rate"),
    ],
    revision: 1,
};

/// Card of [`Mses`].
pub static MSES: MethodInfo = MethodInfo {
    name: "mses",
    title: "MSES",
    idea: "freeze each modality at its own best epoch",
    paper: "Fujimori et al. 2019; as in the AGM repository",
    cost: "1 forward and 1 backward pass; a copy of the best weights; epoch: one evaluation of the validation split",
    departs: &[
        "The rule is read from the AGM repository, because the original was not available.",
        "Losses are those of the validation split; the AGM repository watches the test split.",
        "The parameters of a frozen modality have no gradient and stand still, its norm layers' running statistics do \
        not; there, decay and momentum move the parameters, too.",
        "Only its own weights go back to the best epoch; there, the whole model and optimizer do.",
        "The run goes on when all modalities are frozen, so that every row has the same epochs; there, it stops.",
    ],
    requires: REQUIRES,
    provenance: Provenance::Faithful,
    reports: &[
        Quantity::modality("ratio", "", "0 where it is frozen, else 1"),
        Quantity::modality("coef", "", "0 where it is frozen, else 1"),
    ],
    revision: 1,
};

choice! {
    /// Quantity that a modality's factor multiplies.
    pub enum Factor {
        /// Its gradients.
        Gradient = "gradient",
        /// Its learning rate.
        LearningRate = "learning_rate",
    }
}

settings! {
    /// Settings of `mslr`.
    pub struct Mslr {
        /// Factor of each modality; 1 where it is not named.
        pub init: BTreeMap<String, f64> = BTreeMap::new() => between(0., 100.).shown("1 each"),
            "ours; third party (AGM repository): audio 0.9, visual 1.1";
        /// Quantity that is multiplied: the gradients | the learning rate of a modality's parameters.
        pub factor: Factor = Factor::Gradient => by_type(), "third party (AGM repository)";
    }
}

impl MethodSettings for Mslr {
    fn info(&self) -> &'static MethodInfo {
        &MSLR
    }
    fn build(&self, net: &NetSpec) -> Result<Built> {
        known("init", self.init.keys(), net)?;
        let init = net.modalities.iter().map(|name| self.init.get(name).copied().unwrap_or(1.)).collect();
        Ok(Built::op(Rates::new(Rule::Mslr { init, factor: self.factor }, net)))
    }
}

settings! {
    /// Settings of `mses`.
    pub struct Mses {
        /// Epochs without a new minimum.
        pub patience: usize = 80 => at_least(0).unit("epochs"), "third party (AGM repository)";
    }
}

impl MethodSettings for Mses {
    fn info(&self) -> &'static MethodInfo {
        &MSES
    }
    fn build(&self, net: &NetSpec) -> Result<Built> {
        Ok(Built::op(Rates::new(Rule::Mses { patience: self.patience }, net)))
    }
}
