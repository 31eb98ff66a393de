//! Scales with round numbers.

/// A stretch of numbers, and the round ones in it.
pub(super) struct Axis {
    low: f64,
    high: f64,
    step: f64,
}

impl Axis {
    /// One that holds all the numbers, with a little room at both ends; none without two different ones.
    pub fn of(numbers: impl Iterator<Item = f64>) -> Option<Self> {
        let (low, high) = range(numbers);
        let room = 0.04 * (high - low);
        (high > low).then(|| Self { low: low - room, high: high + room, step: round((high - low) / 4.) })
    }

    /// Where a number lies, from 0 to 1.
    pub fn place(&self, number: f64) -> f64 {
        (number - self.low) / (self.high - self.low)
    }

    /// The round numbers, each with how it is written.
    pub fn ticks(&self) -> Vec<(f64, String)> {
        let decimals = (-self.step.log10().floor()).max(0.) as usize;
        let (first, last) = ((self.low / self.step).ceil() as i64, (self.high / self.step).floor() as i64);
        let number = |i| i as f64 * self.step;
        (first..=last).map(|i| (number(i), format!("{:.decimals$}", number(i)))).collect()
    }
}

/// The next of 1, 2 and 5 times a power of ten.
fn round(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    [1., 2., 5.]
        .into_iter()
        .map(|digit| digit * power)
        .find(|round| *round >= step * (1. - 1e-9))
        .unwrap_or(10. * power)
}

/// The smallest and the largest.
pub(super) fn range(numbers: impl Iterator<Item = f64>) -> (f64, f64) {
    numbers.fold((f64::MAX, f64::MIN), |(low, high), v| (low.min(v), high.max(v)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_within() {
        let ticks = |numbers: &[f64]| {
            let axis = Axis::of(numbers.iter().copied()).unwrap();
            axis.ticks().into_iter().map(|(_, text)| text).collect::<Vec<_>>()
        };
        // A quarter of .909 is .227, so steps of .5; of .04, .01; of 3000, 1000.
        assert_eq!(ticks(&[0.091, 1.]), ["0.5", "1.0"]);
        assert_eq!(ticks(&[-0.01, 0.03]), ["-0.01", "0.00", "0.01", "0.02", "0.03"]);
        assert_eq!(ticks(&[10., 3010.]), ["0", "1000", "2000", "3000"]);
        assert!(Axis::of([0.5, 0.5].into_iter()).is_none() && Axis::of(std::iter::empty()).is_none());
        let axis = Axis::of([0., 1.].into_iter()).unwrap();
        assert!((axis.place(0.5) - 0.5).abs() < 1e-12 && axis.place(0.) > 0. && axis.place(1.) < 1.);
    }
}
