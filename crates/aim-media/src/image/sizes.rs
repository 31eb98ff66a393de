//! Sizes and regions by torchvision's rules.

use super::picture::Picture;
use super::region::Region;
use crate::Result;

impl Region {
    /// Middle of a picture of a given size, of `width` x `height` pixels. Where the rest does not halve, the region
    /// begins at the even one of the two pixels (as Python rounds).
    ///
    /// # Errors
    /// A region that is empty or larger than the picture.
    pub fn centre([wide, high]: [usize; 2], [width, height]: [usize; 2]) -> Result<Self> {
        let start = |side: usize, length: usize| (side.saturating_sub(length) as f64 / 2.0).round_ties_even() as usize;
        let region = Self { x: start(wide, width), y: start(high, height), width, height };
        region.check(wide, high)?;
        Ok(region)
    }
}

/// Width and height at which the shorter side has a given length and the longer one keeps its share, rounded down.
#[must_use]
pub fn shorter_side(width: usize, height: usize, length: usize) -> [usize; 2] {
    let share = |long: usize, short: usize| length.saturating_mul(long) / short.max(1);
    if width <= height { [length, share(height, width)] } else { [share(width, height), length] }
}

impl Picture {
    /// The picture with its shorter side at a given length.
    ///
    /// # Errors
    /// As [`Picture::resize`].
    pub fn resize_shorter(&self, length: usize) -> Result<Self> {
        let [width, height] = shorter_side(self.width, self.height, length);
        self.resize(width, height)
    }

    /// Middle of the picture.
    ///
    /// # Errors
    /// As [`Region::centre`].
    pub fn crop_centre(&self, width: usize, height: usize) -> Result<Self> {
        self.crop(&Region::centre([self.width, self.height], [width, height])?)
    }
}
