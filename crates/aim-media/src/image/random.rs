//! Random regions, by torchvision's algorithm.

use super::region::Region;
use crate::{Error, Result};

/// Number of sizes that are tried before the middle is taken.
const TRIES: usize = 10;

/// Random regions of a picture, which are then resized to one size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RandomCrop {
    /// Smallest and largest share of the picture's area, drawn evenly.
    scale: [f64; 2],
    /// Smallest and largest ratio of width to height; its logarithm is drawn evenly.
    ratio: [f64; 2],
}

impl Default for RandomCrop {
    /// The usual one: 8 to 100 % of the area, 3:4 to 4:3.
    fn default() -> Self {
        Self { scale: [0.08, 1.0], ratio: [3.0 / 4.0, 4.0 / 3.0] }
    }
}

impl RandomCrop {
    /// Regions of a range of shares of the area and a range of ratios of width to height.
    ///
    /// # Errors
    /// A bound that is not positive and finite, a share above 1, or a range that ends before it begins.
    pub fn new(scale: [f64; 2], ratio: [f64; 2]) -> Result<Self> {
        let range = |[low, high]: [f64; 2]| 0.0 < low && low <= high && high.is_finite();
        if range(scale) && range(ratio) && scale[1] <= 1.0 {
            return Ok(Self { scale, ratio });
        }
        let problem = format!("shares {scale:?} of the area and ratios {ratio:?} cannot be drawn from");
        let remedy = "give two positive numbers each, the smaller first, and shares of at most 1";
        Err(Error::new("random crop", problem, remedy))
    }

    /// A region of a picture of a given size, by numbers drawn evenly from [0, 1): four for each size that is tried and
    /// fits, two for each that does not.
    pub fn draw(&self, [width, height]: [usize; 2], mut uniform: impl FnMut() -> f64) -> Region {
        let area = width as f64 * height as f64;
        for _ in 0..TRIES {
            let part = area * between(self.scale, uniform());
            let ratio = between(self.ratio.map(f64::ln), uniform()).exp();
            let side = |square: f64| square.sqrt().round_ties_even() as usize;
            let (wide, high) = (side(part * ratio), side(part / ratio));
            if (1..=width).contains(&wide) && (1..=height).contains(&high) {
                let y = index(height - high + 1, uniform());
                return Region { x: index(width - wide + 1, uniform()), y, width: wide, height: high };
            }
        }
        self.middle(width, height)
    }

    /// Largest region in the middle whose ratio is allowed.
    fn middle(&self, width: usize, height: usize) -> Region {
        let (w, h) = (width as f64, height as f64);
        let round = |side: f64| (side.round_ties_even() as usize).max(1);
        let (wide, high) = match w / h {
            ratio if ratio < self.ratio[0] => (width, round(w / self.ratio[0]).min(height)),
            ratio if ratio > self.ratio[1] => (round(h * self.ratio[1]).min(width), height),
            _ => (width, height),
        };
        Region { x: (width - wide) / 2, y: (height - high) / 2, width: wide, height: high }
    }
}

fn between([low, high]: [f64; 2], share: f64) -> f64 {
    low + (high - low) * share
}

/// One of `count` indices.
fn index(count: usize, share: f64) -> usize {
    ((count as f64 * share) as usize).min(count - 1)
}
