//! MNIST and Fashion-MNIST as two views, fetched by `candle-datasets` from the Hugging Face Hub.

#[cfg(feature = "hub")]
mod views;

use std::path::Path;

use aim_config::{by_type, choice, settings, whole};
use aim_core::Result;

use super::AUDIO_NOISE;
use crate::{Dataset, DatasetInfo, DatasetSettings};

static INFO: DatasetInfo = DatasetInfo {
    name: "halves",
    about: "MNIST or Fashion-MNIST, the left and the right half of each picture as its two views (Andrew et al. 2013), or a \
            digit beside a garment of the class with the same index (Shah et al. 2020); from the Hugging Face Hub (feature \
            `hub`). Training and validation are of the set's training pictures, in a keyed random order",
    modalities: "left and right, [1, 28, 14] each, or [1, 28, 28] of pairs",
    needs_root: false,
};

choice! {
    /// What two views are made of.
    pub enum Views {
        /// The halves of a digit.
        Mnist = "mnist",
        /// The halves of a garment.
        FashionMnist = "fashion-mnist",
        /// A digit and a garment.
        Pairs = "pairs",
    }
}

settings! {
    /// Settings of `halves`.
    pub struct Halves {
        /// Halves of MNIST's digits | of Fashion-MNIST's garments | a digit beside a garment of its class.
        pub of: Views = Views::Mnist => by_type(), "ours";
        /// Number of training pictures.
        pub train: usize = 6_000 => whole(10, 50_000), "ours";
        /// Number of validation pictures.
        pub validation: usize = 1_000 => whole(10, 5_000), "ours";
        /// Number of test pictures.
        pub test: usize = 1_000 => whole(10, 9_000), "ours";
        /// Standard deviation of the noise on the standardised right view, the same in every run.
        pub noise: f64 = 0. => AUDIO_NOISE, "ours";
    }
}

impl DatasetSettings for Halves {
    fn info(&self) -> &'static DatasetInfo {
        &INFO
    }
    #[cfg(not(feature = "hub"))]
    fn load(&self, _: Option<&Path>) -> Result<Dataset> {
        Err(crate::hub::without_feature("data set `halves`"))
    }
    #[cfg(feature = "hub")]
    fn load(&self, _: Option<&Path>) -> Result<Dataset> {
        views::load(self)
    }
}
