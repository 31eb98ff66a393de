//! Products of f32 by AMX, whose tiles multiply bf16.
//!
//! An f32 is exactly the sum of three bf16, which have 8 of its 24 bits each. Of the nine products of two such sums six
//! are added; the other three together are below the last bit of the product. Errors are about as large as those of f32
//! (a test compares them). Parts of numbers below 1e-33 vanish, and what overflows is NaN where f32 has an infinity.
//!
//! Each sum takes 32 elements at a time, part by part in one order, whatever tile it is in: a product's bits do not
//! depend on how it was cut.

use std::{
    arch::{asm, x86_64::*},
    ops::Range,
    sync::OnceLock,
};

use super::{
    gemm::{Block, SLACK, Source, cut, steps},
    scratch,
};

/// Rows and columns of a tile of sums.
const TILE: usize = 16;

/// Rows and columns that are multiplied at once: two tiles each way.
pub(super) const PAIR: usize = 2 * TILE;

/// Elements of a sum that one instruction takes.
const DEPTH: usize = 32;

/// Most elements that a sum takes at once: the left operand of a row of tiles stays in the first cache.
const KC: usize = 3 * DEPTH;

/// Most rows and columns of a task, whose right operand and sums stay in a core's second-level cache.
pub(super) const MOST: usize = 512;

/// bf16 numbers of one part of a tile.
const PART: usize = TILE * DEPTH;

/// bf16 numbers of `n` rows or columns of an operand.
const fn packed(n: usize) -> usize {
    n.div_ceil(TILE) * KC / DEPTH * 3 * PART
}

/// Whether the processor has AMX and the system lets this process use it.
pub(super) fn available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        const TILES_AND_BF16: u32 = 1 << 24 | 1 << 22;
        let vectors = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw");
        // SAFETY: a processor with AVX-512 has this leaf. Newer compilers need no such promise.
        #[allow(unused_unsafe)]
        let features = vectors.then(|| unsafe { __cpuid_count(7, 0) }.edx);
        features.is_some_and(|edx| edx & TILES_AND_BF16 == TILES_AND_BF16) && permitted()
    })
}

/// Asks the system for the tiles' registers, which no process has by default.
fn permitted() -> bool {
    const ARCH_PRCTL: i64 = 158;
    const REQUEST_PERMISSION: i64 = 0x1023;
    const TILE_DATA: i64 = 18;
    let result: i64;
    // SAFETY: the call changes no memory.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") REQUEST_PERMISSION,
            in("rsi") TILE_DATA,
            out("rcx") _,
            out("r11") _,
            options(nostack)
        );
    }
    result == 0
}

/// Whether a product with sums of `k` elements and so many rows or columns, whichever do not run over samples, takes
/// less time here: little of a tile is left empty, and what is packed is used often enough.
pub(super) fn pays(k: usize, side: usize) -> bool {
    const LEAST: usize = 32;
    k > 0 && 3 * k.next_multiple_of(DEPTH) <= 4 * k && side >= LEAST
}

/// The tiles of this thread, all of 16 rows of 64 bytes, until it is dropped.
struct Tiles;

impl Tiles {
    /// # Safety
    /// AMX must be [`available`].
    unsafe fn new() -> Self {
        #[repr(align(64))]
        struct Config([u8; 64]);
        let mut config = Config([0; 64]);
        config.0[0] = 1;
        for tile in 0..8 {
            config.0[16 + 2 * tile] = 64;
            config.0[48 + tile] = TILE as u8;
        }
        // SAFETY: the configuration is valid; the caller's promise.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &config, options(nostack, readonly)) };
        Self
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: the tiles were configured; nothing uses them afterwards.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
    }
}

/// One call's operands: packed rows and columns, and the first of the sums, whose rows are `ldc` apart.
#[derive(Clone, Copy)]
struct Operands {
    a: *const u16,
    b: *const u16,
    c: *mut f32,
    ldc: usize,
    /// Times 32 elements of each sum.
    steps: usize,
    /// Whether to add to the sums or to overwrite them.
    accumulate: bool,
}

