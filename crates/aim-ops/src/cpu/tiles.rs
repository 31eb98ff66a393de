//! The transforms of Winograd's F(4x4, 3x3), by which a tile of 4x4 outputs takes 36 multiplications in place of 144.
//!
//! With the polynomial points 0, 1, -1, 2, -2 and infinity, `y = A' ((G g G') * (B' d B)) A` for a tile `d` of 6x6
//! inputs and a kernel `g`. Each type is one of the matrices or its transpose, to be applied to columns of vectors:
//! each lane is a problem of its own. Loops in place of closures: what the compiler does not inline is not compiled for
//! the instruction set.

#![allow(clippy::needless_range_loop, reason = "indices say most plainly what a transform does")]

use super::vectors::Vector;

/// Side of a tile of outputs.
pub(crate) const SIDE: usize = 4;
/// Side of a tile of inputs.
pub(crate) const REACH: usize = SIDE + 2;
/// Products that a tile needs for each pair of channels.
pub(crate) const POINTS: usize = REACH * REACH;

/// A matrix `M`.
pub(crate) trait Transform<const I: usize, const O: usize>: Copy + Sync {
    /// `M x` for a column `x`.
    fn apply<V: Vector>(x: [V; I]) -> [V; O];

    /// `M X M'`.
    #[inline(always)]
    fn both<V: Vector>(self, x: [[V; I]; I]) -> [[V; O]; O] {
        let mut columns = [[V::ZERO; O]; I];
        for j in 0..I {
            let mut column = [V::ZERO; I];
            for i in 0..I {
                column[i] = x[i][j];
            }
            columns[j] = Self::apply(column);
        }
        let mut y = [[V::ZERO; O]; O];
        for i in 0..O {
            let mut row = [V::ZERO; I];
            for j in 0..I {
                row[j] = columns[j][i];
            }
            y[i] = Self::apply(row);
        }
        y
    }
}

/// `B'`: inputs to points.
#[derive(Clone, Copy)]
pub(crate) struct Input;

impl Transform<6, 6> for Input {
    #[inline(always)]
    fn apply<V: Vector>([a, b, c, d, e, f]: [V; 6]) -> [V; 6] {
        let (even, odd) = (e - c.times(4.), d - b.times(4.));
        let (even2, odd2) = (e - c, (d - b).times(2.));
        [
            a.times(4.) - c.times(5.) + e,
            even + odd,
            even - odd,
            even2 + odd2,
            even2 - odd2,
            b.times(4.) - d.times(5.) + f,
        ]
    }
}

/// `G`: a kernel to points.
#[derive(Clone, Copy)]
pub(crate) struct Kernel;

impl Transform<3, 6> for Kernel {
    #[inline(always)]
    fn apply<V: Vector>([a, b, c]: [V; 3]) -> [V; 6] {
        let (even, odd) = ((a + c).times(1. / 6.), b.times(1. / 6.));
        let (even2, odd2) = (a.times(1. / 24.) + c.times(1. / 6.), b.times(1. / 12.));
        [a.times(0.25), V::ZERO - even - odd, odd - even, even2 + odd2, even2 - odd2, c]
    }
}

/// `A'`: points to outputs.
#[derive(Clone, Copy)]
pub(crate) struct Output;

impl Transform<6, 4> for Output {
    #[inline(always)]
    fn apply<V: Vector>([a, b, c, d, e, f]: [V; 6]) -> [V; 4] {
        let (sum, difference, sum2, difference2) = (b + c, b - c, d + e, d - e);
        [
            a + sum + sum2,
            difference + difference2.times(2.),
            sum + sum2.times(4.),
            difference + difference2.times(8.) + f,
        ]
    }
}

/// `A`: the gradient of outputs to that of points.
#[derive(Clone, Copy)]
pub(crate) struct OutputGradient;

impl Transform<4, 6> for OutputGradient {
    #[inline(always)]
    fn apply<V: Vector>([a, b, c, d]: [V; 4]) -> [V; 6] {
        let (even, odd) = (a + c, b + d);
        let (even2, odd2) = (a + c.times(4.), b.times(2.) + d.times(8.));
        [a, even + odd, even - odd, even2 + odd2, even2 - odd2, d]
    }
}

/// `G'`: the gradient of points to that of a kernel.
#[derive(Clone, Copy)]
pub(crate) struct KernelGradient;

impl Transform<6, 3> for KernelGradient {
    #[inline(always)]
    fn apply<V: Vector>([a, b, c, d, e, f]: [V; 6]) -> [V; 3] {
        let (sum, sum2) = ((b + c).times(1. / 6.), d + e);
        [
            a.times(0.25) - sum + sum2.times(1. / 24.),
            (c - b).times(1. / 6.) + (d - e).times(1. / 12.),
            sum2.times(1. / 6.) - sum + f,
        ]
    }
}
