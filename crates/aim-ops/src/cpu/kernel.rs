//! The register tile that every matrix product ends in: `C[m][n] (+)= sum_k A[m][k] * B[k][n]`.
//!
//! `B`'s rows are read as vectors, `A`'s elements are broadcast. One kernel is compiled for each instruction set and
//! tile size; the set is chosen at run time. Each sum runs over `k` in order and is added to `C` at the end, whatever
//! the tile's size: a product's bits do not depend on how it was cut into tiles.

use std::sync::OnceLock;

/// Most elements that a sum takes at once.
pub(crate) const KC: usize = 256;

/// Most rows of a tile of any instruction set.
const MAX_ROWS: usize = 8;

/// One call's operands. Rows of `B` and `C` must be readable (and writable) for `nv` whole vectors.
#[derive(Clone, Copy)]
pub(crate) struct Tile {
    /// Rows of the tile, at most [`Isa::rows`].
    pub(crate) mr: usize,
    /// Vectors in a row of the tile: 1 or 2.
    pub(crate) nv: usize,
    /// Length of the sum.
    pub(crate) k: usize,
    /// First element of `A`; the elements of a row follow each other.
    pub(crate) a: *const f32,
    /// Distance between two rows of `A`.
    pub(crate) lda: usize,
    /// First element of `B`; rows follow each other without gaps.
    pub(crate) b: *const f32,
    /// First element of `C`.
    pub(crate) c: *mut f32,
    /// Distance between two rows of `C`.
    pub(crate) ldc: usize,
    /// Whether to add to `C` or to overwrite it.
    pub(crate) accumulate: bool,
}

/// Kernels for one instruction set.
pub(crate) struct Isa {
    /// What [`crate::instruction_set`] calls it.
    pub(crate) name: &'static str,
    /// Whether products may be done by AMX.
    pub(crate) amx: bool,
    /// f32 values in a vector.
    pub(crate) lanes: usize,
    /// Most rows of a tile.
    pub(crate) rows: usize,
    run: unsafe fn(Tile),
}

impl Isa {
    /// Runs the kernel.
    ///
    /// # Safety
    /// The pointers must be valid for the extents that [`Tile`] describes; the processor must have the instruction set.
    pub(crate) unsafe fn run(&self, tile: Tile) {
        debug_assert!(tile.mr <= self.rows && tile.nv <= 2);
        // SAFETY: the caller's promise.
        unsafe { (self.run)(tile) }
    }
}

