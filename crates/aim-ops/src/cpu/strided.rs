//! Elements that are two or four apart, put side by side.

use super::simd::by_vectors;

/// `even[i] = from[2 * i]` and `odd[i] = from[2 * i + 1]`.
#[inline(always)]
pub(super) fn split(from: &[f32], even: &mut [f32], odd: &mut [f32]) {
    let done = by_vectors!(split(from, even, odd));
    for i in done..even.len() {
        even[i] = from[2 * i];
    }
    for i in done..odd.len() {
        odd[i] = from[2 * i + 1];
    }
}

/// `out[i] = from[2 * i]`.
#[inline(always)]
pub(super) fn every_second(from: &[f32], out: &mut [f32]) {
    for i in by_vectors!(every_second(from, out))..out.len() {
        out[i] = from[2 * i];
    }
}

/// `out[i] = from[4 * i]`.
#[inline(always)]
pub(super) fn every_fourth(from: &[f32], out: &mut [f32]) {
    for i in by_vectors!(every_fourth(from, out))..out.len() {
        out[i] = from[4 * i];
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    /// Elements 0, 2, ... of sixteen.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn second(a: __m256, b: __m256) -> __m256 {
        let mixed = _mm256_castps_pd(_mm256_shuffle_ps::<0x88>(a, b));
        _mm256_castpd_ps(_mm256_permute4x64_pd::<0xd8>(mixed))
    }

    /// Elements 1, 3, ... of sixteen.
    #[target_feature(enable = "avx2")]
    #[inline]
    fn other(a: __m256, b: __m256) -> __m256 {
        let mixed = _mm256_castps_pd(_mm256_shuffle_ps::<0xdd>(a, b));
        _mm256_castpd_ps(_mm256_permute4x64_pd::<0xd8>(mixed))
    }

    /// Where to begin with eight elements of `n`, `stride` apart in `len`: the last eight overlap those before. (The
    /// compiler makes single moves of a plain loop.)
    #[inline]
    fn eights(n: usize, stride: usize, len: usize) -> impl Iterator<Item = usize> {
        let fit = (len / stride).min(n);
        let count = if fit < 8 { 0 } else { fit.div_ceil(8) };
        (0..count).map(move |i| (8 * i).min(fit - 8))
    }

    /// Says how many elements it has taken: all but those at the end for which `from` is too short.
    #[target_feature(enable = "avx2")]
    #[inline]
    pub(super) fn every_second(from: &[f32], out: &mut [f32]) -> usize {
        let mut done = 0;
        for i in eights(out.len(), 2, from.len()) {
            // SAFETY: sixteen elements can be read and eight be written there.
            unsafe {
                let at = |j| _mm256_loadu_ps(from.as_ptr().add(2 * i + j));
                _mm256_storeu_ps(out.as_mut_ptr().add(i), second(at(0), at(8)));
            }
            done = i + 8;
        }
        done
    }

    /// As [`every_second`], of both halves.
    #[target_feature(enable = "avx2")]
    #[inline]
    pub(super) fn split(from: &[f32], even: &mut [f32], odd: &mut [f32]) -> usize {
        let mut done = 0;
        for i in eights(even.len().min(odd.len()), 2, from.len()) {
            // SAFETY: sixteen elements can be read and eight be written there, twice.
            unsafe {
                let at = |j| _mm256_loadu_ps(from.as_ptr().add(2 * i + j));
                let (a, b) = (at(0), at(8));
                _mm256_storeu_ps(even.as_mut_ptr().add(i), second(a, b));
                _mm256_storeu_ps(odd.as_mut_ptr().add(i), other(a, b));
            }
            done = i + 8;
        }
        done
    }

    /// As [`every_second`].
    #[target_feature(enable = "avx2")]
    #[inline]
    pub(super) fn every_fourth(from: &[f32], out: &mut [f32]) -> usize {
        let mut done = 0;
        for i in eights(out.len(), 4, from.len()) {
            // SAFETY: 32 elements can be read and eight be written there.
            unsafe {
                let at = |j| _mm256_loadu_ps(from.as_ptr().add(4 * i + j));
                let values = second(second(at(0), at(8)), second(at(16), at(24)));
                _mm256_storeu_ps(out.as_mut_ptr().add(i), values);
            }
            done = i + 8;
        }
        done
    }
}
