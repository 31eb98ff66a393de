//! Recordings of spoken digits as log-mel pictures.

use std::path::{Path, PathBuf};

use aim_core::{Context, Result, Rng};
use rayon::prelude::*;

use crate::{
    files::{broken, counted, existing, unfit, visible},
    front::{log_mel, refused},
    read::wav,
    table::{Array, Part},
};

/// Mel filters, frames and seconds between frames of a picture.
const PICTURE: (usize, usize, f64) = (32, 32, 0.02);
/// Lowest log energy: digital silence would otherwise lie so far below speech that the variance of a bin is that of
/// pauses.
const FLOOR: f32 = -9.;
/// Sampling rate of the recordings in Hz.
const RATE: u32 = 8000;

/// Every recording there is.
pub(super) struct Speech {
    folder: PathBuf,
    /// Names of the recordings without their ending.
    pub names: Vec<String>,
    kinds: Vec<(u32, Part)>,
    pictures: Vec<Vec<f32>>,
}

impl Speech {
    /// Reads every `<digit>_<speaker>_<index>.wav` of a folder, of which there are so many.
    pub fn read(folder: &Path, known: usize) -> Result<Self> {
        let files = recordings(folder)?;
        counted(folder, files.len(), known, "recordings")?;
        let kinds = files.iter().map(|(name, path)| kind(path, name)).collect::<Result<_>>()?;
        let pictures = files.par_iter().map(|(_, path)| picture(path)).collect::<Result<_>>()?;
        let names = files.into_iter().map(|(name, _)| name).collect();
        Ok(Self { folder: folder.to_path_buf(), names, kinds, pictures })
    }

    /// A recording of the same digit and split for each image, drawn by a generator of the split.
    pub fn pair(&self, labels: &[u32], parts: &[Part]) -> Result<Vec<usize>> {
        let mut pairs = vec![0; labels.len()];
        for part in [Part::Train, Part::Validation, Part::Test] {
            let pools: Vec<Vec<usize>> = (0..10).map(|digit| self.of((digit, part))).collect();
            let mut rng = Rng::keyed(0, &format!("avmnist.pairs.{part:?}"));
            for image in (0..labels.len()).filter(|&i| parts[i] == part) {
                let pool = &pools[labels[image] as usize];
                let problem = || format!("has no recording of digit {} for split {part:?}", labels[image]);
                let draw = pool.get(rng.below(pool.len()));
                pairs[image] = *draw.ok_or_else(|| broken(&self.folder, problem()))?;
            }
        }
        Ok(pairs)
    }

    fn of(&self, kind: (u32, Part)) -> Vec<usize> {
        (0..self.kinds.len()).filter(|&i| self.kinds[i] == kind).collect()
    }

    /// The pictures of these recordings, `[mel filters, frames]`.
    pub fn pictures(&self, recordings: &[usize]) -> Array {
        let data = recordings.iter().flat_map(|&r| self.pictures[r].iter().copied()).collect();
        Array { data, shape: vec![PICTURE.0, PICTURE.1] }
    }
}

/// Names and paths of the recordings, however their ending is written, in an order that no file system changes.
fn recordings(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let named = |path: PathBuf| {
        let ending = path.extension()?.to_ascii_lowercase();
        let name = path.file_stem()?.to_string_lossy().into_owned();
        (ending == "wav").then_some((name, path))
    };
    let mut files: Vec<_> = visible(&existing(folder.to_path_buf())?)?.into_iter().filter_map(named).collect();
    files.sort();
    Ok(files)
}

/// Digit and split of a recording, told by its name.
fn kind(path: &Path, name: &str) -> Result<(u32, Part)> {
    let parse = || {
        let (digit, rest) = name.split_once('_')?;
        let part = match rest.rsplit_once('_')?.1.parse::<u32>().ok()? {
            0..=4 => Part::Test,
            5..=9 => Part::Validation,
            _ => Part::Train,
        };
        Some((digit.parse().ok().filter(|digit| *digit < 10)?, part))
    };
    parse().ok_or_else(|| unfit(path, "is not named <digit>_<speaker>_<index>.wav", "name it so, or put it elsewhere"))
}

fn picture(path: &Path) -> Result<Vec<f32>> {
    let (bins, frames, shift) = PICTURE;
    let picture = log_mel(&wav::mono(path, RATE)?, RATE, bins, frames, shift).map_err(refused);
    let picture = picture.at(|| path.display().to_string())?;
    Ok(picture.data.into_iter().map(|v| v.max(FLOOR)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_digit_and_split() {
        let kind = |name| kind(Path::new("x.wav"), name).map_err(|e| e.to_string());
        assert_eq!(kind("7_theo_3"), Ok((7, Part::Test)));
        assert_eq!(kind("0_a_b_9"), Ok((0, Part::Validation)));
        assert_eq!(kind("1_theo_49"), Ok((1, Part::Train)));
        for name in ["11_theo_3", "x_theo_3", "7_theo", "7_theo_x"] {
            assert!(kind(name).unwrap_err().contains("is not named <digit>_<speaker>_<index>.wav"), "{name}");
        }
    }

    #[test]
    fn recordings_are_listed_however_their_ending_is_written_and_hidden_files_are_not() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["1_a_0.WAV", "0_a_0.wav", "0_a_1.Wav", "._0_a_0.wav", ".DS_Store", "README.md"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        std::fs::create_dir(folder.path().join("__MACOSX")).unwrap();
        let names: Vec<String> = recordings(folder.path()).unwrap().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["0_a_0", "0_a_1", "1_a_0"]);
        let error = Speech::read(folder.path(), 4).err().unwrap().to_string();
        assert!(error.contains("holds 3 recordings, but the set has 4"), "{error}");
    }

    #[test]
    fn pairs_share_digit_and_split_and_never_change() {
        let parts = [Part::Train, Part::Validation, Part::Test];
        let kinds: Vec<(u32, Part)> = (0..90).map(|i| (i / 9, parts[i as usize % 3])).collect();
        let names = vec![String::new(); 90];
        let speech = Speech { folder: PathBuf::new(), names, kinds, pictures: Vec::new() };
        let labels: Vec<u32> = (0..60).map(|i| i % 10).collect();
        let of: Vec<Part> = (0..60).map(|i| parts[i / 20]).collect();
        let pairs = speech.pair(&labels, &of).unwrap();
        assert!((0..60).all(|i| speech.kinds[pairs[i]] == (labels[i], of[i])));
        assert_eq!(pairs, speech.pair(&labels, &of).unwrap());
        let error = Speech { kinds: Vec::new(), ..speech }.pair(&labels, &of).unwrap_err().to_string();
        assert!(error.contains("has no recording of digit 0 for split Train"), "{error}");
    }
}
