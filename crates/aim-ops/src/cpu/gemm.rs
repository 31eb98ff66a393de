//! The matrix product that convolutions, linear maps and attention share.
//!
//! The result is cut into tasks of rows times columns. A task packs its operands block by block, so that an operand may
//! be anything that can write a block of itself (a matrix of any strides, the windows of an image), and hands the
//! finished block to a closure that puts it where it belongs. Sums run in an order that depends on neither tasks nor
//! threads.

use std::ops::Range;

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use super::amx;
use super::{
    kernel::{self, Isa, KC, Tile},
    par, scratch,
    simd::kernel,
    transpose::transpose,
};

/// A matrix that can write blocks of itself.
pub(crate) trait Source: Sync {
    /// Writes the block of `rows` times `cols`, its rows `stride` apart in `out`; what else is in `out` may be
    /// overwritten up to the next row's elements and behind the last.
    fn fill(&self, rows: Range<usize>, cols: Range<usize>, out: &mut [f32], stride: usize);

    /// Most rows of a block that are best written before those of the block to the right of it. A source that asks for
    /// it must write nothing beyond its block.
    fn band(&self) -> usize {
        KC
    }

    /// The block where it is, if its rows are stored whole: the memory from its first element on, and the distance
    /// between two rows.
    fn in_place(&self, _rows: Range<usize>, _cols: Range<usize>) -> Option<(&[f32], usize)> {
        None
    }
}

/// A finished block of the result: `values[r * stride + c]` is element `(rows.start + r, cols.start + c)`.
pub(crate) struct Block<'a> {
    pub(crate) rows: Range<usize>,
    pub(crate) cols: Range<usize>,
    pub(crate) values: &'a [f32],
    pub(crate) stride: usize,
}

impl Block<'_> {
    /// Each row's index and values.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (usize, &[f32])> {
        let rows = self.values.chunks(self.stride).map(|row| &row[..self.cols.len()]);
        self.rows.clone().zip(rows)
    }

    /// Calls `f` with each column's index and values.
    #[inline(always)]
    pub(crate) fn columns(&self, mut f: impl FnMut(usize, &[f32])) {
        const GROUP: usize = 8;
        let rows = self.rows.len();
        scratch::with([GROUP * rows], |[columns]| {
            for from in (0..self.cols.len()).step_by(GROUP) {
                let count = GROUP.min(self.cols.len() - from);
                transpose(&self.values[from..], [1, self.stride], [count, rows], columns, rows);
                columns.chunks_exact(rows).take(count).enumerate().for_each(|(i, c)| f(self.cols.start + from + i, c));
            }
        });
    }
}

/// Rows, columns and length of the sums of a product.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) m: usize,
    pub(crate) n: usize,
    pub(crate) k: usize,
}

impl Size {
    /// Multiplications.
    fn work(self) -> usize {
        self.m * self.n * self.k
    }
}

/// Most rows and columns of a task: the more rows share a packed right operand, and the more columns a left one, the
/// less packing costs.
const MAX_ROWS: usize = 1024;
const MAX_COLS: usize = 192;

/// Most rows that are finished before the next ones are begun: with as many columns and KC long sums, both operands and
/// the result stay in a core's second-level cache.
const STRIP: usize = 96;

/// Most rows of the right operand that are packed at once.
const DEPTH: usize = 16 * KC;

/// Distance between two packed rows of the left operand; not a power of two, so that rows do not fight for cache sets.
const LDA: usize = KC + 16;

/// Room behind packed operands: sources may copy a little more than asked for.
pub(crate) const SLACK: usize = 16;

/// Multiplications below which a task is not worth another thread's attention.
const SMALL: usize = 1 << 22;

/// `n` cut into at most `parts` ranges of nearly equal length, all but the last multiples of `unit`.
pub(crate) fn cut(n: usize, parts: usize, unit: usize) -> impl Iterator<Item = Range<usize>> + Clone {
    let step = n.div_ceil(parts.max(1)).next_multiple_of(unit);
    (0..n).step_by(step).map(move |from| from..(from + step).min(n))
}

/// A way to multiply: most rows and columns of a task, and what either is a multiple of.
pub(crate) struct Way {
    most: [usize; 2],
    unit: [usize; 2],
    pub(crate) amx: bool,
}