/// Loads and multiplies one part of each operand, `$a` and `$b` bytes from the first; the tiles below and to the right
/// have theirs 3 KiB further.
macro_rules! multiply {
    ([$($down:literal)?] [$($right:literal)?] [$($corner:literal)?] $a:literal $b:literal) => {
        concat!(
            "tileloadd tmm4, [{a} + {line} + ", $a, "]\n",
            "tileloadd tmm6, [{b} + {line} + ", $b, "]\n",
            "tdpbf16ps tmm0, tmm4, tmm6\n",
            $("tileloadd tmm7, [{b} + {line} + 3072 + ", $b, "]\n", $right,)?
            $("tileloadd tmm5, [{a} + {line} + 3072 + ", $a, "]\n", $down,)?
            $($corner)?
        )
    };
}

/// Generates `C (+)= A * B` for one or two tiles each way, the parts multiplied in the order that is given.
macro_rules! tile {
    ($name:ident, $down:tt $right:tt $corner:tt, [$(($a:literal $b:literal))*],
     $load:literal $zero:literal $store:literal, $rows:literal $cols:literal) => {
        /// # Safety
        /// The tiles must be configured, and the pointers valid for all that is read and written.
        unsafe fn $name(o: Operands) {
            // SAFETY: the caller's promise.
            unsafe {
                asm!(
                    "lea {below}, [{c} + {below}]",
                    "test {accumulate:e}, {accumulate:e}",
                    "jz 2f",
                    "tileloadd tmm0, [{c} + {ldc}]",
                    $load,
                    "jmp 3f",
                    "2:",
                    "tilezero tmm0",
                    $zero,
                    "3:",
                    $(multiply!($down $right $corner $a $b),)*
                    "add {a}, {a_step}",
                    "add {b}, {b_step}",
                    "dec {steps}",
                    "jnz 3b",
                    "tilestored [{c} + {ldc}], tmm0",
                    $store,
                    a = inout(reg) o.a => _,
                    b = inout(reg) o.b => _,
                    c = in(reg) o.c,
                    below = inout(reg) o.ldc * 4 * TILE => _,
                    ldc = in(reg) o.ldc * 4,
                    line = in(reg) 64usize,
                    steps = inout(reg) o.steps => _,
                    accumulate = in(reg) o.accumulate as u32,
                    a_step = const 3072 * $rows,
                    b_step = const 3072 * $cols,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack)
                );
            }
        }
    };
}

/// The four sizes for one order of parts.
macro_rules! tiles {
    ($module:ident, $order:tt) => {
        mod $module {
            use super::*;

            tile!(one, [] [] [], $order, "" "" "", 1 1);
            tile!(right, [] ["tdpbf16ps tmm1, tmm4, tmm7\n"] [], $order,
                "tileloadd tmm1, [{c} + {ldc} + 64]"
                "tilezero tmm1"
                "tilestored [{c} + {ldc} + 64], tmm1", 1 2);
            tile!(down, ["tdpbf16ps tmm2, tmm5, tmm6\n"] [] [], $order,
                "tileloadd tmm2, [{below} + {ldc}]"
                "tilezero tmm2"
                "tilestored [{below} + {ldc}], tmm2", 2 1);
            tile!(four, ["tdpbf16ps tmm2, tmm5, tmm6\n"] ["tdpbf16ps tmm1, tmm4, tmm7\n"]
                ["tdpbf16ps tmm3, tmm5, tmm7\n"], $order,
                "tileloadd tmm1, [{c} + {ldc} + 64]\n tileloadd tmm2, [{below} + {ldc}]\n tileloadd tmm3, [{below} + {ldc} + 64]"
                "tilezero tmm1\n tilezero tmm2\n tilezero tmm3"
                "tilestored [{c} + {ldc} + 64], tmm1\n tilestored [{below} + {ldc}], tmm2\n tilestored [{below} + {ldc} + 64], tmm3",
                2 2);

            /// By rows and columns of tiles.
            pub(super) const SIZES: [[unsafe fn(Operands); 2]; 2] = [[one, right], [down, four]];
        }
    };
}

