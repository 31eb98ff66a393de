//! Sound of what `ffmpeg` decodes.

use std::path::Path;

use super::Limits;
use super::probe::whole;
use super::tools::Tools;
use crate::audio::{NO_SAMPLES, Options, Part, Sound, decode};
use crate::{Error, Result};

/// Sound of a file's first stream of sound, at its own rate or another.
///
/// Times of a part are counted from the first sample, wherever the pictures begin.
///
/// # Errors
/// No `ffmpeg` on the PATH, a file without sound that it decodes, a file that is cut short, a limit that is reached,
/// and all of [`decode`].
pub fn sound(path: &Path, rate: Option<u32>, options: &Options, limits: &Limits) -> Result<Sound> {
    let place = path.display().to_string();
    options.part.check(&place)?;
    let tools = Tools::found(&place)?;
    // The program cuts at whole seconds, which are whole samples at any rate; the exact cut is ours.
    let skipped = options.part.from().floor();
    let mut filter = format!("asetpts=N/SR/TB,atrim=start={skipped}");
    if let Some(end) = options.part.end {
        filter += &format!(":end={}", end.ceil() + 1.0);
    }
    let before = ["-nostdin", "-threads", "1"];
    let behind = ["-map", "0:a:0", "-af", &filter, "-c:a", "pcm_f32le", "-map_metadata", "-1", "-bitexact"];
    let behind = [behind.as_slice(), &["-f", "wav", "pipe:1"]].concat();
    let wav = Tools::output(&tools.ffmpeg, &before, path, &behind, limits)?;
    let part = Part { start: Some(options.part.from() - skipped), end: options.part.end.map(|end| end - skipped) };
    let sound = decode(&wav, &place, &Options { part, ..*options }).map_err(|error| late(error, options, skipped))?;
    if options.part == Part::default() {
        whole(path, sound.seconds(), limits)?;
    }
    let rate = rate.unwrap_or(sound.rate);
    sound.at(rate, &place)
}

/// The error with what was skipped in mind: nothing is left where the part begins behind the end.
fn late(error: Error, options: &Options, skipped: f64) -> Error {
    if skipped == 0.0 || error.problem != NO_SAMPLES {
        return error;
    }
    let problem = format!("the part begins at {:.3} s, where the sound has ended", options.part.from());
    Error::new(error.place, problem, "give a start within the recording")
}
