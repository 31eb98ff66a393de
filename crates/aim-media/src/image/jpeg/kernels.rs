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

#[cfg(test)]
mod tests {
    use super::{idct, transform};

    /// Coefficients between -`bound` and `bound`.
    fn block(seed: u32, bound: i32) -> [i32; 64] {
        let mut state = seed;
        std::array::from_fn(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as i32 % (2 * bound + 1) - bound
        })
    }

    #[test]
    fn wide_instructions_change_no_sample() {
        for seed in 0..500 {
            let block = block(seed, if seed % 2 == 0 { 300 } else { i32::MAX >> 8 });
            let (mut wide, mut plain) = ([0; 64], [0; 64]);
            transform()(&block, &mut wide, 8);
            idct::transform(&block, &mut plain, 8);
            assert_eq!(wide, plain);
        }
    }

    #[test]
    fn a_block_of_one_coefficient_is_flat() {
        for first in -1100..1100 {
            let (mut block, mut whole, mut flat) = ([0; 64], [0; 64], [0; 64]);
            block[0] = first;
            transform()(&block, &mut whole, 8);
            idct::flat(first, &mut flat, 8);
            assert_eq!(whole, flat, "{first}");
            // An eighth of the coefficient, halves rounded up, around 128.
            assert_eq!(i32::from(whole[0]), (128 + (first + 4).div_euclid(8)).clamp(0, 255));
        }
    }

    #[test]
    fn samples_are_within_one_of_the_exact_transform() {
        let block = block(7, 60);
        let mut samples = [0; 64];
        transform()(&block, &mut samples, 8);
        let scale = |k: usize| if k == 0 { 0.5f64.sqrt() } else { 1.0 };
        let wave = |k: usize, x: usize| scale(k) * (std::f64::consts::PI * k as f64 * (2 * x + 1) as f64 / 16.0).cos();
        for (i, &sample) in samples.iter().enumerate() {
            let terms = (0..64).map(|k| f64::from(block[k]) * wave(k / 8, i / 8) * wave(k % 8, i % 8));
            let exact = (terms.sum::<f64>() / 4.0 + 128.0).clamp(0.0, 255.0);
            assert!((f64::from(sample) - exact).abs() < 1.0, "{i}: {sample}, not {exact}");
        }
    }
}
