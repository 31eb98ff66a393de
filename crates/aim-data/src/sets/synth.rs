//! `synth-av`: drawn digits beside voiced sounds, generated and never stored.
//!
//! The sound is learned fast and ends the training before the image has been learned. Measured with the table
//! `configs/synth-av.yaml` (CNNs 16-32-64, concat, Adam 1e-3, batch 64, 10 epochs, 5 seeds, mean and standard deviation of
//! the test split; the probe is a logistic regression on the frozen encoder):
//!
//! | | accuracy | probe of the sound encoder | probe of the image encoder |
//! |---|---|---|---|
//! | sound alone | .971 ± .005 | .978 ± .005 | |
//! | image alone | .825 ± .011 | | .835 ± .010 |
//! | joint | .989 ± .005 | .969 ± .006 | .741 ± .013 |
//!
//! So joint training costs the image encoder .094.

mod digits;
mod image;
mod sound;

use std::path::Path;

use aim_core::{Result, Rng};
use rayon::prelude::*;
use serde::Deserialize;

use crate::{
    Dataset,
    card::{Card, SettingCard},
    settings::{Source, check_as, load_as, within},
    table::{Array, Part, Share, Table},
};

/// Classes: the digits.
const CLASSES: usize = 10;

/// Card of the set.
pub(crate) const CARD: Card = Card {
    name: "synth-av",
    about: "generated: ten digits, each drawn as an image and voiced as a sound; needs no files",
    modalities: "sound [1, 32, 24] (log-mel), image [1, 28, 28]",
    settings: &[
        SettingCard { name: "train", default: "2000", range: "10 to 1000000", meaning: "training samples" },
        SettingCard { name: "validation", default: "500", range: "10 to 1000000", meaning: "validation samples" },
        SettingCard { name: "test", default: "1000", range: "10 to 1000000", meaning: "test samples" },
        SettingCard {
            name: "sound_noise",
            default: "0.05",
            range: "0 to 100",
            meaning: "median standard deviation of a recording's noise, where the voice has 1",
        },
        SettingCard {
            name: "image_clutter",
            default: "1.5",
            range: "0 to 100",
            meaning: "stray strokes across a digit, in the mean",
        },
        SettingCard {
            name: "seed",
            default: "0",
            range: "whole number",
            meaning: "which set is drawn; the same for every seed of training",
        },
    ],
    needs_root: false,
    check: check_as::<Synth>,
    load: load_as::<Synth>,
};

/// Settings of the set.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Synth {
    train: usize,
    validation: usize,
    test: usize,
    sound_noise: f64,
    image_clutter: f64,
    seed: u64,
}

impl Default for Synth {
    fn default() -> Self {
        Self { train: 2000, validation: 500, test: 1000, sound_noise: 0.05, image_clutter: 1.5, seed: 0 }
    }
}

impl Source for Synth {
    fn check(&self) -> Result<()> {
        for (key, size) in [("train", self.train), ("validation", self.validation), ("test", self.test)] {
            within(key, size, CLASSES, 1_000_000)?;
        }
        within("sound_noise", self.sound_noise, 0., 100.)?;
        within("image_clutter", self.image_clutter, 0., 100.)
    }

    fn read(self, _: Option<&Path>) -> Result<Dataset> {
        let splits = [
            (Part::Train, "train", self.train),
            (Part::Validation, "validation", self.validation),
            (Part::Test, "test", self.test),
        ];
        let samples = splits.iter().flat_map(|(part, name, n)| (0..*n).map(move |i| (*part, format!("{name}.{i}"))));
        let (parts, ids): (Vec<_>, Vec<_>) = samples.unzip();
        let digits: Vec<usize> = splits.iter().flat_map(|(.., n)| (0..*n).map(|i| i % CLASSES)).collect();
        let sound = |rng: &mut Rng, digit| sound::record(digit, self.sound_noise, rng);
        let image = |rng: &mut Rng, digit| Ok(image::draw(digit, self.image_clutter, rng));
        let mut table = Table {
            name: "synth-av",
            modalities: vec![
                self.modality("sound", &[1, sound::BINS, sound::FRAMES], &ids, &digits, sound)?,
                self.modality("image", &[1, image::SIDE, image::SIDE], &ids, &digits, image)?,
            ],
            class_names: (0..CLASSES).map(|digit| digit.to_string()).collect(),
            labels: digits.iter().map(|digit| *digit as u32).collect(),
            ids,
            parts,
        };
        table.standardise(Share::All);
        table.dataset()
    }
}

impl Synth {
    /// One modality of all samples. Each sample has a generator of its own: it depends neither on the sizes of the splits
    /// nor on the other modality nor on the number of threads.
    fn modality(
        &self,
        name: &str,
        shape: &[usize],
        ids: &[String],
        digits: &[usize],
        make: impl Fn(&mut Rng, usize) -> Result<Vec<f32>> + Sync,
    ) -> Result<(String, Array)> {
        let one =
            |(id, digit): (&String, &usize)| make(&mut Rng::keyed(self.seed, &format!("synth-av.{name}.{id}")), *digit);
        let samples: Vec<Vec<f32>> = ids.par_iter().zip(digits).map(one).collect::<Result<_>>()?;
        Ok((name.to_owned(), Array { data: samples.concat(), shape: shape.to_vec() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(settings: &str) -> Dataset {
        crate::load(&serde_yaml::from_str(&format!("{{name: synth-av, {settings}}}")).unwrap(), None).unwrap()
    }

    fn values(x: &candle_core::Tensor) -> Vec<f32> {
        x.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn is_the_same_set_every_time_whatever_the_threads() {
        let small = "train: 40, validation: 20, test: 20";
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(|| set(small));
        let many = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap().install(|| set(small));
        for (a, b) in alone.train.inputs.iter().zip(&many.train.inputs) {
            assert_eq!(values(a), values(b));
        }
        let other = set(&format!("{small}, seed: 1"));
        assert_ne!(values(&alone.train.inputs[1]), values(&other.train.inputs[1]));
    }

    #[test]
    fn one_modality_is_not_shifted_by_the_other() {
        let quiet = set("train: 40, validation: 20, test: 20, sound_noise: 0");
        let loud = set("train: 40, validation: 20, test: 20, sound_noise: 2");
        assert_eq!(values(&quiet.train.inputs[1]), values(&loud.train.inputs[1]));
        assert_ne!(values(&quiet.train.inputs[0]), values(&loud.train.inputs[0]));
    }

    #[test]
    fn has_the_promised_shapes_and_all_classes() {
        let set = set("train: 30, validation: 10, test: 20");
        set.check().unwrap();
        assert_eq!(set.shapes(), [vec![1, 32, 24], vec![1, 28, 28]]);
        assert_eq!(set.train.labels[..11], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0]);
    }

    #[test]
    fn refuses_settings_out_of_range() {
        let refuse = |text: &str| crate::check_settings(&serde_yaml::from_str(text).unwrap()).unwrap_err().to_string();
        assert!(refuse("{name: synth-av, train: 3}").contains("train"));
        assert!(refuse("{name: synth-av, image_clutter: -1}").contains("image_clutter"));
        assert!(refuse("{name: synth-av, clutter: 1}").contains("unknown field"));
    }
}
