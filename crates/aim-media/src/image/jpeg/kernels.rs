//! Inner loops, compiled twice: for any processor, and for those with AVX2.

use super::super::picture::Picture;
use super::super::region::Region;
use super::colour::Colours;
use super::plane::Plane;
use super::{idct, render};

/// Transform of a block: coefficients, samples, samples per row.
pub(super) type Transform = fn(&[i32; 64], &mut [u8], usize);

/// The transform for this processor.
pub(super) fn transform() -> Transform {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return |block, out, stride| unsafe { transform_avx2(block, out, stride) };
    }
    idct::transform
}

/// Pixels of a region from its planes.
pub(super) fn pixels(planes: &[Plane], factors: &[[usize; 2]], colours: Colours, region: &Region) -> Picture {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { pixels_avx2(planes, factors, colours, region) };
    }
    render::pixels(planes, factors, colours, region)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn transform_avx2(block: &[i32; 64], out: &mut [u8], stride: usize) {
    idct::transform(block, out, stride);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn pixels_avx2(planes: &[Plane], factors: &[[usize; 2]], colours: Colours, region: &Region) -> Picture {
    render::pixels(planes, factors, colours, region)
}
