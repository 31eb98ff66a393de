//! GRID: words of one speaker, heard and seen.
//!
//! The corpus cycles through the digits from sentence to sentence, and so does the split: four of the ten digits never
//! come up in the validation split, all do in the other two.

use std::path::Path;

use aim_config::{by_type, choice, settings};
use aim_core::{Result, Rng};

use crate::{
    Dataset, DatasetInfo, DatasetSettings,
    files::{counted, folder},
    read::npz::Npz,
    sets::AUDIO_NOISE,
    table::{Part, Share, Table},
};

static INFO: DatasetInfo = DatasetInfo {
    name: "grid",
    about: "6,000 spoken words (51 classes) of speaker 1 of the GRID corpus (CC BY 4.0): log-mel and mouth crops. Split by \
            sentence: of the sorted sentences every 5th is test, the 2nd of every 10 validation, the rest training",
    modalities: "audio [1, 32, 16], video [6, 26, 52]",
    needs_root: true,
};

settings! {
    /// Settings of `grid`.
    pub struct Grid {
        /// Standard deviation of the noise on the standardised audio, the same in every run.
        pub noise: f64 = 0. => AUDIO_NOISE, "ours";
        /// Only the words of this place in the sentence.
        pub slot: Option<Slot> = None => by_type().shown("all"), "ours";
    }
}

choice! {
    /// Place of a word in a sentence, numbered as in the file.
    pub enum Slot {
        /// The first word: bin, lay, place, set.
        Command = "command",
        /// The second: blue, green, red, white.
        Colour = "colour",
        /// The third: at, by, in, with.
        Preposition = "preposition",
        /// The fourth: a letter other than w.
        Letter = "letter",
        /// The fifth: zero to nine.
        Digit = "digit",
        /// The last: again, now, please, soon.
        Adverb = "adverb",
    }
}

impl DatasetSettings for Grid {
    fn info(&self) -> &'static DatasetInfo {
        &INFO
    }
    fn load(&self, root: Option<&Path>) -> Result<Dataset> {
        let path = folder(root, "grid")?.join("grid_words.npz");
        let mut file = Npz::open(path.clone())?;
        let len = file.len("slot")?;
        counted(&path, len, 6_000, "words")?;
        let slots = file.whole("slot", len)?;
        let kept: Vec<bool> = slots.iter().map(|s| self.slot.is_none_or(|want| *s == want as i64)).collect();
        let sentences = file.texts("sent", len)?;
        let (class_names, labels) = classes(&file.texts("word", len)?, &kept);
        let audio = file.array("A", len, &[32, 16])?;
        let video = file.array("V", len, &[6, 26, 52])?;
        let mut table = Table {
            name: "grid",
            modalities: vec![("audio".to_owned(), audio), ("video".to_owned(), video)],
            class_names,
            labels,
            ids: sentences.iter().zip(&slots).map(|(sentence, slot)| format!("{sentence}.{slot}")).collect(),
            parts: parts(&sentences, &kept),
        };
        let train = table.rows(Part::Train);
        let [(_, audio), (_, video)] = &mut table.modalities[..] else { unreachable!("two modalities stand above") };
        audio.standardise(&train, Share::Channel);
        audio.add_noise(self.noise, &mut Rng::keyed(0, "grid.noise"));
        audio.shape.insert(0, 1);
        video.standardise(&train, Share::All);
        table.dataset()
    }
}

/// The words in use, sorted, and the place of each sample's word among them.
fn classes(words: &[String], kept: &[bool]) -> (Vec<String>, Vec<u32>) {
    let mut names: Vec<String> = words.iter().zip(kept).filter(|(_, kept)| **kept).map(|(w, _)| w.clone()).collect();
    names.sort();
    names.dedup();
    // Words that are not in use have a place, too; no split holds them.
    let labels = words.iter().map(|w| names.partition_point(|n| n < w) as u32).collect();
    (names, labels)
}

/// Split by sentence, so that no sentence is in two splits.
fn parts(sentences: &[String], kept: &[bool]) -> Vec<Part> {
    let mut sorted = sentences.to_vec();
    sorted.sort();
    sorted.dedup();
    let part = |(sentence, kept): (&String, &bool)| match sorted.partition_point(|s| s < sentence) {
        _ if !kept => Part::Unused,
        i if i % 5 == 0 => Part::Test,
        i if i % 10 == 1 => Part::Validation,
        _ => Part::Train,
    };
    sentences.iter().zip(kept).map(part).collect()
}
