//! What pre-processing learnt from a training split: with it and the set's settings new samples become the numbers that
//! a trained network reads.

use aim_config::serde::{Deserialize, Serialize};

use crate::{Dataset, table::Moments};

/// A modality as a network reads it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(crate = "aim_config::serde")]
pub struct Modality {
    /// Its name.
    pub name: String,
    /// Shape of one sample.
    pub shape: Vec<usize>,
    /// What its pre-processing learnt; none where samples are read without any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fitted: Option<Fitted>,
}

/// What the pre-processing of a modality learnt from the training split.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(crate = "aim_config::serde")]
pub struct Fitted {
    /// What its decoder learnt.
    #[serde(default, skip_serializing_if = "Learnt::is_nothing")]
    pub(crate) learnt: Learnt,
    /// What values are brought to mean 0 and standard deviation 1 by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) moments: Option<Moments>,
}

/// What a decoder has beside its settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(crate = "aim_config::serde", rename_all = "snake_case")]
pub(crate) enum Learnt {
    /// Nothing.
    #[default]
    Nothing,
    /// Words of a vocabulary, in the order of their ids.
    Words(Vec<String>),
    /// Text of a `tokenizer.json`.
    Tokenizer(String),
}

impl Learnt {
    fn is_nothing(&self) -> bool {
        *self == Self::Nothing
    }
}

impl Dataset {
    /// Its modalities as a network that is trained on it reads them.
    pub fn fitted(&self) -> Vec<Modality> {
        let one = |(m, (name, shape))| Modality { name, shape, fitted: self.train.fitted(m) };
        self.named_shapes().into_iter().enumerate().map(one).collect()
    }
}
