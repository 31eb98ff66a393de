//! Pictures in memory.

use crate::{Error, Result};

/// A picture of 8-bit sRGB values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Number of columns.
    pub width: usize,
    /// Number of rows.
    pub height: usize,
    /// Values `[height, width, 3]`, row by row from the top left: red, green, blue of each pixel.
    pub rgb: Vec<u8>,
}

impl Picture {
    /// A picture of given values `[height, width, 3]`.
    ///
    /// # Errors
    /// A side of zero pixels, or a number of values other than `3 * width * height`.
    pub fn new(width: usize, height: usize, rgb: Vec<u8>) -> Result<Self> {
        let values = width.checked_mul(height).and_then(|pixels| pixels.checked_mul(3));
        if width == 0 || height == 0 || values != Some(rgb.len()) {
            let problem = format!("{} values cannot be {height} rows of {width} pixels", rgb.len());
            return Err(Error::new("picture", problem, "give 3 values for each pixel, and at least one pixel"));
        }
        Ok(Self { width, height, rgb })
    }

    /// Values of a row, `[width, 3]`, from the top.
    ///
    /// # Panics
    /// A row beyond the last.
    #[must_use]
    pub fn row(&self, y: usize) -> &[u8] {
        &self.rgb[3 * y * self.width..3 * (y + 1) * self.width]
    }
}
