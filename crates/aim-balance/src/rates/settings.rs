//! The settings of MSLR and MSES and their cards.

use std::collections::BTreeMap;

use aim_core::{NetSpec, Result};
use serde::{Deserialize, Serialize};

use super::{Rates, Rule};
use crate::card::{About, Needs, Setting, Settings, known, within};
use crate::stack::Built;

const NEEDS: Needs = Needs { unimodal: true, disjoint_heads: true, ..Needs::NONE };

/// Card of [`Mslr`].
pub static MSLR: About = About {
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
    settings: &[
        Setting::new(
            "init",
            "1 each",
            "0 to 100",
            "factor of each modality",
            "ours; third party (AGM repository): audio 0.9, visual 1.1",
        ),
        Setting::new(
            "factor",
            "gradient",
            "gradient | learning_rate",
            "what is multiplied: gradients, or the learning rate of a modality's parameters",
            "third party (AGM repository)",
        ),
    ],
    needs: NEEDS,
};

/// Card of [`Mses`].
pub static MSES: About = About {
    name: "mses",
    title: "MSES",
    idea: "freeze each modality at its own best epoch",
    paper: "Fujimori et al. 2019; as in the AGM repository",
    cost: "1 forward and 1 backward pass; a copy of the best weights; epoch: one evaluation of the validation split",
    departs: &[
        "The rule is read from the AGM repository, because the original was not available.",
        "Losses are those of the validation split; the AGM repository watches the test split.",
        "The parameters of a frozen modality have no gradient and stand still, its norm layers' running statistics do not; \
        there, decay and momentum move the parameters, too.",
        "Only its own weights go back to the best epoch; there, the whole model and optimizer do.",
        "The run goes on when all modalities are frozen, so that every row has the same epochs; there, it stops.",
    ],
    settings: &[Setting::new(
        "patience",
        "80",
        "epochs",
        "epochs without a new minimum",
        "third party (AGM repository)",
    )],
    needs: NEEDS,
};

/// What a modality's factor multiplies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Factor {
    /// Its gradients.
    #[default]
    Gradient,
    /// Its learning rate.
    LearningRate,
}

/// Settings of `mslr`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mslr {
    /// Factor of each modality; 1 where it is not named.
    pub init: BTreeMap<String, f64>,
    /// What the factor multiplies.
    pub factor: Factor,
}

impl Settings for Mslr {
    fn check(&self) -> Result<()> {
        self.init.iter().try_for_each(|(name, init)| within(&format!("init.{name}"), *init, 0., 100.))
    }
    fn build(self, net: &NetSpec) -> Result<Built> {
        known("init", self.init.keys(), net)?;
        let init = net.modalities.iter().map(|name| self.init.get(name).copied().unwrap_or(1.)).collect();
        Ok(Built::op(Rates::new(Rule::Mslr { init, factor: self.factor }, net)))
    }
}

/// Settings of `mses`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mses {
    /// Epochs without a new minimum.
    pub patience: usize,
}

impl Default for Mses {
    fn default() -> Self {
        Self { patience: 80 }
    }
}

impl Settings for Mses {
    fn check(&self) -> Result<()> {
        Ok(())
    }
    fn build(self, net: &NetSpec) -> Result<Built> {
        Ok(Built::op(Rates::new(Rule::Mses { patience: self.patience }, net)))
    }
}
