//! One file a set. To add one, write its file and one line below.

use std::sync::LazyLock;

use aim_config::{Rule, between};

use crate::{Datasets, card};

/// Noise that makes a strong modality weaker.
pub(crate) const AUDIO_NOISE: Rule = between(0., 100.);

/// Declares the modules of data sets and the settings that each has a card for.
macro_rules! sets {
    ($($module:ident: $settings:ident;)+) => {
        $(
            mod $module;
            pub use $module::*;
        )+

        /// The data sets of this crate.
        pub fn builtin() -> &'static Datasets {
            static DATASETS: LazyLock<Datasets> = LazyLock::new(|| {
                let mut sets = Datasets::new("data set", "datasets");
                // Names differ, as a test makes sure.
                $(drop(sets.add(card::<$module::$settings>()));)+
                sets
            });
            &DATASETS
        }
    };
}

// rustfmt does not find these files by itself.
sets! {
    synth: Synth;
    grid: Grid;
    avmnist: AvMnist;
    lis: Lis;
    geotec: Geotec;
    mosi: Mosi;
    mfeat: Mfeat;
    bundle: Bundle;
    manifest: Manifest;
    corpus: Corpus;
    hub: Hub;
    halves: Halves;
}
