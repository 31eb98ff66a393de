//! The matrix product that convolutions, linear maps and attention share.
//!
//! The result is cut into tasks of rows times columns. A task packs its operands block by block, so that an operand may be
//! anything that can write a block of itself (a matrix of any strides, the windows of an image), and hands the finished
//! block to a closure that puts it where it belongs. Sums run in an order that depends on neither tasks nor threads.

use std::ops::Range;

use super::{
    kernel::{self, Isa, KC, LDA, Tile},
    par, scratch,
    simd::wide,
    transpose::transpose,
};

/// A matrix that can write blocks of itself.
pub(crate) trait Source: Sync {
    /// Writes the block of `rows` times `cols`, its rows `stride` apart in `out`; what else is in `out` may be overwritten up
    /// to the next row's elements and behind the last.
    fn fill(&self, rows: Range<usize>, cols: Range<usize>, out: &mut [f32], stride: usize);
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

/// Most rows and columns of a task: its blocks stay in a core's second-level cache.
const MAX_ROWS: usize = 512;
const MAX_COLS: usize = 192;

/// Room behind packed operands: sources may copy a little more than asked for.
const SLACK: usize = 16;

/// Multiplications below which a task is not worth another thread's attention.
const SMALL: usize = 1 << 21;

/// `n` cut into at most `parts` ranges of nearly equal length, all but the last multiples of `unit`.
fn cut(n: usize, parts: usize, unit: usize) -> impl Iterator<Item = Range<usize>> + Clone {
    let step = n.div_ceil(parts.max(1)).next_multiple_of(unit);
    (0..n).step_by(step).map(move |from| from..(from + step).min(n))
}

/// The tasks of a product: few enough to reuse what is packed, enough of them to keep every thread busy.
fn tasks(size: Size, isa: &Isa, threads: usize) -> Vec<(Range<usize>, Range<usize>)> {
    let (mut by_m, mut by_n) = (size.m.div_ceil(MAX_ROWS), size.n.div_ceil(MAX_COLS));
    let enough = if threads == 1 { 1 } else { (size.work() / SMALL).clamp(1, 2 * threads) };
    while by_m * by_n < enough {
        // The longer side of a task is the one to cut.
        let (rows, cols) = (size.m.div_ceil(by_m), size.n.div_ceil(by_n));
        if rows >= cols && rows > isa.rows {
            by_m += 1;
        } else if cols > 2 * isa.lanes {
            by_n += 1;
        } else {
            break;
        }
    }
    let rows = cut(size.m, by_m, 1);
    cut(size.n, by_n, 2 * isa.lanes).flat_map(|c| rows.clone().map(move |r| (r, c.clone()))).collect()
}

/// `A [m, k] * B [k, n]`, handed to `store` in blocks that together are the whole product.
pub(crate) fn product(size: Size, a: &impl Source, b: &impl Source, store: impl Fn(Block<'_>) + Sync) {
    product_with(kernel::isa(), size, a, b, store);
}

/// As [`product`], on this thread.
#[inline(always)]
pub(crate) fn sequential(size: Size, a: &impl Source, b: &impl Source, store: impl Fn(Block<'_>) + Sync) {
    let isa = kernel::isa();
    for (rows, cols) in tasks(size, isa, 1) {
        wide(|| block(isa, size.k, rows.clone(), cols.clone(), a, b, &store));
    }
}

/// As [`product`], by the kernels of one instruction set.
pub(crate) fn product_with(isa: &Isa, size: Size, a: &impl Source, b: &impl Source, store: impl Fn(Block<'_>) + Sync) {
    let tasks = tasks(size, isa, par::threads());
    par::each(tasks.len(), |i| {
        let (rows, cols) = tasks[i].clone();
        wide(|| block(isa, size.k, rows, cols, a, b, &store));
    });
}

/// One task, on one thread.
#[inline(always)]
fn block(
    isa: &Isa,
    k: usize,
    rows: Range<usize>,
    cols: Range<usize>,
    a: &impl Source,
    b: &impl Source,
    store: &(impl Fn(Block<'_>) + Sync),
) {
    let stride = cols.len().next_multiple_of(isa.lanes);
    scratch::with([LDA * isa.rows, KC.min(k) * stride + SLACK, rows.len() * stride], |[left, right, sums]| {
        for from in (0..k).step_by(KC) {
            let ks = from..(from + KC).min(k);
            for (at, panel, _) in panels(isa, stride) {
                let real = (cols.start + at).min(cols.end)..(cols.start + at + panel).min(cols.end);
                b.fill(ks.clone(), real, &mut right[at * ks.len()..], panel);
            }
            for tile in cut(rows.len(), rows.len().div_ceil(isa.rows), 1) {
                a.fill(rows.start + tile.start..rows.start + tile.end, ks.clone(), left, LDA);
                for (at, _, nv) in panels(isa, stride) {
                    let c = &mut sums[tile.start * stride + at..];
                    let (b, c) = (right[at * ks.len()..].as_ptr(), c.as_mut_ptr());
                    let call = Tile {
                        mr: tile.len(),
                        nv,
                        k: ks.len(),
                        a: left.as_ptr(),
                        b,
                        c,
                        ldc: stride,
                        accumulate: from > 0,
                    };
                    // SAFETY: `left` holds `isa.rows` rows of LDA, `right` and `sums` whole panels; `isa` is available.
                    unsafe { isa.run(call) };
                }
            }
        }
        if k == 0 {
            sums.fill(0.);
        }
        store(Block { rows, cols, values: sums, stride });
    });
}

/// The panels that `stride` columns fall into: first column, width and vectors of each.
fn panels(isa: &Isa, stride: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    let lanes = isa.lanes;
    (0..stride).step_by(2 * lanes).map(move |at| {
        let width = (2 * lanes).min(stride - at);
        (at, width, width / lanes)
    })
}
