//! Rows of a pooling, eight elements at a time: the compiler makes single moves of these loops, or vectors longer than
//! rows.

use super::simd::by_vectors;

/// `out[2 * i] = even[i]`, `out[2 * i + 1] = odd[i]`.
#[inline(always)]
pub(super) fn interleave((even, odd): (&[f32], &[f32]), out: &mut [f32]) {
    let done = by_vectors!(interleave(even, odd, out));
    for (i, out) in out.iter_mut().enumerate().skip(done) {
        *out = if i % 2 == 0 { even[i / 2] } else { odd[i / 2] };
    }
}

/// Raises each `y` to `x` and sets its `best` to `tap`, where that is more. NaN wins and stays.
#[inline(always)]
pub(super) fn raise(y: &mut [f32], best: &mut [u8], x: &[f32], tap: u8) {
    let done = by_vectors!(raise(y, best, x, tap));
    for ((y, best), x) in y.iter_mut().zip(best).zip(x).skip(done) {
        if !(*x <= *y || y.is_nan()) {
            (*y, *best) = (*x, tap);
        }
    }
}

/// Adds each `dy` whose `best` is `tap`.
#[inline(always)]
pub(super) fn pass(dx: &mut [f32], best: &[u8], dy: &[f32], tap: u8) {
    let done = by_vectors!(pass(dx, best, dy, tap));
    for ((dx, best), dy) in dx.iter_mut().zip(best).zip(dy).skip(done) {
        *dx += if *best == tap { *dy } else { 0. };
    }
}

/// Adds `factor` times each `x`.
#[inline(always)]
pub(super) fn add(y: &mut [f32], x: &[f32], factor: f32) {
    let (ys, y_rest) = y.as_chunks_mut::<8>();
    let (xs, x_rest) = x.as_chunks::<8>();
    for (y, x) in ys.iter_mut().zip(xs) {
        for i in 0..8 {
            y[i] += x[i] * factor;
        }
    }
    for (y, x) in y_rest.iter_mut().zip(x_rest) {
        *y += x * factor;
    }
}

/// Each function treats as many whole vectors as all operands hold and says how many elements of the result that was.
#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx2")]
    #[inline]
    pub(super) fn interleave(even: &[f32], odd: &[f32], out: &mut [f32]) -> usize {
        let (even, odd, out) = (even.as_chunks::<8>().0, odd.as_chunks::<8>().0, out.as_chunks_mut::<16>().0);
        for ((even, odd), out) in even.iter().zip(odd).zip(&mut *out) {
            // SAFETY: eight elements of each are read and sixteen are written.
            unsafe {
                let (e, o) = (_mm256_loadu_ps(even.as_ptr()), _mm256_loadu_ps(odd.as_ptr()));
                let (low, high) = (_mm256_unpacklo_ps(e, o), _mm256_unpackhi_ps(e, o));
                _mm256_storeu_ps(out.as_mut_ptr(), _mm256_permute2f128_ps::<0x20>(low, high));
                _mm256_storeu_ps(out.as_mut_ptr().add(8), _mm256_permute2f128_ps::<0x31>(low, high));
            }
        }
        16 * even.len().min(odd.len()).min(out.len())
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    pub(super) fn raise(y: &mut [f32], best: &mut [u8], x: &[f32], tap: u8) -> usize {
        let (y, best, x) = (y.as_chunks_mut::<8>().0, best.as_chunks_mut::<8>().0, x.as_chunks::<8>().0);
        let tap = _mm_set1_epi8(tap.cast_signed());
        for ((y, best), x) in y.iter_mut().zip(best.iter_mut()).zip(x) {
            // SAFETY: eight elements of each are read, of two written.
            unsafe {
                let (old, new) = (_mm256_loadu_ps(y.as_ptr()), _mm256_loadu_ps(x.as_ptr()));
                let not_more = _mm256_cmp_ps::<_CMP_LE_OQ>(new, old);
                let stays = _mm256_or_ps(not_more, _mm256_cmp_ps::<_CMP_UNORD_Q>(old, old));
                _mm256_storeu_ps(y.as_mut_ptr(), _mm256_blendv_ps(new, old, stays));
                // The eight masks of four bytes as eight bytes.
                let stays = _mm256_castps_si256(stays);
                let words = _mm_packs_epi32(_mm256_castsi256_si128(stays), _mm256_extracti128_si256::<1>(stays));
                let old = _mm_loadl_epi64(best.as_ptr().cast());
                let new = _mm_blendv_epi8(tap, old, _mm_packs_epi16(words, words));
                _mm_storel_epi64(best.as_mut_ptr().cast(), new);
            }
        }
        8 * y.len().min(best.len()).min(x.len())
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    pub(super) fn pass(dx: &mut [f32], best: &[u8], dy: &[f32], tap: u8) -> usize {
        let (dx, best, dy) = (dx.as_chunks_mut::<8>().0, best.as_chunks::<8>().0, dy.as_chunks::<8>().0);
        let tap = _mm256_set1_epi32(i32::from(tap));
        for ((dx, best), dy) in dx.iter_mut().zip(best).zip(dy) {
            // SAFETY: eight elements of each are read, eight are written.
            unsafe {
                let best = _mm256_cvtepu8_epi32(_mm_loadl_epi64(best.as_ptr().cast()));
                let hit = _mm256_castsi256_ps(_mm256_cmpeq_epi32(best, tap));
                let add = _mm256_and_ps(_mm256_loadu_ps(dy.as_ptr()), hit);
                _mm256_storeu_ps(dx.as_mut_ptr(), _mm256_add_ps(_mm256_loadu_ps(dx.as_ptr()), add));
            }
        }
        8 * dx.len().min(best.len()).min(dy.len())
    }
}
