//! The optimizer section of a config, and the cards that describe it.

use aim_core::{Error, Optim, Result};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{AdaGrad, Adam, AdamW, Optimizer, RmsProp, Sgd};

/// An optimizer as a config names it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "lowercase")]
pub enum OptimConfig {
    /// Stochastic gradient descent.
    Sgd(Sgd),
    /// Adam with L2 decay.
    Adam(Adam),
    /// Adam with decoupled decay.
    AdamW(AdamW),
    /// AdaGrad.
    AdaGrad(AdaGrad),
    /// RMSprop.
    RmsProp(RmsProp),
}

impl Default for OptimConfig {
    fn default() -> Self {
        Self::Adam(Adam::default())
    }
}

impl OptimConfig {
    /// The base learning rate.
    pub fn lr(&self) -> f64 {
        match self {
            Self::Sgd(o) => o.lr,
            Self::Adam(o) => o.lr,
            Self::AdamW(o) => o.lr,
            Self::AdaGrad(o) => o.lr,
            Self::RmsProp(o) => o.lr,
        }
    }

    /// The optimizer, before its first gradient.
    pub fn build(&self) -> Box<dyn Optim> {
        match *self {
            Self::Sgd(o) => Box::new(Optimizer::new(o, o.lr)),
            Self::Adam(o) => Box::new(Optimizer::new(o, o.lr)),
            Self::AdamW(o) => Box::new(Optimizer::new(o, o.lr)),
            Self::AdaGrad(o) => Box::new(Optimizer::new(o, o.lr)),
            Self::RmsProp(o) => Box::new(Optimizer::new(o, o.lr)),
        }
    }

    /// Checks the values; `place` names the section in messages.
    ///
    /// # Errors
    /// If a value makes no sense.
    pub fn check(&self, place: &str) -> Result<()> {
        let share = |x: f64| (0. ..1.).contains(&x);
        let ok = |(b1, b2)| share(b1) && share(b2);
        let problem = match self {
            _ if !(self.lr().is_finite() && self.lr() >= 0.) => "lr must be a number of at least 0",
            Self::Sgd(o) if !share(o.momentum) => "momentum must lie in [0, 1)",
            Self::Sgd(o) if o.nesterov && (o.momentum == 0. || o.dampening != 0.) => {
                "nesterov needs a momentum and no dampening"
            }
            Self::Adam(o) if !ok(o.betas) => "betas must lie in [0, 1)",
            Self::AdamW(o) if !ok(o.betas) => "betas must lie in [0, 1)",
            Self::RmsProp(o) if !share(o.alpha) => "alpha must lie in [0, 1)",
            _ => return Ok(()),
        };
        Err(Error::invalid(place, problem, "mend the optimizer"))
    }
}

/// What `list optimizers` says of an optimizer.
pub struct Card {
    /// Name in a config.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// Its settings with defaults.
    pub settings: &'static str,
}

/// Every optimizer.
pub static CARDS: &[Card] = &[
    Card {
        name: "sgd",
        about: "stochastic gradient descent",
        settings: "lr 0.001, momentum 0, dampening 0, weight_decay 0, nesterov false",
    },
    Card {
        name: "adam",
        about: "Adam with L2 decay",
        settings: "lr 0.001, betas [0.9, 0.999], eps 1e-8, weight_decay 0, amsgrad false",
    },
    Card {
        name: "adamw",
        about: "Adam with decoupled decay",
        settings: "lr 0.001, betas [0.9, 0.999], eps 1e-8, weight_decay 0.01, amsgrad false",
    },
    Card {
        name: "adagrad",
        about: "AdaGrad",
        settings: "lr 0.01, lr_decay 0, weight_decay 0, initial_accumulator_value 0, eps 1e-10",
    },
    Card {
        name: "rmsprop",
        about: "RMSprop",
        settings: "lr 0.01, alpha 0.99, eps 1e-8, weight_decay 0, momentum 0, centered false",
    },
];
