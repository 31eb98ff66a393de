//! From decoded pieces to the sound that was asked for.

use std::ops::Range;

use super::{Options, Sound};
use crate::{Error, Result};

/// The problem of a recording without any sample.
pub(crate) const NO_SAMPLES: &str = "the recording holds no samples";

/// Most decoded samples of all channels: 2 GiB of them.
const MAX_SAMPLES: u64 = 1 << 29;

/// Collects the wanted part of a recording, piece by piece.
pub(super) struct Mixer<'a> {
    place: &'a str,
    rate: u32,
    count: usize,
    mono: bool,
    wanted: Range<u64>,
    longest: f64,
    seen: u64,
    out: Vec<Vec<f32>>,
}

impl<'a> Mixer<'a> {
    /// A collector for a recording of `count` channels.
    ///
    /// # Errors
    /// A rate of zero, or no channels.
    pub(super) fn new(place: &'a str, rate: u32, count: usize, options: &Options) -> Result<Self> {
        if rate == 0 || count == 0 {
            let problem = format!("the header says {rate} samples a second and {count} channels");
            return Err(Error::new(place, problem, "export the recording again"));
        }
        let Options { mono, part, longest } = *options;
        if part.frames(rate).is_empty() {
            let problem = format!("the part is shorter than a sample at {rate} Hz");
            return Err(Error::new(place, problem, "give an end further behind the start"));
        }
        let out = vec![Vec::new(); if mono { 1 } else { count }];
        Ok(Self { place, rate, count, mono, wanted: part.frames(rate), longest, seen: 0, out })
    }

    /// Number of frames (samples of all channels at one time) seen, those left out included.
    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    /// Number of the first frame that is wanted.
    pub(super) fn first(&self) -> u64 {
        self.wanted.start
    }

    /// Goes on at another frame, no further than the first that is wanted.
    pub(super) fn jump(&mut self, frame: u64) {
        self.seen = frame.min(self.wanted.start);
    }

    /// Whether all wanted frames are there.
    pub(super) fn full(&self) -> bool {
        self.seen >= self.wanted.end
    }

    /// Refuses a recording whose header promises more than is accepted, before it is decoded.
    ///
    /// # Errors
    /// A wanted part longer than the limit.
    pub(super) fn promise(&self, frames: u64) -> Result<()> {
        self.limit(self.wanted.end.min(frames).saturating_sub(self.wanted.start))
    }

    /// Appends frames, the samples of a frame side by side.
    ///
    /// # Errors
    /// More than the limit.
    pub(super) fn push(&mut self, samples: &[f32]) -> Result<()> {
        let frames = samples.len() / self.count;
        let at = |number: u64| (number.saturating_sub(self.seen)).min(frames as u64) as usize * self.count;
        let piece = &samples[at(self.wanted.start)..at(self.wanted.end)];
        self.seen += frames as u64;
        self.limit((self.out[0].len() + piece.len() / self.count) as u64)?;
        if self.mono {
            let share = self.count as f32;
            self.out[0].extend(piece.chunks_exact(self.count).map(|frame| frame.iter().sum::<f32>() / share));
        } else {
            for (channel, out) in self.out.iter_mut().enumerate() {
                out.extend(piece.iter().skip(channel).step_by(self.count));
            }
        }
        Ok(())
    }

    /// The sound.
    ///
    /// # Errors
    /// No samples at all, none in the wanted part, one that is not finite.
    pub(super) fn finish(self) -> Result<Sound> {
        if self.out[0].is_empty() {
            return Err(self.nothing());
        }
        let odd = self.out.iter().find_map(|channel| Some((channel, channel.iter().position(|x| !x.is_finite())?)));
        if let Some((channel, at)) = odd {
            let problem = format!("sample {} is {}, not a finite number", self.wanted.start + at as u64, channel[at]);
            return Err(Error::new(self.place, problem, "export the recording again"));
        }
        Ok(Sound { rate: self.rate, channels: self.out })
    }

    fn nothing(&self) -> Error {
        let (start, length) = (self.wanted.start as f64, self.seen as f64);
        let seconds = f64::from(self.rate);
        match self.seen {
            0 => Error::new(self.place, NO_SAMPLES, "record it again, or leave it out"),
            _ => Error::new(
                self.place,
                format!("the part begins at {:.3} s, the recording ends at {:.3} s", start / seconds, length / seconds),
                "give a start within the recording",
            ),
        }
    }

    fn limit(&self, frames: u64) -> Result<()> {
        let seconds = frames as f64 / f64::from(self.rate);
        if seconds > self.longest {
            let problem = format!("the sound is longer than the limit of {} s", self.longest);
            return Err(Error::new(self.place, problem, "give a start and an end, or raise the limit"));
        }
        if frames.saturating_mul(self.out.len() as u64) > MAX_SAMPLES {
            let problem = format!("decoded, the sound takes more than 2 GiB at {} Hz", self.rate);
            return Err(Error::new(self.place, problem, "give a start and an end, or cut the recording"));
        }
        Ok(())
    }
}
