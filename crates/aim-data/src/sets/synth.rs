//! `synth-av`: drawn digits beside voiced sounds, generated and never stored.
//!
//! The sound is learned fast and ends the training before the image has been learned. Measured as
//! `configs/synth-av.yaml` sets it (noise 0.6, 3 strokes, CNNs 16-32-64, concat, Adam 3e-3, cosine, batch 64, 15
//! epochs, 3 seeds, mean and standard deviation of the test split; the probe is a logistic regression on the frozen
//! encoder):
//!
//! | | accuracy | probe of the sound encoder | probe of the image encoder |
//! |---|---|---|---|
//! | sound alone | .867 ± .008 | .870 ± .010 | |
//! | image alone | .737 ± .009 | | .741 ± .015 |
//! | ensemble of the two | .958 ± .003 | .868 ± .010 | .744 ± .003 |
//! | joint | .935 ± .005 | .845 ± .011 | .654 ± .018 |
//!
//! So joint training costs the image encoder .087, and both encoders together know more than it makes of them.
//!
//! For controlled experiments a third modality can be added, a modality made blind, and training labels be wrong.

mod digits;
mod image;
mod pen;
mod sound;

use std::path::Path;

use aim_config::{Rule, at_least, between, by_type, choice, settings, whole};
use aim_core::{Result, Rng};
use rayon::prelude::*;

use crate::{
    Dataset, DatasetInfo, DatasetSettings,
    table::{Array, Part, Share, Table},
};

/// Classes: the digits.
const CLASSES: usize = 10;

static INFO: DatasetInfo = DatasetInfo {
    name: "synth-av",
    about: "generated: ten digits, each drawn as an image and voiced as a sound; needs no files",
    modalities: "sound [1, 32, 24] (log-mel), image [1, 28, 28]; with `pen` also pen [1, 32, 3]",
    needs_root: false,
};

const SAMPLES: Rule = whole(CLASSES as u64, 1_000_000).unit("samples");

choice! {
    /// A modality that says nothing of the class: it shows digits drawn at random.
    pub enum Blind {
        /// None.
        None = "none",
        /// The sound.
        Sound = "sound",
        /// The image.
        Image = "image",
    }
}

settings! {
    /// Settings of `synth-av`.
    pub struct Synth {
        /// Size of the training split.
        pub train: usize = 2000 => SAMPLES, "ours";
        /// Size of the validation split.
        pub validation: usize = 500 => SAMPLES, "ours";
        /// Size of the test split.
        pub test: usize = 1000 => SAMPLES, "ours";
        /// Median standard deviation of a recording's noise, where the voice has 1.
        pub sound_noise: f64 = 0.05 => between(0., 100.), "ours";
        /// Mean number of stray strokes across a digit.
        pub image_clutter: f64 = 1.5 => between(0., 100.), "ours";
        /// Adds a third modality, the movement of the pen that wrote another such digit.
        pub pen: bool = false => by_type(), "ours";
        /// Standard deviation of the pen's coordinates, where the digit's box has side 1.
        pub pen_noise: f64 = 0.1 => between(0., 100.), "ours";
        /// A modality that says nothing of the class.
        pub blind: Blind = Blind::None => by_type(), "ours";
        /// Share of the training labels that are drawn at random.
        pub label_noise: f64 = 0. => between(0., 1.), "ours";
        /// Which set is drawn; the same for every seed of training.
        pub seed: u64 = 0 => at_least(0), "ours";
    }
}

impl DatasetSettings for Synth {
    fn info(&self) -> &'static DatasetInfo {
        &INFO
    }
    fn load(&self, _: Option<&Path>) -> Result<Dataset> {
        let splits = [
            (Part::Train, "train", self.train),
            (Part::Validation, "validation", self.validation),
            (Part::Test, "test", self.test),
        ];
        let samples = splits.iter().flat_map(|(part, name, n)| (0..*n).map(move |i| (*part, format!("{name}.{i}"))));
        let (parts, ids): (Vec<_>, Vec<_>) = samples.unzip();
        let digits: Vec<usize> = splits.iter().flat_map(|(.., n)| (0..*n).map(|i| i % CLASSES)).collect();
        let shown = |modality| if self.blind == modality { self.any(&ids) } else { digits.clone() };
        let sound = |rng: &mut Rng, digit| sound::record(digit, self.sound_noise, rng);
        let image = |rng: &mut Rng, digit| Ok(image::draw(digit, self.image_clutter, rng));
        let pen = |rng: &mut Rng, digit| Ok(pen::write(digit, self.pen_noise, rng));
        let (sound_shape, image_shape) = ([1, sound::BINS, sound::FRAMES], [1, image::SIDE, image::SIDE]);
        let mut modalities = vec![
            self.modality("sound", &sound_shape, &ids, &shown(Blind::Sound), sound)?,
            self.modality("image", &image_shape, &ids, &shown(Blind::Image), image)?,
        ];
        if self.pen {
            modalities.push(self.modality("pen", &[1, pen::MOMENTS, pen::COORDINATES], &ids, &digits, pen)?);
        }
        let mut table = Table {
            name: "synth-av",
            modalities,
            class_names: (0..CLASSES).map(|digit| digit.to_string()).collect(),
            labels: self.labels(&digits, &parts, &ids),
            ids,
            parts,
        };
        table.standardise(Share::All);
        table.dataset()
    }
}