// Parts are 0, 1024 and 2048 bytes from the first; the smallest products come first.
tiles!(plain, [(0 2048) (0 1024) (1024 1024) (1024 0) (2048 0) (0 0)]);
// What `plain` gives for the transposed product.
tiles!(flipped, [(2048 0) (1024 0) (1024 1024) (0 1024) (0 2048) (0 0)]);

/// The three parts of numbers, in the upper halves of the elements.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn split(x: __m512) -> [__m512i; 3] {
    let upper = _mm512_set1_epi32(0xFFFF_0000_u32 as i32);
    // To the nearest number of 8 bits: half of what is cut off is added first.
    let half = _mm512_set1_epi32(0x8000);
    let high = _mm512_and_si512(_mm512_add_epi32(_mm512_castps_si512(x), half), upper);
    let rest = _mm512_sub_ps(x, _mm512_castsi512_ps(high));
    let middle = _mm512_and_si512(_mm512_add_epi32(_mm512_castps_si512(rest), half), upper);
    [high, middle, _mm512_castps_si512(_mm512_sub_ps(rest, _mm512_castsi512_ps(middle)))]
}

/// Stores one vector for each part.
///
/// # Safety
/// `out` must be valid for all parts.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn store(parts: [__m512i; 3], out: *mut u16) {
    // SAFETY: the caller's promise.
    unsafe {
        _mm512_storeu_si512(out.cast(), parts[0]);
        _mm512_storeu_si512(out.add(PART).cast(), parts[1]);
        _mm512_storeu_si512(out.add(2 * PART).cast(), parts[2]);
    }
}

/// Packs `k` elements of each row of a left operand; `rows` of them, `lda` apart, at most two tiles of them.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn pack_left(from: &[f32], lda: usize, rows: usize, k: usize, out: &mut [u16]) {
    // The upper halves of two vectors.
    let odd: [u16; DEPTH] = std::array::from_fn(|i| 2 * i as u16 + 1);
    let step = rows.div_ceil(TILE) * 3 * PART;
    assert!(from.len() >= (rows - 1) * lda + k && out.len() >= k.div_ceil(DEPTH) * step, "operands out of bounds");
    // SAFETY: the assertion; of the last elements only those are read that there are.
    unsafe {
        let odd = _mm512_loadu_si512(odd.as_ptr().cast());
        for r in 0..rows {
            let row = from.as_ptr().add(r * lda);
            let out = out.as_mut_ptr().add(r / TILE * 3 * PART + r % TILE * DEPTH);
            for i in (0..k).step_by(DEPTH) {
                let (first, second) = if i + DEPTH <= k {
                    (_mm512_loadu_ps(row.add(i)), _mm512_loadu_ps(row.add(i + TILE)))
                } else {
                    let some = (1u32 << (k - i)) - 1;
                    let first = _mm512_maskz_loadu_ps(some as __mmask16, row.add(i));
                    (first, _mm512_maskz_loadu_ps((some >> TILE) as __mmask16, row.wrapping_add(i + TILE)))
                };
                let ([a, b, c], [d, e, f]) = (split(first), split(second));
                let both = [
                    _mm512_permutex2var_epi16(a, odd, d),
                    _mm512_permutex2var_epi16(b, odd, e),
                    _mm512_permutex2var_epi16(c, odd, f),
                ];
                store(both, out.add(i / DEPTH * step));
            }
        }
    }
}