impl Way {
    /// For sums of `k` elements; `side` is as in [`Product`].
    pub(crate) fn new(isa: &Isa, k: usize, side: usize) -> Self {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        if isa.amx && amx::pays(k, side) {
            return Self { most: [amx::MOST; 2], unit: [amx::PAIR; 2], amx: true };
        }
        Self { most: [MAX_ROWS, MAX_COLS], unit: [isa.rows, 2 * isa.lanes], amx: false }
    }
}

/// The tasks of a product: few enough to reuse what is packed, enough of them to keep every thread busy.
fn tasks(size: Size, way: &Way, threads: usize) -> Vec<(Range<usize>, Range<usize>)> {
    let (mut by_m, mut by_n) = (size.m.div_ceil(way.most[0]), size.n.div_ceil(way.most[1]));
    let enough = if threads == 1 { 1 } else { (size.work() / SMALL).clamp(1, 2 * threads) };
    while by_m * by_n < enough {
        // The longer side of a task is the one to cut.
        let (rows, cols) = (size.m.div_ceil(by_m), size.n.div_ceil(by_n));
        if rows >= cols && rows > way.unit[0] {
            by_m += 1;
        } else if cols > way.unit[1] {
            by_n += 1;
        } else {
            break;
        }
    }
    let rows = cut(size.m, by_m, way.unit[0]);
    cut(size.n, by_n, way.unit[1]).flat_map(|c| rows.clone().map(move |r| (r, c.clone()))).collect()
}

/// A product, `A [m, k] * B [k, n]`.
pub(crate) struct Product<'a, A, B> {
    pub(crate) isa: &'a Isa,
    pub(crate) size: Size,
    pub(crate) a: &'a A,
    pub(crate) b: &'a B,
    /// Whether it stands for the transposed product, whose bits it shall have.
    pub(crate) flipped: bool,
    /// Length of the side that does not run over samples: how to multiply is decided by it, so that what a sample gives
    /// does not depend on how many others there are.
    pub(crate) side: usize,
}

impl<'a, A: Source, B: Source> Product<'a, A, B> {
    /// One whose left side runs over samples, if any does.
    pub(crate) fn new(size: Size, a: &'a A, b: &'a B) -> Self {
        Self { isa: kernel::isa(), size, a, b, flipped: false, side: size.n }
    }

