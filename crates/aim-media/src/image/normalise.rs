//! Pictures as numbers for a network.

use super::picture::Picture;
use crate::{Error, Result};

/// Mean and standard deviation of each colour on the scale of 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normalisation {
    mean: [f32; 3],
    deviation: [f32; 3],
}

impl Normalisation {
    /// Those of ImageNet.
    pub const IMAGENET: Self = Self { mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225] };
    /// Mean and deviation one half: values from -1 to 1, as Google's vision transformers read them.
    pub const SIGNED: Self = Self { mean: [0.5; 3], deviation: [0.5; 3] };
    /// Neither shift nor scale: values from 0 to 1.
    pub const NONE: Self = Self { mean: [0.0; 3], deviation: [1.0; 3] };

    /// Means and standard deviations of red, green and blue.
    ///
    /// # Errors
    /// A mean that is not finite, or a deviation that is not positive and finite.
    pub fn new(mean: [f32; 3], deviation: [f32; 3]) -> Result<Self> {
        if mean.iter().all(|m| m.is_finite()) && deviation.iter().all(|d| d.is_finite() && *d > 0.0) {
            return Ok(Self { mean, deviation });
        }
        let problem = format!("means {mean:?} and deviations {deviation:?} cannot be used");
        Err(Error::new("normalisation", problem, "give finite means and positive deviations"))
    }

    /// Values `[3, height, width]` of a picture: `(v / 255 - mean) / deviation`, in single precision as in PyTorch.
    #[must_use]
    pub fn apply(&self, picture: &Picture) -> Vec<f32> {
        let mut out = vec![0.0; picture.rgb.len()];
        self.apply_to(picture, &mut out);
        out
    }

    /// Writes the values `[3, height, width]` of a picture to the start of `out`, as far as that reaches.
    pub fn apply_to(&self, picture: &Picture, out: &mut [f32]) {
        let pixels = picture.rgb.as_chunks::<3>().0;
        for (c, plane) in out.chunks_mut(pixels.len()).take(3).enumerate() {
            let table: [f32; 256] = std::array::from_fn(|v| (v as f32 / 255.0 - self.mean[c]) / self.deviation[c]);
            plane.iter_mut().zip(pixels).for_each(|(out, pixel)| *out = table[usize::from(pixel[c])]);
        }
    }
}
