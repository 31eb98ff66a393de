//! Sound of any file.

use std::path::Path;

use super::{Limits, sound};
use crate::audio::{Format, Options, Sound, decode};
use crate::{Result, disguise};

/// Sound of a recording or a video: decoded here where the format is known, otherwise by `ffmpeg`.
///
/// # Errors
/// As [`decode`] or [`sound`].
pub fn recording(path: &Path, rate: Option<u32>, options: &Options, limits: &Limits) -> Result<Sound> {
    let bytes = disguise::head(path, u64::MAX)?;
    if Format::of(&bytes).is_none() {
        drop(bytes);
        return sound(path, rate, options, limits);
    }
    let place = path.display().to_string();
    let sound = decode(&bytes, &place, options)?;
    let rate = rate.unwrap_or(sound.rate);
    sound.at(rate, &place)
}