/// Packs rows `ks` (from an even one on) of a panel of a right operand, at most two tiles wide: `from` has them `ldb`
/// apart. What follows the last row of all, `k`, is zero up to a whole step.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn pack_right((from, ldb): (&[f32], usize), width: usize, ks: Range<usize>, k: usize, out: &mut [u16]) {
    let step = width / TILE * 3 * PART;
    let end = if ks.end == k { k.next_multiple_of(DEPTH) } else { ks.end };
    let read = ks.len().checked_sub(1).map_or(0, |rows| rows * ldb + width);
    assert!(from.len() >= read && out.len() >= end.div_ceil(DEPTH) * step, "operands out of bounds");
    let (upper, zero) = (_mm512_set1_epi32(0xFFFF_0000_u32 as i32), _mm512_setzero_ps());
    // SAFETY: the assertion.
    unsafe {
        for even in (ks.start..end).step_by(2) {
            let from = from.as_ptr().wrapping_add((even - ks.start) * ldb);
            let out = out.as_mut_ptr().add(even / DEPTH * step + even % DEPTH / 2 * DEPTH);
            for tile in 0..width / TILE {
                let from = from.wrapping_add(tile * TILE);
                let first = if even < ks.end { _mm512_loadu_ps(from) } else { zero };
                let second = if even + 1 < ks.end { _mm512_loadu_ps(from.add(ldb)) } else { zero };
                let ([a, b, c], [d, e, f]) = (split(first), split(second));
                let both = [
                    _mm512_or_si512(_mm512_srli_epi32(a, 16), d),
                    _mm512_or_si512(_mm512_srli_epi32(b, 16), e),
                    _mm512_or_si512(_mm512_srli_epi32(c, 16), _mm512_and_si512(f, upper)),
                ];
                store(both, out.add(tile * 3 * PART));
            }
        }
    }
}

/// Packs some rows of the right operand, panel by panel.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
fn pack(b: &impl Source, ks: &Range<usize>, cols: &Range<usize>, values: &mut [f32], out: &mut [u16]) {
    for band in steps(ks.clone(), b.band()) {
        for panel in cut(cols.len(), usize::MAX, PAIR) {
            let width = panel.len().next_multiple_of(TILE);
            let of_b = cols.start + panel.start..cols.start + panel.end;
            // Whole tiles can be read where they are.
            let stored = if panel.len() == width { b.in_place(band.clone(), of_b.clone()) } else { None };
            let from = stored.unwrap_or_else(|| {
                b.fill(band.clone(), of_b, values, width);
                (values, width)
            });
            let out = &mut out[packed(panel.start)..];
            pack_right(from, width, band.start - ks.start..band.end - ks.start, ks.len(), out);
        }
    }
}

/// Distance between two rows of the left operand before they are packed; not a power of two, so that rows do not fight
/// for cache sets.
const LDA: usize = KC + TILE;

/// One task of a product, on this thread; `flipped` if it is the transposed one.
///
/// # Safety
/// AMX must be [`available`].
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) unsafe fn block(
    k: usize,
    (rows, cols): (Range<usize>, Range<usize>),
    (a, b): (&impl Source, &impl Source),
    flipped: bool,
    store: impl Fn(Block<'_>),
) {
    let sizes = if flipped { flipped::SIZES } else { plain::SIZES };
    let (height, stride) = (rows.len().next_multiple_of(TILE), cols.len().next_multiple_of(TILE));
    // SAFETY: the caller's promise.
    let tiles = unsafe { Tiles::new() };
    scratch::with([PAIR * LDA + SLACK, height * stride], |[values, sums]| {
        scratch::halves([packed(PAIR), packed(stride)], |[left, right]| {
            for ks in steps(0..k, KC) {
                pack(b, &ks, &cols, values, right);
                for strip in cut(rows.len(), usize::MAX, PAIR) {
                    let of_a = rows.start + strip.start..rows.start + strip.end;
                    let (from, lda) = a.in_place(of_a.clone(), ks.clone()).unwrap_or_else(|| {
                        a.fill(of_a, ks.clone(), values, LDA);
                        (values, LDA)
                    });
                    pack_left(from, lda, strip.len(), ks.len(), left);
                    for panel in cut(cols.len(), usize::MAX, PAIR) {
                        let tile = sizes[(strip.len() - 1) / TILE][(panel.len() - 1) / TILE];
                        let operands = Operands {
                            a: left.as_ptr(),
                            b: right[packed(panel.start)..].as_ptr(),
                            c: sums[strip.start * stride + panel.start..].as_mut_ptr(),
                            ldc: stride,
                            steps: ks.len().div_ceil(DEPTH),
                            accumulate: ks.start > 0,
                        };
                        // SAFETY: the tiles are configured; `left` and `right` have whole packed strips and panels,
                        // and `sums` has whole tiles.
                        unsafe { tile(operands) };
                    }
                }
            }
        });
        drop(tiles);
        store(Block { rows: rows.clone(), cols: cols.clone(), values: sums, stride });
    });
}