    /// Hands the product to `store` in blocks that together are the whole of it.
    pub(crate) fn run(&self, store: impl Fn(Block<'_>) + Sync) {
        let way = Way::new(self.isa, self.size.k, self.side);
        let tasks = tasks(self.size, &way, par::threads());
        par::each(tasks.len(), |i| self.task(&way, tasks[i].clone(), &store));
    }

    /// As [`run`](Self::run), on this thread.
    #[inline(always)]
    pub(crate) fn sequential(&self, store: impl Fn(Block<'_>) + Sync) {
        let way = Way::new(self.isa, self.size.k, self.side);
        tasks(self.size, &way, 1).into_iter().for_each(|task| self.task(&way, task, &store));
    }

    #[inline(always)]
    fn task(&self, way: &Way, task: (Range<usize>, Range<usize>), store: &(impl Fn(Block<'_>) + Sync)) {
        let Self { isa, size, a, b, .. } = *self;
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        if way.amx {
            // SAFETY: `isa` is available.
            return unsafe { amx::block(size.k, task, (a, b), self.flipped, store) };
        }
        let (rows, cols) = task;
        block(isa, size.k, rows, cols, a, b, store);
    }
}

/// `A [m, k] * B [k, n]` for weights `A`, handed to `store` in blocks that together are the whole product.
pub(crate) fn product(size: Size, a: &impl Source, b: &impl Source, store: impl Fn(Block<'_>) + Sync) {
    Product { side: size.m, ..Product::new(size, a, b) }.run(store);
}

/// Ranges of at most `step` that cover `range`; an empty one if that is empty.
pub(crate) fn steps(range: Range<usize>, step: usize) -> impl Iterator<Item = Range<usize>> {
    (range.start..range.end.max(range.start + 1)).step_by(step).map(move |from| from..(from + step).min(range.end))
}

kernel! {
    /// One task, on one thread.
    fn block(
        isa: &Isa,
        k: usize,
        rows: Range<usize>,
        cols: Range<usize>,
        a: &impl Source,
        b: &impl Source,
        store: &(impl Fn(Block<'_>) + Sync)
    ) {
        let stride = cols.len().next_multiple_of(isa.lanes);
        let strips = cut(rows.len(), rows.len().div_ceil(STRIP), isa.rows);
        let tallest = strips.clone().map(|s| s.len()).max().unwrap_or(0);
        // What the sums of a strip have come to must be kept while the next ones are begun, unless they are whole.
        let kept = if k <= DEPTH { tallest } else { rows.len() };
        scratch::with([LDA * tallest, DEPTH.min(k) * stride + SLACK, kept * stride], |[left, right, sums]| {
            for depth in steps(0..k, DEPTH) {
                for ks in steps(depth.clone(), KC) {
                    pack(isa, b, ks.clone(), cols.clone(), &mut right[(ks.start - depth.start) * stride..]);
                }
                for strip in strips.clone() {
                    let sums = &mut sums[if k <= DEPTH { 0 } else { strip.start * stride }..][..strip.len() * stride];
                    let strip = rows.start + strip.start..rows.start + strip.end;
                    for ks in steps(depth.clone(), KC) {
                        let right = &right[(ks.start - depth.start) * stride..][..ks.len() * stride];
                        let left = a.in_place(strip.clone(), ks.clone()).unwrap_or_else(|| {
                            a.fill(strip.clone(), ks.clone(), left, LDA);
                            (left, LDA)
                        });
                        multiply(isa, ks.len(), left, right, sums, stride, ks.start > 0);
                    }
                    if depth.end == k {
                        store(Block { rows: strip, cols: cols.clone(), values: sums, stride });
                    }
                }
            }
        });
    }
}

/// Packs some rows of the right operand, panel by panel.
#[inline(always)]
fn pack(isa: &Isa, b: &impl Source, ks: Range<usize>, cols: Range<usize>, out: &mut [f32]) {
    for band in steps(ks.clone(), b.band()) {
        for panel in cut(cols.len(), usize::MAX, 2 * isa.lanes) {
            let width = panel.len().next_multiple_of(isa.lanes);
            let out = &mut out[panel.start * ks.len() + (band.start - ks.start) * width..];
            b.fill(band.clone(), cols.start + panel.start..cols.start + panel.end, out, width);
        }
    }
}

/// Where element `(r, c)` of a right operand with `k` rows of `stride` columns is, packed KC rows at a time.
pub(crate) fn packed(isa: &Isa, [k, stride]: [usize; 2], [r, c]: [usize; 2]) -> usize {
    let (from, panel) = (r / KC * KC, c / (2 * isa.lanes) * 2 * isa.lanes);
    let width = (2 * isa.lanes).min(stride - panel);
    from * stride + panel * KC.min(k - from) + (r - from) * width + c - panel
}

/// Adds the product of `k` columns of a strip and as many packed rows to its sums (or overwrites these).
#[inline(always)]
pub(crate) fn multiply(
    isa: &Isa,
    k: usize,
    (left, lda): (&[f32], usize),
    right: &[f32],
    sums: &mut [f32],
    stride: usize,
    accumulate: bool,
) {
    let rows = sums.len() / stride;
    assert!(rows == 0 || left.len() >= (rows - 1) * lda + k && right.len() >= k * stride, "operands out of bounds");
    for at in (0..stride).step_by(2 * isa.lanes) {
        let nv = 2.min((stride - at) / isa.lanes);
        for row in (0..rows).step_by(isa.rows) {
            let tile = Tile {
                mr: isa.rows.min(rows - row),
                nv,
                k,
                a: left[row * lda..].as_ptr(),
                lda,
                b: right[at * k..].as_ptr(),
                c: sums[row * stride + at..].as_mut_ptr(),
                ldc: stride,
                accumulate,
            };
            // SAFETY: the rows of `left` and the panels of `right` are within bounds by the assertion, those of `sums`
            // because it has `rows` whole rows; `isa` is available.
            unsafe { isa.run(tile) };
        }
    }
}
