//! AV-MNIST: handwritten digits, each with a recording of the digit spoken.
//!
//! Images are drawn to recordings once, by keyed generators: the pairs are the same in every run, and no recording is
//! in two splits.

mod digits;
mod speech;

use std::path::Path;

use aim_config::{by_type, settings, whole};
use aim_core::{Result, Rng};

use crate::{
    Dataset, DatasetInfo, DatasetSettings,
    files::folder,
    pca,
    sets::AUDIO_NOISE,
    table::{Array, Part, Share, Table},
};
use digits::{Digits, SIDE};
use speech::Speech;

static INFO: DatasetInfo = DatasetInfo {
    name: "avmnist",
    about: "MNIST's images paired with recordings of their labels (Free Spoken Digit Dataset, CC BY-SA 4.0). Images in a \
            keyed random order: 6,000 of the training file train, the next 1,000 are validation, 1,000 of the test file test. \
            Recordings: index 0-4 test, 5-9 validation, the rest training",
    modalities: "audio [1, 32, 32], image [1, 28, 28]",
    needs_root: true,
};

/// Images of MNIST's training and test files.
const IMAGES: [usize; 2] = [60_000, 10_000];
/// Recordings: 10 digits of 6 speakers, 50 times each.
const RECORDINGS: usize = 3_000;

settings! {
    /// Settings of `avmnist`.
    pub struct AvMnist {
        /// Number of the training images' top principal components that are taken out of every image.
        pub low: usize = 0 => whole(0, 256), "ours";
        /// Standard deviation of the noise on the standardised audio, the same in every run.
        pub noise: f64 = 0. => AUDIO_NOISE, "ours";
        /// All of MNIST: 55,000 training, 5,000 validation and 10,000 test images.
        pub full: bool = false => by_type(), "ours";
    }
}

impl DatasetSettings for AvMnist {
    fn info(&self) -> &'static DatasetInfo {
        &INFO
    }
    fn load(&self, root: Option<&Path>) -> Result<Dataset> {
        let folder = folder(root, "avmnist")?;
        let splits = if self.full { [55_000, 5_000, 10_000] } else { [6_000, 1_000, 1_000] };
        let digits = Digits::read(&folder, splits, IMAGES)?;
        let speech = Speech::read(&folder.join("recordings"), RECORDINGS)?;
        let pairs = speech.pair(&digits.labels, &digits.parts)?;
        let train: Vec<usize> = (0..digits.labels.len()).filter(|&i| digits.parts[i] == Part::Train).collect();
        let ids = digits.ids.iter().zip(&pairs).map(|(image, &r)| format!("{image}+{}", speech.names[r])).collect();
        let table = Table {
            name: "avmnist",
            modalities: vec![
                ("audio".to_owned(), self.audio(&speech, &pairs, &train)),
                ("image".to_owned(), self.image(digits.images, &train)?),
            ],
            class_names: (0..10).map(|digit: u32| digit.to_string()).collect(),
            labels: digits.labels,
            ids,
            parts: digits.parts,
        };
        table.dataset()
    }
}

impl AvMnist {
    fn audio(&self, speech: &Speech, pairs: &[usize], train: &[usize]) -> Array {
        let mut audio = speech.pictures(pairs);
        audio.standardise(train, Share::Channel);
        audio.add_noise(self.noise, &mut Rng::keyed(0, "avmnist.noise"));
        audio.shape.insert(0, 1);
        audio
    }

    /// Training images come first, so the components are those of the first `train.len()`.
    fn image(&self, mut images: Array, train: &[usize]) -> Result<Array> {
        if self.low > 0 {
            pca::remove_top(&mut images.data, SIDE * SIDE, train.len(), self.low)?;
        }
        images.standardise(train, Share::All);
        Ok(images)
    }
}
