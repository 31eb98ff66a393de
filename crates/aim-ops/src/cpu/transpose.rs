//! Transposed copies.

/// Side of the squares that are transposed at once.
const SIDE: usize = 8;

/// `out[r * stride + c] = values[r * rs + c * cs]`, in squares so that both sides stay in the cache.
#[inline(always)]
pub(crate) fn transpose(
    values: &[f32],
    [rs, cs]: [usize; 2],
    [rows, cols]: [usize; 2],
    out: &mut [f32],
    stride: usize,
) {
    for c0 in (0..cols).step_by(SIDE) {
        // Along the rows, which are what follows each other in `values` where it is worth a square.
        for r0 in (0..rows).step_by(SIDE) {
            let (h, w) = ((rows - r0).min(SIDE), (cols - c0).min(SIDE));
            if rs == 1 && h == SIDE && w == SIDE {
                square(&values[c0 * cs + r0..], cs, &mut out[r0 * stride + c0..], stride);
                continue;
            }
            for r in r0..r0 + h {
                for c in c0..c0 + w {
                    out[r * stride + c] = values[r * rs + c * cs];
                }
            }
        }
    }
}

/// Transposes a square whose rows are `from_stride` apart; `out`'s are `stride` apart.
#[inline(always)]
fn square(from: &[f32], from_stride: usize, out: &mut [f32], stride: usize) {
    assert!(from.len() >= 7 * from_stride + SIDE && out.len() >= 7 * stride + SIDE, "square out of bounds");
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has the instruction set, and both squares are within bounds.
        return unsafe { avx2::square(from.as_ptr(), from_stride, out.as_mut_ptr(), stride) };
    }
    for r in 0..SIDE {
        for c in 0..SIDE {
            out[c * stride + r] = from[r * from_stride + c];
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    /// Transposes a square of eight in registers: pairs, then quarters of rows, then halves.
    ///
    /// # Safety
    /// Eight rows of eight must be readable and writable at the given strides.
    #[target_feature(enable = "avx2")]
    #[inline]
    pub(super) unsafe fn square(from: *const f32, from_stride: usize, out: *mut f32, stride: usize) {
        // SAFETY: the caller's promise.
        let row = |r: usize| unsafe { _mm256_loadu_ps(from.add(r * from_stride)) };
        let quarter = |a: usize| {
            let (low, high) = (_mm256_unpacklo_ps(row(a), row(a + 1)), _mm256_unpackhi_ps(row(a), row(a + 1)));
            let (low2, high2) =
                (_mm256_unpacklo_ps(row(a + 2), row(a + 3)), _mm256_unpackhi_ps(row(a + 2), row(a + 3)));
            [
                _mm256_shuffle_ps::<0x44>(low, low2),
                _mm256_shuffle_ps::<0xee>(low, low2),
                _mm256_shuffle_ps::<0x44>(high, high2),
                _mm256_shuffle_ps::<0xee>(high, high2),
            ]
        };
        let (top, bottom) = (quarter(0), quarter(4));
        for i in 0..4 {
            let (left, right) =
                (_mm256_permute2f128_ps::<0x20>(top[i], bottom[i]), _mm256_permute2f128_ps::<0x31>(top[i], bottom[i]));
            // SAFETY: the caller's promise.
            unsafe {
                _mm256_storeu_ps(out.add(i * stride), left);
                _mm256_storeu_ps(out.add((i + 4) * stride), right);
            }
        }
    }
}
