//! Matrices of any strides as operands of a product.

use std::ops::Range;

use super::{
    gemm::{Block, Product, Size, Source},
    kernel::KC,
    shared::{Shared, filled},
    simd::kernel,
    transpose::transpose,
};

/// Element `(r, c)` at `values[r * rs + c * cs]`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) rs: usize,
    pub(crate) cs: usize,
}

impl<'a> Matrix<'a> {
    /// A matrix stored row by row.
    pub(crate) fn rows(values: &'a [f32], cols: usize) -> Self {
        Self { values, rs: cols, cs: 1 }
    }

    /// The transposed matrix.
    pub(crate) fn t(self) -> Self {
        Self { rs: self.cs, cs: self.rs, ..self }
    }

    /// The first `n` elements of row `r`, if rows are stored whole.
    pub(crate) fn row(&self, r: usize, n: usize) -> &'a [f32] {
        &self.values[r * self.rs..][..n]
    }
}

/// Rows to write to, `stride` apart, which nobody else accesses while it lives.
pub(crate) struct Destination<'a> {
    memory: Shared<'a>,
    from: usize,
    stride: usize,
}

impl<'a> Destination<'a> {
    /// All of `out`, in rows of `cols`.
    pub(crate) fn rows(out: &'a mut [f32], cols: usize) -> Self {
        Self { memory: Shared::new(out), from: 0, stride: cols }
    }

    /// Rows of which the first begins at `from`.
    ///
    /// # Safety
    /// While it lives nobody else may access what is written, and what is added to must have been written before.
    pub(crate) unsafe fn new(memory: Shared<'a>, from: usize, stride: usize) -> Self {
        Self { memory, from, stride }
    }
}

impl Source for Matrix<'_> {
    #[inline(always)]
    fn fill(&self, rows: Range<usize>, cols: Range<usize>, out: &mut [f32], stride: usize) {
        let from = rows.start * self.rs + cols.start * self.cs;
        if self.cs == 1 {
            copy_rows(&self.values[from..], self.rs, [rows.len(), cols.len()], out, stride);
        } else {
            transpose(&self.values[from..], [self.rs, self.cs], [rows.len(), cols.len()], out, stride);
        }
    }

    /// Rows that are stored whole are read along, a few at a time: each is in another page of memory.
    #[inline(always)]
    fn band(&self) -> usize {
        if self.cs == 1 { 8 } else { KC }
    }

    #[inline(always)]
    fn in_place(&self, rows: Range<usize>, cols: Range<usize>) -> Option<(&[f32], usize)> {
        (self.cs == 1).then(|| (&self.values[rows.start * self.rs + cols.start..], self.rs))
    }
}

/// Copies rows that are `from_stride` apart to rows `stride` apart.
#[inline(always)]
fn copy_rows(from: &[f32], from_stride: usize, [rows, cols]: [usize; 2], out: &mut [f32], stride: usize) {
    match cols {
        // A panel's width: copies of a fixed length are much faster.
        8 => copy_arrays::<8>(from, from_stride, rows, out, stride),
        16 => copy_arrays::<16>(from, from_stride, rows, out, stride),
        32 => copy_arrays::<32>(from, from_stride, rows, out, stride),
        _ => (0..rows).for_each(|r| out[r * stride..][..cols].copy_from_slice(&from[r * from_stride..][..cols])),
    }
}

#[inline(always)]
fn copy_arrays<const N: usize>(from: &[f32], from_stride: usize, rows: usize, out: &mut [f32], stride: usize) {
    for r in 0..rows {
        if let (Some(from), Some(to)) =
            (from[r * from_stride..].first_chunk::<N>(), out[r * stride..].first_chunk_mut())
        {
            *to = *from;
        }
    }
}

/// `A * B` for matrices, written row by row into a new vector, plus `bias [n]`.
pub(crate) fn matmul(size: Size, a: Matrix<'_>, b: Matrix<'_>, bias: Option<&[f32]>) -> Vec<f32> {
    let fill = |out: Shared<'_>| {
        // The columns are what vectors run along, and packing them is dearest where they are strided: then the
        // transposed product may be cheaper, if its own right side is smaller.
        if b.cs != 1 && a.cs == 1 && size.m >= 16 && size.m < size.n {
            let flipped = Size { m: size.n, n: size.m, k: size.k };
            Product { flipped: true, side: size.n, ..Product::new(flipped, &b.t(), &a.t()) }
                .run(|block| store_flipped(&block, bias, size.n, out));
        } else {
            Product::new(size, &a, &b).run(|block| store(&block, bias, size.n, out));
        }
    };
    // SAFETY: the blocks are the whole product.
    unsafe { filled(size.m * size.n, fill) }
}

kernel! {
    fn store(block: &Block<'_>, bias: Option<&[f32]>, n: usize, out: Shared<'_>) {
        let bias = bias.map(|b| &b[block.cols.clone()]);
        for (r, row) in block.rows() {
            // SAFETY: blocks do not overlap.
            let to = unsafe { out.part(r * n + block.cols.start, row.len()) };
            match bias {
                Some(bias) => to.iter_mut().zip(row).zip(bias).for_each(|((y, v), b)| *y = v + b),
                None => to.copy_from_slice(row),
            }
        }
    }
}

kernel! {
    /// The block's rows are the output's columns.
    fn store_flipped(block: &Block<'_>, bias: Option<&[f32]>, n: usize, out: Shared<'_>) {
        block.columns(|c, column| {
            // SAFETY: blocks do not overlap.
            let to = unsafe { out.part(c * n + block.rows.start, column.len()) };
            match bias {
                Some(bias) => {
                    let bias = &bias[block.rows.clone()];
                    to.iter_mut().zip(column).zip(bias).for_each(|((y, v), b)| *y = v + b);
                }
                None => to.copy_from_slice(column),
            }
        });
    }
}

/// `A * B` times `scale`, put into `to` or added to it, on this thread.
pub(crate) fn matmul_into(size: Size, a: Matrix<'_>, b: Matrix<'_>, scale: f32, add: bool, to: &mut Destination<'_>) {
    let to = &*to;
    Product::new(size, &a, &b).sequential(|block| put(&block, scale, add, to));
}

kernel! {
    /// Puts a block times `scale` into rows that this thread alone writes, or adds it to them.
    fn put(block: &Block<'_>, scale: f32, add: bool, to: &Destination<'_>) {
        for (r, row) in block.rows() {
            // SAFETY: the borrow of `Destination::rows` or the promise of `Destination::new`; rows do not overlap.
            let to = unsafe { to.memory.part(to.from + r * to.stride + block.cols.start, row.len()) };
            if add {
                to.iter_mut().zip(row).for_each(|(to, v)| *to += scale * v);
            } else {
                to.iter_mut().zip(row).for_each(|(to, v)| *to = scale * v);
            }
        }
    }
}
