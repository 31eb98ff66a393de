//! Sound of any file.

use std::path::Path;

use super::{Limits, sound};
use crate::audio::{Format, Options, Sound, read};
use crate::{Result, disguise};

/// Bytes by which a format is known, tags with a picture in front included.
const HEAD: u64 = 16 << 20;

/// Sound of a recording or a video: decoded here where the format is known, otherwise by `ffmpeg`.
///
/// # Errors
/// As [`read`] or [`sound`].
pub fn recording(path: &Path, rate: Option<u32>, options: &Options, limits: &Limits) -> Result<Sound> {
    // A video may be far larger than the memory: the file's first bytes say whether it is read as a whole.
    if Format::of(&disguise::head(path, HEAD)?).is_none() {
        return sound(path, rate, options, limits);
    }
    let place = path.display().to_string();
    let sound = read(path, options)?;
    let rate = rate.unwrap_or(sound.rate);
    sound.at(rate, &place)
}
