//! GRID: a film a sentence with the times of its words, in 1/25,000 s, beside it.

use std::path::Path;

use aim_core::Result;

use super::lists::{Listed, Sample, field, read};
use crate::{
    files::{broken, visible},
    table::Part,
};

/// Ticks of a second.
const TICKS: f64 = 25_000.;

/// What the six words of a sentence are, in their order.
const CLASSES: [&str; 6] = ["command", "colour", "preposition", "letter", "digit", "adverb"];

/// Every word of every `.align` file; `{sentence}` is the film, the class what kind of word it is.
pub(super) fn list(folder: &Path) -> Result<Listed> {
    let mut paths = visible(folder)?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "align"));
    let mut samples = vec![];
    for path in &paths {
        let sentence = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let records = read(path, b' ')?;
        let words: Vec<_> = records.iter().filter(|record| !matches!(record.get(2), Some("sil" | "sp"))).collect();
        if words.len() != CLASSES.len() {
            return Err(broken(path, format!("has {} words, not {}", words.len(), CLASSES.len())));
        }
        for (slot, (record, class)) in words.into_iter().zip(CLASSES).enumerate() {
            let time = |at| {
                let ticks = field(record, at, path)?;
                let seconds = ticks.parse::<f64>().map(|ticks| ticks / TICKS);
                seconds.map_err(|_| broken(path, format!("`{ticks}` is no time")))
            };
            let sample = Sample::new(&format!("{sentence}.{slot}"), class, Part::Unused, &sentence);
            samples.push(sample.word("sentence", &sentence).during(time(0)?, time(1)?));
        }
    }
    Ok(Listed { samples, class_names: Some(CLASSES.map(String::from).to_vec()) })
}
