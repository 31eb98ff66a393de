//! A decoded recording, and a part of one.

use std::ops::Range;

use crate::{Error, Result};

/// Sound as numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Sound {
    /// Samples a second.
    pub rate: u32,
    /// Samples of each channel, all of one length; integers of `b` bits are divided by `2^(b - 1)`.
    pub channels: Vec<Vec<f32>>,
}

impl Sound {
    /// Number of samples of a channel.
    #[must_use]
    pub fn frames(&self) -> usize {
        self.channels.first().map_or(0, Vec::len)
    }

    /// Length in seconds.
    #[must_use]
    pub fn seconds(&self) -> f64 {
        self.frames() as f64 / f64::from(self.rate)
    }

    /// Mean of the channels.
    #[must_use]
    pub fn mono(mut self) -> Vec<f32> {
        if self.channels.len() == 1 {
            return self.channels.swap_remove(0);
        }
        let count = self.channels.len() as f32;
        (0..self.frames()).map(|i| self.channels.iter().map(|channel| channel[i]).sum::<f32>() / count).collect()
    }
}

/// A part of a recording, from `start` to `end` in seconds; the nearest samples are its borders.
///
/// An end behind that of the recording is the recording's.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Part {
    /// Seconds that are left out at the beginning; none where absent.
    pub start: Option<f64>,
    /// Second at which the part ends; the end of the recording where absent.
    pub end: Option<f64>,
}

impl Part {
    /// Refuses times that name no part of any recording.
    ///
    /// # Errors
    /// A negative time or one that is no number, an end that is not behind the start.
    pub(crate) fn check(&self, place: &str) -> Result<()> {
        let fault =
            |problem| Err(Error::new(place, problem, "give seconds, the end behind the start, neither negative"));
        for (name, time) in [("start", self.start), ("end", self.end)] {
            if let Some(time) = time.filter(|time| !time.is_finite() || *time < 0.0) {
                return fault(format!("the {name} {time} is no time"));
            }
        }
        match self.end {
            Some(end) if end <= self.from() => fault(format!("the part from {} s to {end} s is empty", self.from())),
            _ => Ok(()),
        }
    }

    /// Start in seconds.
    pub(crate) fn from(&self) -> f64 {
        self.start.unwrap_or(0.0)
    }

    /// Numbers of the samples at a rate; without an end up to the largest number.
    pub(crate) fn frames(&self, rate: u32) -> Range<u64> {
        let nearest = |time: f64| (time * f64::from(rate)).round() as u64;
        nearest(self.from())..self.end.map_or(u64::MAX, nearest)
    }
}

#[cfg(test)]
mod tests {
    use super::{Part, Sound};

    #[test]
    fn a_part_begins_and_ends_at_the_nearest_samples() {
        // 0.1 s at 16,000 is sample 1,600; 0.10004 s is 1,600.64, nearest 1,601.
        let part = Part { start: Some(0.1), end: Some(0.10004) };
        assert_eq!(part.frames(16_000), 1600..1601);
        assert_eq!(Part::default().frames(8000), 0..u64::MAX);
    }

    #[test]
    fn times_that_name_no_part_are_refused() {
        let parts = [(Some(-1.0), None), (Some(f64::NAN), None), (Some(2.0), Some(2.0)), (None, Some(f64::INFINITY))];
        for (start, end) in parts {
            assert!(Part { start, end }.check("row 3").unwrap_err().to_string().starts_with("row 3: "));
        }
        assert!(Part { start: Some(0.0), end: Some(0.5) }.check("").is_ok());
    }

    #[test]
    fn mono_is_the_mean_of_the_channels() {
        let sound = Sound { rate: 2, channels: vec![vec![1.0, 0.5], vec![0.0, -0.5]] };
        assert_eq!(sound.seconds(), 1.0);
        assert_eq!(sound.mono(), [0.5, 0.0]);
    }
}
