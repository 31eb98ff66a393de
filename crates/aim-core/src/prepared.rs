//! Networks that are trained before a run begins, for methods that start from them or learn from them.

use std::{collections::BTreeMap, fmt};

use candle_core::Tensor;

use crate::{Error, Result, View};

/// A training that a method needs before its run begins: on the same data, with the same optimizer, schedule, length
/// and seed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Preparation {
    /// One modality alone: its encoder, without low-rank additions, and a linear head.
    Alone {
        /// Name of the modality.
        modality: String,
    },
    /// The whole network on the loss of its fused logits.
    Joint,
}

impl Preparation {
    /// Each modality alone.
    pub fn each(modalities: &[String]) -> Vec<Self> {
        modalities.iter().map(|modality| Self::Alone { modality: modality.clone() }).collect()
    }
}

impl fmt::Display for Preparation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Alone { modality } => write!(f, "{modality} alone"),
            Self::Joint => write!(f, "joint"),
        }
    }
}

/// One modality as it was trained alone.
#[derive(Clone, Debug)]
pub struct Alone {
    /// Weights and buffers of its encoder, under the names that they have in the run's network: a view of that network.
    pub encoder: View,
    /// Weight `[classes, width]` of its linear head.
    pub weight: Tensor,
    /// Bias `[classes]` of its head.
    pub bias: Tensor,
}

/// The preparations of a run.
#[derive(Clone, Debug, Default)]
pub struct Prepared {
    /// Modalities that were trained alone, by name.
    pub alone: BTreeMap<String, Alone>,
    /// Weights and buffers of the network that was trained jointly.
    pub joint: Option<View>,
}

impl Prepared {
    /// A modality that was trained alone.
    ///
    /// # Errors
    /// If it was not.
    pub fn alone(&self, modality: &str) -> Result<&Alone> {
        self.alone.get(modality).ok_or_else(|| missing(&Preparation::Alone { modality: modality.into() }))
    }

    /// The network that was trained jointly.
    ///
    /// # Errors
    /// If there is none.
    pub fn joint(&self) -> Result<&View> {
        self.joint.as_ref().ok_or_else(|| missing(&Preparation::Joint))
    }
}

fn missing(which: &Preparation) -> Error {
    Error::invalid(format!("preparation `{which}`"), "was not made", "make what `aim_balance::preparations` lists")
}
