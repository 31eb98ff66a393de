//! Video as images.

use aim_core::Result;
use candle_core::Tensor;

/// Folds the frames of a video `[B, C, T, H, W]` into the batch and says how many a sample has; an image is one frame.
pub(crate) fn fold(x: &Tensor) -> Result<(Tensor, usize)> {
    let [b, c, t, h, w] = *x.dims() else { return Ok((x.clone(), 1)) };
    Ok((x.transpose(1, 2)?.reshape((b * t, c, h, w))?, t))
}
