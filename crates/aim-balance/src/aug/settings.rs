//! The settings of AUG and its card.

use std::collections::BTreeMap;

use aim_config::{above, at_least, between, by_type, choice, settings};
use aim_core::{NetSpec, Result, capability};

use super::Boosting;
use crate::{Built, MethodInfo, MethodSettings, Provenance, Quantity, Requirements, Unimodal, card::weights};

/// Card of [`Aug`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "aug",
    title: "AUG",
    idea: "the weaker modality gets more classifiers, each trained on what the earlier ones leave over",
    paper: "Jiang et al., NeurIPS 2025 (arXiv 2502.20120)",
    cost: "1 forward pass; M backward passes that go through each encoder once; M + 1 passes of the heads, M optimizer \
    steps",
    departs: &[
        "Added classifiers learn, with moments of their own from their first step; the released code makes them behind \
        the optimizer's back, so that they stay at their first values (`compat: true`).",
        "All classifiers that a modality can have are parameters from the start (`most` of the fusion `growing`), in \
        use once they are counted, so that a checkpoint has the same shapes at any time.",
        "The rule is that of the paper's text, because its algorithm prints the two cases exchanged; the weakest of \
        any number of modalities gets a classifier, and with `rule: ratio` a pair has the released rule.",
        "Checks come after every 20th epoch, as the paper says; the released code also checks after the first, and 10 \
        times a run.",
        "The residual discounts what the sum of the earlier classifiers predicts, as released; the paper adds their \
        probabilities, which may pass 1 and turn the loss (`residual: separate`).",
        "Modalities are trained one after the other, as released; what has no gradient in a sub-step stays, where the \
        released code lets momentum and decay move it.",
        "Modalities count alike in predictions; the released weights (0.4 and 0.6) are a default of the command line.",
        "A sample takes part in the sub-steps and in the prediction of the modalities that it has, since the paper \
        leaves open how it evaluates missing ones.",
        "No setting makes it joint training: without checks (`check_every` beyond the run) each sub-step is one of \
        unimodal training with a common output layer, bit for bit.",
    ],
    requires: Requirements { unimodal: Unimodal::Trained, capabilities: &[capability::GROWING], ..Requirements::NONE },
    provenance: Provenance::Faithful,
    reports: &[
        Quantity::modality("classifiers", "", "number of its classifiers"),
        Quantity::modality("score", "", "sum over the batch of the true class's probability"),
    ],
    revision: 1,
};

choice! {
    /// What is left over for the newest classifier.
    pub enum Residual {
        /// What the sum of the earlier classifiers does not predict.
        Ensemble = "ensemble",
        /// What each of them by itself does not predict.
        Separate = "separate",
    }
}

choice! {
    /// When a modality is behind.
    pub enum Rule {
        /// By the difference of the scores.
        Difference = "difference",
        /// By their ratio.
        Ratio = "ratio",
    }
}

settings! {
    /// Settings of `aug`.
    pub struct Aug {
        /// Discount of what earlier classifiers predict.
        pub lambda: f64 = 0.5 => between(0., 1.), "released code";
        /// Earlier classifiers whose prediction counts: their sum | each by itself.
        pub residual: Residual = Residual::Ensemble => by_type(), "released code";
        /// Factor on the weakest score.
        pub sigma: f64 = 1. => between(0., 100.), "paper";
        /// Lead of the strongest within which nobody is behind.
        pub tau: f64 = 0.01 => between(0., 1.), "paper";
        /// When a modality is behind: by the difference of scores | by their ratio.
        pub rule: Rule = Rule::Difference => by_type(), "paper; released code: ratio";
        /// Epochs between two checks.
        pub check_every: usize = 20 => at_least(1).unit("epochs"), "paper (CREMA-D)";
        /// Relative weights in the prediction: one for each modality.
        pub merge: BTreeMap<String, f64> = BTreeMap::new() => above(0.).shown("equal"),
            "ours; released code (CREMA-D): 0.4 audio, 0.6 visual";
        /// Added classifiers stay at their first values, as the released code does it.
        pub compat: bool = false => by_type(), "ours; released code: true";
    }
}

impl MethodSettings for Aug {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn compat(&self) -> bool {
        self.compat
    }
    fn build(&self, net: &NetSpec) -> Result<Built> {
        let weights = match self.merge.is_empty() {
            true => vec![1.; net.modalities.len()],
            false => weights("merge", &self.merge, net)?,
        };
        let tally = vec![(0., 0.); net.modalities.len()];
        Ok(Built::Method(Box::new(Boosting { settings: self.clone(), weights, tally })))
    }
}
