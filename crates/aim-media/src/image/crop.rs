//! Crops and mirror images.

use super::picture::Picture;
use super::region::Region;
use crate::Result;

impl Picture {
    /// Part of the picture.
    ///
    /// # Errors
    /// A region that is empty or reaches beyond the picture.
    pub fn crop(&self, region: &Region) -> Result<Self> {
        region.check(self.width, self.height)?;
        let rows = (region.y..region.y + region.height).map(|y| self.row(y));
        let mut rgb = Vec::with_capacity(3 * region.width * region.height);
        rows.for_each(|row| rgb.extend_from_slice(&row[3 * region.x..3 * (region.x + region.width)]));
        Ok(Self { width: region.width, height: region.height, rgb })
    }

    /// The picture itself where the region is all of it, else a part.
    ///
    /// # Errors
    /// As [`Picture::crop`].
    pub fn into_crop(self, region: &Region) -> Result<Self> {
        if *region == Region::whole(self.width, self.height) { Ok(self) } else { self.crop(region) }
    }

    /// Mirrors left and right.
    pub fn flip(&mut self) {
        self.rgb.chunks_exact_mut(3 * self.width).for_each(|row| row.as_chunks_mut::<3>().0.reverse());
    }
}
