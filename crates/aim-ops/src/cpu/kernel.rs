//! The register tile that every matrix product ends in: `C[m][n] (+)= sum_k A[m][k] * B[k][n]`.
//!
//! `B`'s rows are read as vectors, `A`'s elements are broadcast. One kernel is compiled for each instruction set and tile size;
//! the set is chosen at run time.

use std::sync::OnceLock;

/// Distance between two rows of the scratch block that holds `A`.
///
/// A constant, so that the kernels address it without arithmetic; not a power of two, so that rows do not fight for cache sets.
pub(crate) const LDA: usize = 272;

/// Most columns of the scratch block in use.
pub(crate) const KC: usize = 256;

/// One call's operands. Rows of `B` and `C` must be readable (and writable) for `nv` whole vectors.
#[derive(Clone, Copy)]
pub(crate) struct Tile {
    /// Rows of the tile, at most [`Isa::max_rows`].
    pub(crate) mr: usize,
    /// Vectors in a row of the tile: 1, 2 or 4.
    pub(crate) nv: usize,
    /// Length of the sum.
    pub(crate) k: usize,
    /// First element of `A`.
    pub(crate) a: *const f32,
    /// First element of `B`.
    pub(crate) b: *const f32,
    /// Distance between two rows of `B`.
    pub(crate) ldb: usize,
    /// First element of `C`.
    pub(crate) c: *mut f32,
    /// Distance between two rows of `C`.
    pub(crate) ldc: usize,
    /// Whether to add to `C` or to overwrite it.
    pub(crate) accumulate: bool,
}

/// Kernels for one instruction set.
pub(crate) struct Isa {
    /// f32 values in a vector.
    pub(crate) lanes: usize,
    /// Most rows of a tile for 1, 2 and 4 vectors.
    rows: [usize; 3],
    /// `A[m][k]` at `a[m * LDA + k]`.
    by_row: unsafe fn(Tile),
    /// `A[m][k]` at `a[k * LDA + m]`.
    by_column: unsafe fn(Tile),
}

impl Isa {
    /// Most rows of a tile that is `nv` vectors wide.
    pub(crate) fn max_rows(&self, nv: usize) -> usize {
        self.rows[nv / 2]
    }

    /// Runs the kernel for an `A` stored by rows (`A[m][k]` at `a[m * LDA + k]`).
    ///
    /// # Safety
    /// The pointers must be valid for the extents that [`Tile`] describes, `mr` and `nv` within the limits.
    pub(crate) unsafe fn by_row(&self, tile: Tile) {
        debug_assert!(tile.mr <= self.max_rows(tile.nv));
        unsafe { (self.by_row)(tile) }
    }

    /// Runs the kernel for an `A` stored by columns (`A[m][k]` at `a[k * LDA + m]`).
    ///
    /// # Safety
    /// As [`Isa::by_row`].
    pub(crate) unsafe fn by_column(&self, tile: Tile) {
        debug_assert!(tile.mr <= self.max_rows(tile.nv));
        unsafe { (self.by_column)(tile) }
    }
}

/// Generates the tile for one vector type, and the choice among its sizes.
macro_rules! kernels {
    ($vector:ty, $zero:expr, $load:expr, $store:expr, $splat:expr, $fma:expr,
     [$($mr1:literal)*] [$($mr2:literal)*] [$($mr4:literal)*] $(, $feature:literal)?) => {
        $(#[target_feature(enable = $feature)])?
        unsafe fn tile<const MR: usize, const NV: usize, const AM: usize, const AK: usize>(t: Tile) {
            let lanes = size_of::<$vector>() / 4;
            let mut acc = [[$zero; NV]; MR];
            unsafe {
                if t.accumulate {
                    for (m, row) in acc.iter_mut().enumerate() {
                        for (n, v) in row.iter_mut().enumerate() {
                            *v = $load(t.c.add(m * t.ldc + n * lanes));
                        }
                    }
                }
                for k in 0..t.k {
                    let b: [$vector; NV] = std::array::from_fn(|n| $load(t.b.add(k * t.ldb + n * lanes)));
                    for (m, row) in acc.iter_mut().enumerate() {
                        let a = $splat(*t.a.add(m * AM + k * AK));
                        for (v, b) in row.iter_mut().zip(b) {
                            *v = $fma(a, b, *v);
                        }
                    }
                }
                for (m, row) in acc.iter().enumerate() {
                    for (n, v) in row.iter().enumerate() {
                        $store(t.c.add(m * t.ldc + n * lanes), *v);
                    }
                }
            }
        }

        $(#[target_feature(enable = $feature)])?
        unsafe fn pick<const AM: usize, const AK: usize>(t: Tile) {
            unsafe {
                match (t.nv, t.mr) {
                    $((1, $mr1) => tile::<$mr1, 1, AM, AK>(t),)*
                    $((2, $mr2) => tile::<$mr2, 2, AM, AK>(t),)*
                    $((4, $mr4) => tile::<$mr4, 4, AM, AK>(t),)*
                    _ => {}
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    use super::{Isa, LDA, Tile};

    kernels!(__m512, _mm512_setzero_ps(), _mm512_loadu_ps, _mm512_storeu_ps, _mm512_set1_ps, _mm512_fmadd_ps,
        [1 2 3 4 5 6 7 8 9 10 11 12 13 14] [1 2 3 4 5 6 7 8 9 10 11 12 13 14] [1 2 3 4 5 6 7], "avx512f");

    pub(super) static ISA: Isa = Isa { lanes: 16, rows: [14, 14, 7], by_row: pick::<LDA, 1>, by_column: pick::<1, LDA> };
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use super::{Isa, LDA, Tile};

    kernels!(__m256, _mm256_setzero_ps(), _mm256_loadu_ps, _mm256_storeu_ps, _mm256_set1_ps, _mm256_fmadd_ps,
        [1 2 3 4 5 6 7 8 9 10 11 12] [1 2 3 4 5 6] [1 2 3], "avx2,fma");

    pub(super) static ISA: Isa = Isa { lanes: 8, rows: [12, 6, 3], by_row: pick::<LDA, 1>, by_column: pick::<1, LDA> };
}

mod portable {
    use super::{Isa, LDA, Tile};

    type V = [f32; 4];

    fn fma(a: V, b: V, c: V) -> V {
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }

    unsafe fn load(p: *const f32) -> V {
        unsafe { p.cast::<V>().read_unaligned() }
    }

    unsafe fn store(p: *mut f32, v: V) {
        unsafe { p.cast::<V>().write_unaligned(v) }
    }

    kernels!(V, [0.; 4], load, store, |a| [a; 4], fma, [1 2 3 4 5 6 7 8] [1 2 3 4] [1 2]);

    pub(super) static ISA: Isa = Isa { lanes: 4, rows: [8, 4, 2], by_row: pick::<LDA, 1>, by_column: pick::<1, LDA> };
}

/// Every instruction set that this processor has, the best first.
pub(crate) fn available() -> Vec<&'static Isa> {
    let mut all = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        if is_x86_feature_detected!("avx512f") {
            all.push(&avx512::ISA);
        }
        if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
            all.push(&avx2::ISA);
        }
    }
    all.push(&portable::ISA);
    all
}

/// The best instruction set that this processor has.
pub(crate) fn isa() -> &'static Isa {
    static BEST: OnceLock<&'static Isa> = OnceLock::new();
    BEST.get_or_init(|| available()[0])
}
