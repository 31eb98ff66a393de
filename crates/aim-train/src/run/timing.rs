//! How long a run's epochs took; nothing depends on it.

use serde::{Deserialize, Serialize};

/// Seconds of the epochs done, and of the one that has begun so far.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timing {
    /// Of each epoch.
    pub epochs: Vec<f64>,
    /// Of the one that has begun; 0 between two epochs.
    pub begun: f64,
}

/// The last line of the file within an epoch; whoever reads numbers passes over it.
#[derive(Serialize, Deserialize)]
struct Begun {
    begun: f64,
}

impl Timing {
    /// Lines of the file: one an epoch.
    pub(super) fn to_lines(&self) -> String {
        let mut lines: String = self.epochs.iter().map(|seconds| format!("{seconds:?}\n")).collect();
        if self.begun > 0. {
            lines += &format!("{{\"begun\":{:?}}}\n", self.begun);
        }
        lines
    }

    /// What a file says of the first `epochs` epochs, and of the next if it has begun, as far as it can be read.
    pub(super) fn of(text: &str, epochs: usize, begun: bool) -> Self {
        let line = |line: &str| serde_json::from_str::<Begun>(line).ok();
        let begun = text.lines().filter(|_| begun).find_map(line).map_or(0., |line| line.begun);
        Self { epochs: text.lines().filter_map(|line| line.parse().ok()).take(epochs).collect(), begun }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_as_far_as_it_is_asked_for() {
        let timing = Timing { epochs: vec![1.5, 0.25], begun: 3. };
        let text = timing.to_lines();
        assert_eq!(text, "1.5\n0.25\n{\"begun\":3.0}\n");
        assert_eq!(Timing::of(&text, 2, true), timing);
        assert_eq!(Timing::of(&text, 1, false), Timing { epochs: vec![1.5], begun: 0. });
        assert_eq!(Timing::of("1.5\n\u{fffd}", 2, true), Timing { epochs: vec![1.5], begun: 0. });
    }
}
