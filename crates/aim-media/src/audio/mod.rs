//! Recordings as numbers: decoding, another rate, a given length.
//!
//! The content of a file decides how it is read, never its name: WAV (integers of 8 to 32 bits, floats, A-law,
//! mu-law, ADPCM), AIFF, FLAC, MP3 and Ogg Vorbis are decoded here, everything else by the module `video`.

#[cfg(feature = "decode")]
pub mod fit;
mod format;
mod mixer;
#[cfg(feature = "decode")]
mod ogg;
#[cfg(feature = "decode")]
mod packed;
#[cfg(feature = "decode")]
mod resample;
mod sound;
#[cfg(feature = "decode")]
#[cfg(test)]
pub(crate) mod testing;
#[cfg(feature = "decode")]
#[cfg(test)]
mod tests;
mod wav;

#[cfg(feature = "decode")]
use std::path::Path;

pub use format::Format;
#[cfg(feature = "decode")]
pub(crate) use mixer::NO_SAMPLES;
#[cfg(feature = "decode")]
pub use resample::resample;
pub use sound::{Part, Sound};

use crate::{Error, Result, disguise};

/// Largest file that is read, in bytes.
#[cfg(feature = "decode")]
const MAX_BYTES: u64 = 4 << 30;

/// What is wanted of a recording.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// Whether channels become their mean.
    pub mono: bool,
    /// Part of the recording that is wanted.
    pub part: Part,
    /// Longest sound that is accepted, in seconds; decoded it may take 2 GiB at most, whatever its rate and channels.
    pub longest: f64,
}

impl Default for Options {
    /// The whole recording in mono, of at most an hour.
    fn default() -> Self {
        Self { mono: true, part: Part::default(), longest: 3600.0 }
    }
}

/// Sound of a WAV file's content; `place` names the file in errors. ADPCM needs the feature `decode`.
///
/// # Errors
/// Those of [`Format::Wav`]'s content: no WAV file, one that ends before what its header promises or whose header
/// leaves sound out, samples that are not finite, a part outside the recording, a sound longer than
/// [`Options::longest`].
pub fn wav(bytes: &[u8], place: &str, options: &Options) -> Result<Sound> {
    disguise::refuse(bytes, place)?;
    options.part.check(place)?;
    if Format::of(bytes) != Some(Format::Wav) {
        return Err(Error::new(place, "no WAV file", "fetch or export the file again"));
    }
    wav::decode(format::behind_tags(bytes), place, options)
}

/// Sound of a file's content; `place` names the file in errors.
///
/// # Errors
/// No sound that can be read here, content that ends before what its header promises, damaged content, samples that
/// are not finite, a part outside the recording, a sound longer than [`Options::longest`].
#[cfg(feature = "decode")]
pub fn decode(bytes: &[u8], place: &str, options: &Options) -> Result<Sound> {
    disguise::refuse(bytes, place)?;
    options.part.check(place)?;
    let remedy = "convert it to FLAC with ffmpeg, or read it as video (needs the program ffmpeg)";
    let format = Format::of(bytes).ok_or_else(|| Error::new(place, "no recording of a known format", remedy))?;
    match format {
        Format::Wav => wav::decode(format::behind_tags(bytes), place, options),
        _ => packed::decode(bytes, format, place, options),
    }
}

/// Sound of a file.
///
/// # Errors
/// As [`decode`], and a file that cannot be read.
#[cfg(feature = "decode")]
pub fn read(path: &Path, options: &Options) -> Result<Sound> {
    let (place, bytes) = (path.display().to_string(), disguise::head(path, MAX_BYTES + 1)?);
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Error::new(place, "the file holds more than 4 GiB", "cut the recording into parts"));
    }
    decode(&bytes, &place, options)
}