/// Generates the tile for one vector type, and the choice among its sizes.
macro_rules! kernels {
    ($name:literal, $vector:ty, $zero:expr, $load:expr, $store:expr, $splat:expr, $fma:expr, $add:expr,
     $rows:literal [$($mr:literal)*] $(, $feature:literal)?) => {
        /// Takes `UNROLL` elements of every sum. A function, as a closure is not inlined into large tiles, whose sums
        /// would then be kept in memory.
        ///
        /// # Safety
        /// As [`tile`].
        #[inline(always)]
        unsafe fn step<const MR: usize, const NV: usize, const UNROLL: usize>(
            acc: &mut [[$vector; NV]; MR],
            rows: &mut [*const f32; MAX_ROWS.div_ceil(3)],
            b: &mut *const f32,
            lda: usize,
        ) {
            const LANES: usize = size_of::<$vector>() / 4;
            for u in 0..UNROLL {
                // SAFETY: the caller's promise.
                unsafe {
                    let b: [$vector; NV] = std::array::from_fn(|n| $load(b.add((u * NV + n) * LANES)));
                    for (m, row) in acc.iter_mut().enumerate() {
                        let a = $splat(*rows[m / 3].add(m % 3 * lda + u));
                        for (v, b) in row.iter_mut().zip(b) {
                            *v = $fma(a, b, *v);
                        }
                    }
                }
            }
            *rows = rows.map(|row| row.wrapping_add(UNROLL));
            *b = b.wrapping_add(UNROLL * NV * LANES);
        }

        $(#[target_feature(enable = $feature)])?
        unsafe fn tile<const MR: usize, const NV: usize>(t: Tile) {
            const LANES: usize = size_of::<$vector>() / 4;
            /// Elements of a sum between two tests of the loop, whose cost shows otherwise.
            const UNROLL: usize = 4;
            let mut acc = [[$zero; NV]; MR];
            // Every third row has a pointer; the two after it are one and two steps further.
            let mut rows: [_; MAX_ROWS.div_ceil(3)] = std::array::from_fn(|i| t.a.wrapping_add(3 * i * t.lda));
            let mut b = t.b;
            // SAFETY: all accesses stay within the extents that the caller vouches for.
            unsafe {
                for _ in 0..t.k / UNROLL {
                    step::<MR, NV, UNROLL>(&mut acc, &mut rows, &mut b, t.lda);
                }
                for _ in 0..t.k % UNROLL {
                    step::<MR, NV, 1>(&mut acc, &mut rows, &mut b, t.lda);
                }
                for (m, row) in acc.iter().enumerate() {
                    for (n, v) in row.iter().enumerate() {
                        let c = t.c.add(m * t.ldc + n * LANES);
                        $store(c, if t.accumulate { $add($load(c), *v) } else { *v });
                    }
                }
            }
        }

        $(#[target_feature(enable = $feature)])?
        unsafe fn pick(t: Tile) {
            // SAFETY: the caller's promise.
            unsafe {
                match (t.nv, t.mr) {
                    $((1, $mr) => tile::<$mr, 1>(t), (2, $mr) => tile::<$mr, 2>(t),)*
                    _ => {}
                }
            }
        }

        pub(super) const ISA: Isa =
            Isa { name: $name, amx: false, lanes: size_of::<$vector>() / 4, rows: $rows, run: pick };
    };
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::*;

    use super::{Isa, MAX_ROWS, Tile};

    kernels!("avx512", __m512, _mm512_setzero_ps(), _mm512_loadu_ps, _mm512_storeu_ps, _mm512_set1_ps, _mm512_fmadd_ps,
        _mm512_add_ps, 8 [1 2 3 4 5 6 7 8], "avx512f");

    /// The same with products by AMX, where they pay.
    pub(super) const AMX: Isa = Isa { name: "amx", amx: true, ..ISA };
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::*;

    use super::{Isa, MAX_ROWS, Tile};

    kernels!("avx2", __m256, _mm256_setzero_ps(), _mm256_loadu_ps, _mm256_storeu_ps, _mm256_set1_ps, _mm256_fmadd_ps,
        _mm256_add_ps, 6 [1 2 3 4 5 6], "avx2,fma");
}

mod portable {
    use super::{Isa, MAX_ROWS, Tile};

    type V = [f32; 4];

    fn add(a: V, b: V) -> V {
        std::array::from_fn(|i| a[i] + b[i])
    }

    fn fma(a: V, b: V, c: V) -> V {
        std::array::from_fn(|i| a[i] * b[i] + c[i])
    }

    unsafe fn load(p: *const f32) -> V {
        // SAFETY: the caller's promise.
        unsafe { p.cast::<V>().read_unaligned() }
    }

    unsafe fn store(p: *mut f32, v: V) {
        // SAFETY: the caller's promise.
        unsafe { p.cast::<V>().write_unaligned(v) }
    }

    kernels!("portable", V, [0.; 4], load, store, |a| [a; 4], fma, add, 4 [1 2 3 4]);
}

/// Every instruction set that this processor has, the best first.
pub(crate) fn available() -> Vec<&'static Isa> {
    let mut all = Vec::new();
    #[cfg(target_arch = "x86_64")]
    {
        let wide = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl");
        #[cfg(target_os = "linux")]
        if wide && super::amx::available() {
            all.push(&avx512::AMX);
        }
        if wide {
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
