//! Rectangles of pixels.

use crate::{Error, Result};

/// A rectangle of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// Number of columns left of it.
    pub x: usize,
    /// Number of rows above it.
    pub y: usize,
    /// Number of columns.
    pub width: usize,
    /// Number of rows.
    pub height: usize,
}

impl Region {
    /// Whole of a picture of a given size.
    #[must_use]
    pub fn whole(width: usize, height: usize) -> Self {
        Self { x: 0, y: 0, width, height }
    }

    /// Refuses a rectangle that is empty or reaches beyond a picture of a given size.
    ///
    /// # Errors
    /// Such a rectangle.
    pub fn check(&self, width: usize, height: usize) -> Result<()> {
        let inside =
            |start: usize, length: usize, side| length > 0 && start.checked_add(length).is_some_and(|e| e <= side);
        if inside(self.x, self.width, width) && inside(self.y, self.height, height) {
            return Ok(());
        }
        let Self { x, y, width: w, height: h } = self;
        let problem = format!("{w} x {h} pixels from ({x}, {y}) on do not lie in a picture of {width} x {height}");
        Err(Error::new("region", problem, "choose a smaller one, or resize the picture first"))
    }
}
