//! How a modality's cells become numbers.

use std::path::{Path, PathBuf};

use aim_config::{by_type, choice, settings, words};
use aim_core::{Error, Result};

use super::{
    ArrayRows, Audio, Frames, Image, Series, Text, Video,
    keep::{Draw, Kept},
};
use crate::{
    fitted::Learnt,
    table::{Array, Real, Share},
};

impl Standardise {
    /// What shares a mean and a standard deviation, in samples as a decoder gives them.
    pub(super) fn share(self, decoder: &dyn Decode) -> Option<Share> {
        match self {
            Self::None => None,
            Self::Whole => Some(Share::All),
            Self::Channel if decoder.time_first() => Some(Share::Column),
            Self::Channel => Some(Share::Channel),
            Self::Entry => Some(Share::Feature),
        }
    }
}

choice! {
    /// What is brought to mean 0 and standard deviation 1, by the training split alone.
    pub enum Standardise {
        /// Nothing.
        None = "none",
        /// The modality as a whole.
        Whole = "whole",
        /// Each channel (first axis of a sample; last one where time is first).
        Channel = "channel",
        /// Each entry of a sample.
        Entry = "entry",
    }
}

/// Declares the decoders with the section of each; one of them is given.
macro_rules! decoders {
    ($($name:ident: $type:ty, $about:literal;)+) => {
        settings! {
            /// How a modality is decoded: exactly one of the sections.
            pub struct Decoding {
                /// Column of its paths or texts.
                pub column: Option<String> = None => words("a column").shown("the modality's name"), "ours";
                /// Values that are brought to mean 0 and standard deviation 1 over the training split.
                pub standardise: Standardise = Standardise::None => by_type(), "ours";
                $(#[doc = $about] pub $name: Option<$type> = None => by_type().shown("none"), "yours";)+
            }
        }

        impl Decoding {
            fn given(&self) -> Vec<&dyn Opens> {
                let mut given: Vec<&dyn Opens> = vec![];
                $(if let Some(section) = &self.$name { given.push(section); })+
                given
            }
        }

        /// Names of the decoders.
        const NAMES: &[&str] = &[$(stringify!($name)),+];
    };
}

decoders! {
    audio: Audio, "Sound of recordings or videos.";
    image: Image, "Pictures.";
    frames: Frames, "Folders of pictures.";
    video: Video, "Pictures of videos.";
    text: Text, "Texts, or files of text.";
    array: ArrayRows, "Rows of an array.";
    series: Series, "CSV files of numbers over time.";
}

/// A cell of a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell<'a> {
    /// Name of its sample.
    #[cfg_attr(not(feature = "media"), allow(dead_code, reason = "media alone have parts that are drawn"))]
    pub id: &'a str,
    /// Its text.
    pub text: &'a str,
    /// Folder that paths start at.
    pub folder: &'a Path,
    /// Seconds at which the sample begins and ends.
    #[cfg_attr(not(feature = "media"), allow(dead_code, reason = "recordings alone have times"))]
    pub times: [Option<f64>; 2],
}

impl Cell<'_> {
    /// The path that the cell names, which may not leave the folder of the set.
    ///
    /// # Errors
    /// An absolute path, one that climbs out, or one that names nothing.
    pub fn path(&self) -> Result<PathBuf> {
        let path = Path::new(self.text);
        let inside = path
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_) | std::path::Component::CurDir));
        if !inside {
            return Err(Error::invalid(
                self.text,
                "leaves the folder of the manifest or set",
                "give a path below that folder",
            ));
        }
        let path = self.folder.join(path);
        if path.exists() {
            Ok(path)
        } else {
            Err(Error::invalid(path.display().to_string(), "does not exist", "correct the path"))
        }
    }
}

/// One decoded cell.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::sets) struct Decoded {
    /// The values, as many as the shape says.
    pub values: Vec<f32>,
    /// Number of valid positions from the first on, where samples differ in length.
    pub length: Option<usize>,
}

impl From<Vec<f32>> for Decoded {
    fn from(values: Vec<f32>) -> Self {
        Self { values, length: None }
    }
}

