//! The settings of CGGM and its card.

use aim_config::{above, between, by_type, choice, settings};
use aim_core::{Error, NetSpec, Result, capability};

use super::Guided;
use crate::{Built, MethodInfo, MethodSettings, Provenance, Quantity, Requirements};

/// Card of [`Cggm`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "cggm",
    title: "CGGM",
    idea: "classifiers watch how fast each encoder improves, and steer size and direction of the gradients",
    paper: "Guo et al., NeurIPS 2024 (arXiv 2411.01409)",
    cost: "1 forward and 1 backward pass; the heads twice",
    departs: &[
        "The direction compares gradients of the last layers in closed form, because the text speaks of gradients; the \
        released one compares weights and acts a step late (`direction: weight`).",
        "Classifiers are one linear layer each, because they are the network's additional heads; the released ones are \
        small transformers.",
        "Every tensor of an encoder is scaled; the released networks leave input projections out.",
        "The score is the accuracy in the batch, of the samples that have the modality; the released scores of \
        regression and segmentation belong to tasks that are not here.",
        "Coefficients have no bound, as released, and may ascend an encoder's loss; `bound` is ours.",
        "Classifiers keep their learning rate whatever the schedule does with the others', because released code gives \
        them an optimizer of their own.",
    ],
    requires: Requirements::UNI_HEADS,
    provenance: Provenance::Faithful,
    reports: &[
        Quantity::modality("accuracy", "", "accuracy of its classifier in the batch"),
        Quantity::modality("gain", "", "accuracy above that in the batch before"),
        Quantity::modality("coef", "", "share of the gains that is not its own"),
        Quantity::modality(
            "cos",
            "",
            "cosine of its part of the head and its classifier: of their gradients or weights",
        ),
        Quantity::step("grad_norm", "", "norm of all gradients but the classifiers' before clipping"),
        Quantity::step("clipped", "", "1 where gradients are clipped, else 0"),
        Quantity::step("classifier_lr", "", "learning rate of the classifiers"),
    ],
    revision: 1,
};

choice! {
    /// What the direction compares.
    pub enum Direction {
        /// Gradients of the last layers.
        Gradient = "gradient",
        /// Their weights, a step late, as released.
        Weight = "weight",
        /// Nothing.
        None = "none",
    }
}

settings! {
    /// Settings of `cggm`.
    pub struct Cggm {
        /// Size of the encoders' gradients.
        pub rho: f64 = 1.3 => between(0., 100.), "released code (MOSI, IEMOCAP, Food101)";
        /// Weight of the direction.
        pub lambda: f64 = 0.2 => between(0., 100.), "released code (MOSI, IEMOCAP)";
        /// Comparison that gives the direction: gradients of the last layers | their weights, as released | none.
        pub direction: Direction = Direction::Gradient => by_type(), "paper";
        /// Whether gradients of encoders are scaled.
        pub magnitude: bool = true => by_type(), "paper";
        /// Largest norm of all gradients but the classifiers'; null is none.
        pub clip_norm: Option<f64> = Some(0.8) => above(0.), "released code";
        /// Learning rate of the classifiers.
        pub classifier_lr: f64 = 5e-4 => between(0., 100.), "released code";
        /// Largest size of a coefficient.
        pub bound: Option<f64> = None => above(0.).shown("none"), "ours; released code: none";
    }
}

impl MethodSettings for Cggm {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn compat(&self) -> bool {
        self.direction == Direction::Weight
    }
    fn build(&self, net: &NetSpec) -> Result<Built> {
        let linear = net.capabilities.has(capability::LINEAR_HEADS);
        if self.direction != Direction::None && !linear {
            let problem = format!("needs {}, which the network lacks", capability::LINEAR_HEADS.meaning());
            let remedy = "set model.fusion to concat, sum or mean, or the direction to none";
            return Err(Error::invalid("method.direction", problem, remedy));
        }
        let names = net.modalities.clone();
        let accuracy = vec![0.; names.len()];
        Ok(Built::grads(Guided { settings: self.clone(), names, accuracy, pending: None }))
    }
}
