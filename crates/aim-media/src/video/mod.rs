//! Video, and sound that is not decoded by [`crate::audio`], through the programs `ffmpeg` and `ffprobe` on the PATH.
//!
//! They are given no network, no keyboard and no more than a set time and a set amount of output, and decode on one
//! thread: to decode many files, run several at once.

mod frames;
mod probe;
mod process;
mod recording;
mod sound;
#[cfg(test)]
mod tests;
mod tools;

use std::time::Duration;

pub use frames::{Frames, Moments, frames};
pub use probe::{About, Moving, probe};
pub use recording::recording;
pub use sound::sound;

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