/// A decoder that is ready.
pub(super) trait Decode: Send + Sync {
    /// Shape of a sample.
    fn shape(&self) -> Vec<usize>;
    /// Length of the axis of positions, where samples differ in length.
    fn positions(&self) -> Option<usize> {
        None
    }
    /// Whether positions are on the first axis, and what is side by side at each on the others.
    fn time_first(&self) -> bool {
        self.positions().is_some()
    }
    /// The values that are real of a sample with so many valid positions.
    fn real(&self, length: usize) -> Real {
        let Some(most) = self.positions() else { return Real::ALL };
        let run = if self.time_first() { self.shape().iter().product() } else { most };
        Real { run, first: run / most * length }
    }
    /// Whether showings of a sample differ.
    fn varies(&self) -> bool {
        false
    }
    /// What showings need of a cell. It depends on no other sample, nor on the splits.
    ///
    /// # Errors
    /// If the cell cannot be read.
    fn keep(&self, cell: &Cell<'_>) -> Result<Kept>;
    /// The values of a showing.
    ///
    /// # Errors
    /// If what is kept is damaged or was kept by other settings.
    fn show(&self, kept: &Kept, _draw: &Draw<'_>) -> Result<Decoded> {
        kept.values()
    }
    /// The decoder with what it learns from what is kept of the training samples; none where it learns nothing and so
    /// reads none of them.
    ///
    /// # Errors
    /// If one cannot be read, or nothing can be learnt from them.
    fn learnt(&self, _training: &mut dyn Iterator<Item = Result<Kept>>) -> Result<Option<Box<dyn Decode>>> {
        Ok(None)
    }
    /// What it learnt from the training samples, or read beside its settings and cells.
    fn fitted(&self) -> Learnt {
        Learnt::Nothing
    }
    /// Checksum of a file that showings need beside the settings and what is kept.
    fn crc32(&self) -> Option<u32> {
        None
    }
}

/// Settings of a decoder.
pub(super) trait Opens {
    /// Makes the decoder.
    ///
    /// # Errors
    /// If settings do not go together, or a file that all samples share cannot be read.
    fn open(&self, folder: &Path) -> Result<Box<dyn Decode>>;
}

impl Decoding {
    /// The column of a modality.
    pub(in crate::sets) fn column<'a>(&'a self, modality: &'a str) -> &'a str {
        self.column.as_deref().unwrap_or(modality)
    }

    /// The file or folder that a cell is decoded from; none of a text that stands in the cell itself.
    pub(in crate::sets) fn source(&self, folder: &Path, cell: &str) -> Option<PathBuf> {
        match (&self.array, &self.text) {
            (Some(array), _) => Some(folder.join(&array.file)),
            (None, Some(text)) if !text.files => None,
            _ => Some(folder.join(cell)),
        }
    }

    /// Checks that one decoder is given.
    pub(in crate::sets) fn one(&self, place: &str) -> Result<()> {
        match self.given().len() {
            1 => Ok(()),
            number => {
                let problem = format!("names {number} decoders");
                Err(Error::invalid(place, problem, format!("give one of {}", NAMES.join(", "))))
            }
        }
    }

    /// Checks that no decoder is given but the one of this name.
    pub(in crate::sets) fn only(&self, name: &str) -> Result<()> {
        let place = format!("data.{name}");
        self.one(&place)?;
        let own = match name {
            "image" => self.image.is_some(),
            "audio" => self.audio.is_some(),
            _ => self.text.is_some(),
        };
        let remedy = || format!("give it `{name}`, or nothing for its defaults");
        if own { Ok(()) } else { Err(Error::invalid(place, "names another decoder", remedy())) }
    }

    /// Makes the decoder that is given; of samples that were kept before, whose shape is `kept`, without their array.
    pub(super) fn open(&self, place: &str, folder: &Path, kept: Option<&[usize]>) -> Result<Box<dyn Decode>> {
        self.one(place)?;
        match kept.filter(|_| self.array.is_some()) {
            Some(shape) => Ok(Box::new(Array { data: vec![], shape: shape.to_vec() })),
            None => self.given()[0].open(folder),
        }
    }

    /// Makes the decoder as it was for a training split, with what it learnt there.
    pub(super) fn open_fitted(&self, place: &str, folder: &Path, learnt: &Learnt) -> Result<Box<dyn Decode>> {
        self.one(place)?;
        match &self.text {
            Some(text) => text.open_fitted(learnt.clone()),
            None => self.given()[0].open(folder),
        }
    }
}

/// Refuses the decoders of media in a build without them.
#[cfg(not(feature = "media"))]
macro_rules! without_media {
    ($($type:ty),+) => { $(
        impl Opens for $type {
            fn open(&self, _: &Path) -> Result<Box<dyn Decode>> {
                let remedy = "build the program with `--features media`, or use the installed one";
                Err(Error::invalid("data.modalities", "this program decodes no recordings and pictures", remedy))
            }
        }
    )+ };
}
#[cfg(not(feature = "media"))]
without_media!(Audio, Image, Frames, Video);
