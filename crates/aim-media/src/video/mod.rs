//! Video, and sound that is not decoded by [`crate::audio`], through the programs `ffmpeg` and `ffprobe` on the PATH.
//!
//! They are given no network, no keyboard and no more than a set time and a set amount of output, and decode on one
//! thread: who has many files decodes several at once.

mod frames;
mod probe;
mod process;
mod recording;
mod sound;
#[cfg(test)]
mod tests;
mod tools;

use std::path::Path;
use std::time::Duration;

pub use frames::{Frames, Moments, frames};
pub use probe::{About, Moving, probe};
pub use recording::recording;
pub use sound::sound;

use crate::{Error, Result};

/// Bounds of what a program may use for a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Time after which it is ended.
    pub time: Duration,
    /// Bytes of decoded output that are accepted.
    pub bytes: usize,
}

impl Default for Limits {
    /// Five minutes and 400 MiB.
    fn default() -> Self {
        Self { time: Duration::from_secs(300), bytes: 400 << 20 }
    }
}

/// Whether the programs are there.
#[must_use]
pub fn available() -> bool {
    tools::Tools::found("ffmpeg").is_ok()
}

/// Refuses a file whose content ends well before the length that its header promises: programs play what is there.
///
/// # Errors
/// Less than nine tenths of the length and half a second.
fn whole(path: &Path, found: f64, promised: Option<f64>) -> Result<()> {
    match promised {
        Some(promised) if found < 0.9 * promised - 0.5 => {
            let problem = format!("cut short: the header promises {promised:.2} s, the file has {found:.2} s");
            Err(Error::new(path.display(), problem, "fetch or export the file again"))
        }
        _ => Ok(()),
    }
}
