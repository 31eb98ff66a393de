//! Matrices of any strides as operands of a product.

use std::ops::Range;

use super::gemm::{Block, Size, Source, product};
use super::shared::Shared;
use super::transpose::transpose;

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
}

impl Source for Matrix<'_> {
    #[inline(always)]
    fn fill(&self, rows: Range<usize>, cols: Range<usize>, out: &mut [f32], stride: usize) {
        let from = rows.start * self.rs + cols.start * self.cs;
        if self.cs == 1 {
            for (i, _) in rows.enumerate() {
                let row = &self.values[from + i * self.rs..][..cols.len()];
                out[i * stride..][..cols.len()].copy_from_slice(row);
            }
        } else {
            transpose(&self.values[from..], [self.rs, self.cs], [rows.len(), cols.len()], out, stride);
        }
    }
}

/// `A * B` for matrices, written row by row into a new vector, plus `bias [n]`.
pub(crate) fn matmul(size: Size, a: Matrix<'_>, b: Matrix<'_>, bias: Option<&[f32]>) -> Vec<f32> {
    let mut y = vec![0f32; size.m * size.n];
    let out = Shared::new(&mut y);
    // The columns are what vectors run along, and packing them is dearest where they are strided: then the transposed
    // product may be cheaper, if its own right side is smaller.
    if b.cs != 1 && a.cs == 1 && size.m >= 16 && size.m < size.n {
        let flipped = Size { m: size.n, n: size.m, k: size.k };
        product(flipped, &b.t(), &a.t(), |block| store_flipped(&block, bias, size.n, out));
    } else {
        product(size, &a, &b, |block| store(&block, bias, size.n, out));
    }
    y
}

#[inline(always)]
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

/// The block's rows are the output's columns.
#[inline(always)]
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
