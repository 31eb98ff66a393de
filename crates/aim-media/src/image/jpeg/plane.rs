//! Planes of samples, of which only the part that is wanted is computed.

use super::super::region::Region;
use super::head::{Component, Frame};

/// Part of a plane, in whole blocks of 8 x 8 samples.
#[derive(Debug)]
pub(super) struct Plane {
    /// Index of the first block kept, across and down.
    pub first: [usize; 2],
    /// Number of blocks kept, across and down.
    pub blocks: [usize; 2],
    /// Size of the whole plane in samples, as far as the picture reaches.
    pub size: [usize; 2],
    /// Samples of the blocks kept, row by row.
    pub samples: Vec<u8>,
}

impl Plane {
    /// An empty plane for the samples that a region of the picture needs.
    pub(super) fn new(frame: &Frame, component: &Component, region: &Region) -> Self {
        let size = size(frame, component);
        let [columns, rows] = [[region.x, region.width], [region.y, region.height]];
        let ranges = [(0, columns), (1, rows)].map(|(axis, [start, length])| {
            let (own, largest) = (component.sampling[axis], frame.largest[axis]);
            // One sample more on each side, for the interpolation.
            let first = (start * own / largest).saturating_sub(1) / 8;
            let end = ((start + length) * own).div_ceil(largest) + 1;
            (first, end.min(size[axis]).div_ceil(8) - first)
        });
        let blocks = ranges.map(|(_, count)| count);
        Self { first: ranges.map(|(first, _)| first), blocks, size, samples: vec![0; 64 * blocks[0] * blocks[1]] }
    }

    /// Number of samples from a row to the next.
    pub(super) fn stride(&self) -> usize {
        8 * self.blocks[0]
    }

    /// Whether a block is kept.
    #[inline(always)]
    pub(super) fn keeps(&self, block: [usize; 2]) -> bool {
        (0..2).all(|axis| block[axis].wrapping_sub(self.first[axis]) < self.blocks[axis])
    }

    /// Samples from the first of a kept block on.
    #[inline(always)]
    pub(super) fn block_mut(&mut self, block: [usize; 2]) -> &mut [u8] {
        let stride = self.stride();
        let at = 8 * ((block[1] - self.first[1]) * stride + block[0] - self.first[0]);
        &mut self.samples[at..]
    }

    /// Row of samples of the whole plane's number `y`, from the first kept block on.
    pub(super) fn row(&self, y: usize) -> &[u8] {
        let stride = self.stride();
        let at = (y - 8 * self.first[1]) * stride;
        &self.samples[at..at + stride]
    }
}

/// Size of a plane in samples, as far as the picture reaches.
pub(super) fn size(frame: &Frame, component: &Component) -> [usize; 2] {
    let pixels = [frame.width, frame.height];
    [0, 1].map(|axis| (pixels[axis] * component.sampling[axis]).div_ceil(frame.largest[axis]))
}