impl Synth {
    /// A digit for each sample that has nothing to do with its class.
    fn any(&self, ids: &[String]) -> Vec<usize> {
        let one = |id: &String| Rng::keyed(self.seed, &format!("synth-av.blind.{id}")).below(CLASSES);
        ids.iter().map(one).collect()
    }

    /// The digits as labels, some of the training split's drawn at random.
    fn labels(&self, digits: &[usize], parts: &[Part], ids: &[String]) -> Vec<u32> {
        let label = |((digit, part), id): ((&usize, &Part), &String)| {
            let mut rng = Rng::keyed(self.seed, &format!("synth-av.label.{id}"));
            let wrong = matches!(part, Part::Train) && rng.uniform() < self.label_noise;
            (if wrong { rng.below(CLASSES) } else { *digit }) as u32
        };
        digits.iter().zip(parts).zip(ids).map(label).collect()
    }

    /// One modality of all samples. Each sample has a generator of its own: it depends neither on the sizes of the
    /// splits nor on the other modality nor on the number of threads.
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
    use aim_config::yaml::parse;

    use super::*;

    fn set(settings: &str) -> Dataset {
        let section = parse(&format!("{{name: synth-av, {settings}}}")).unwrap();
        crate::load(&crate::builtin().read(&section, "data").unwrap(), None).unwrap()
    }

    fn values(set: &Dataset, modality: usize) -> Vec<f32> {
        let all: Vec<usize> = (0..set.train.len()).collect();
        let input = set.train.input(modality, &all, &candle_core::Device::Cpu).unwrap();
        input.values.flatten_all().unwrap().to_vec1().unwrap()
    }

    #[test]
    fn is_the_same_set_every_time_whatever_the_threads() {
        let small = "train: 40, validation: 20, test: 20";
        let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(|| set(small));
        let many = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap().install(|| set(small));
        for m in 0..2 {
            assert_eq!(values(&alone, m), values(&many, m));
        }
        let other = set(&format!("{small}, seed: 1"));
        assert_ne!(values(&alone, 1), values(&other, 1));
    }

    #[test]
    fn one_modality_is_not_shifted_by_the_other() {
        let quiet = set("train: 40, validation: 20, test: 20, sound_noise: 0");
        let loud = set("train: 40, validation: 20, test: 20, sound_noise: 2");
        assert_eq!(values(&quiet, 1), values(&loud, 1));
        assert_ne!(values(&quiet, 0), values(&loud, 0));
    }

    #[test]
    fn labels_are_wrong_in_the_training_split_alone() {
        use crate::Source;
        let labels = |split: &dyn Source| split.labels().to_vec();
        let (clean, noisy) = (set("train: 1000"), set("train: 1000, label_noise: 0.5"));
        let wrong = clean.train.labels().iter().zip(noisy.train.labels()).filter(|(a, b)| a != b).count();
        // Half are drawn anew, a tenth of those by chance as they were: 450, standard deviation 16.
        assert!((400..500).contains(&wrong), "{wrong}");
        assert_eq!(labels(&*clean.test), labels(&*noisy.test));
        assert_eq!(values(&clean, 0), values(&noisy, 0));
    }

    #[test]
    fn a_blind_modality_shows_other_digits_and_leaves_the_rest_alone() {
        let small = "train: 200, validation: 20, test: 20";
        let (clear, blind) = (set(small), set(&format!("{small}, blind: image")));
        assert_eq!(values(&clear, 0), values(&blind, 0));
        let (a, b) = (values(&clear, 1), values(&blind, 1));
        let same = a.chunks(784).zip(b.chunks(784)).filter(|(a, b)| a == b).count();
        // A digit in ten is by chance the right one; standardisation moves all values a little.
        assert!(same < 60, "{same}");
        assert_eq!(clear.train.labels(), blind.train.labels());
    }

    #[test]
    fn the_pen_is_a_third_modality() {
        let set = set("train: 20, validation: 10, test: 10, pen: true");
        assert_eq!(set.shapes()[2], [1, 32, 3]);
    }

    #[test]
    fn has_the_promised_shapes_and_all_classes() {
        let set = set("train: 30, validation: 10, test: 20");
        set.check().unwrap();
        assert_eq!(set.shapes(), [vec![1, 32, 24], vec![1, 28, 28]]);
        assert_eq!(set.train.labels()[..11], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0]);
    }
}
