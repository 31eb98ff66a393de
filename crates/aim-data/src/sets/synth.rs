//! `synth-av`: drawn digits beside voiced sounds, generated and never stored. Its defaults are not calibrated yet.

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
