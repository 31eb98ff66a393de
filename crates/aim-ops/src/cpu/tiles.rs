//! The transforms of Winograd's F(4x4, 3x3), by which a tile of 4x4 outputs takes 36 multiplications in place of 144.
//!
//! With the polynomial points 0, 1, -1, 2, -2 and infinity, `y = A' ((G g G') * (B' d B)) A` for a tile `d` of 6x6 inputs and
//! a kernel `g`. Each type is one of the matrices or its transpose, to be applied to columns of vectors: each lane is a problem of
//! its own.

#![allow(clippy::needless_range_loop, reason = "indices say most plainly what a transform does")]

use std::ops::{Add, Mul, Sub};

/// Problems that are transformed at once.
pub(crate) const LANES: usize = 8;
/// Side of a tile of outputs.
pub(crate) const SIDE: usize = 4;
/// Side of a tile of inputs.
pub(crate) const REACH: usize = SIDE + 2;
/// Products that a tile needs for each pair of channels.
pub(crate) const POINTS: usize = REACH * REACH;

/// One value of each problem.
///
/// Loops in place of closures here and below: what the compiler does not inline is not compiled for the instruction set.
#[derive(Clone, Copy)]
pub(crate) struct Lane(pub(crate) [f32; LANES]);

impl Lane {
    pub(crate) const ZERO: Self = Self([0.; LANES]);

    /// The first values of a slice; zeros if it is too short.
    #[inline(always)]
    pub(crate) fn load(from: &[f32]) -> Self {
        match from.first_chunk() {
            Some(values) => Self(*values),
            None => Self::ZERO,
        }
    }
}

impl Add for Lane {
    type Output = Self;
    #[inline(always)]
    fn add(mut self, other: Self) -> Self {
        for i in 0..LANES {
            self.0[i] += other.0[i];
        }
        self
    }
}

impl Sub for Lane {
    type Output = Self;
    #[inline(always)]
    fn sub(mut self, other: Self) -> Self {
        for i in 0..LANES {
            self.0[i] -= other.0[i];
        }
        self
    }
}

impl Mul<Lane> for f32 {
    type Output = Lane;
    #[inline(always)]
    fn mul(self, mut lane: Lane) -> Lane {
        for i in 0..LANES {
            lane.0[i] *= self;
        }
        lane
    }
}

/// A matrix `M`.
pub(crate) trait Transform<const I: usize, const O: usize>: Copy + Sync {
    /// `M x` for a column `x`.
    fn apply(x: [Lane; I]) -> [Lane; O];

    /// `M X M'`.
    #[inline(always)]
    fn both(self, x: [[Lane; I]; I]) -> [[Lane; O]; O] {
        let mut columns = [[Lane::ZERO; O]; I];
        for j in 0..I {
            let mut column = [Lane::ZERO; I];
            for i in 0..I {
                column[i] = x[i][j];
            }
            columns[j] = Self::apply(column);
        }
        let mut y = [[Lane::ZERO; O]; O];
        for i in 0..O {
            let mut row = [Lane::ZERO; I];
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
    fn apply([a, b, c, d, e, f]: [Lane; 6]) -> [Lane; 6] {
        let (even, odd) = (e - 4. * c, d - 4. * b);
        let (even2, odd2) = (e - c, 2. * (d - b));
        [4. * a - 5. * c + e, even + odd, even - odd, even2 + odd2, even2 - odd2, 4. * b - 5. * d + f]
    }
}

/// `G`: a kernel to points.
#[derive(Clone, Copy)]
pub(crate) struct Kernel;

impl Transform<3, 6> for Kernel {
    #[inline(always)]
    fn apply([a, b, c]: [Lane; 3]) -> [Lane; 6] {
        let (even, odd) = ((1. / 6.) * (a + c), (1. / 6.) * b);
        let (even2, odd2) = ((1. / 24.) * a + (1. / 6.) * c, (1. / 12.) * b);
        [0.25 * a, Lane::ZERO - even - odd, odd - even, even2 + odd2, even2 - odd2, c]
    }
}

/// `A'`: points to outputs.
#[derive(Clone, Copy)]
pub(crate) struct Output;

impl Transform<6, 4> for Output {
    #[inline(always)]
    fn apply([a, b, c, d, e, f]: [Lane; 6]) -> [Lane; 4] {
        let (sum, difference, sum2, difference2) = (b + c, b - c, d + e, d - e);
        [a + sum + sum2, difference + 2. * difference2, sum + 4. * sum2, difference + 8. * difference2 + f]
    }
}

/// `A`: the gradient of outputs to that of points.
#[derive(Clone, Copy)]
pub(crate) struct OutputGradient;

impl Transform<4, 6> for OutputGradient {
    #[inline(always)]
    fn apply([a, b, c, d]: [Lane; 4]) -> [Lane; 6] {
        let (even, odd) = (a + c, b + d);
        let (even2, odd2) = (a + 4. * c, 2. * b + 8. * d);
        [a, even + odd, even - odd, even2 + odd2, even2 - odd2, d]
    }
}

/// `G'`: the gradient of points to that of a kernel.
#[derive(Clone, Copy)]
pub(crate) struct KernelGradient;

impl Transform<6, 3> for KernelGradient {
    #[inline(always)]
    fn apply([a, b, c, d, e, f]: [Lane; 6]) -> [Lane; 3] {
        let (sum, sum2) = ((1. / 6.) * (b + c), d + e);
        [0.25 * a - sum + (1. / 24.) * sum2, (1. / 6.) * (c - b) + (1. / 12.) * (d - e), (1. / 6.) * sum2 - sum + f]
    }
}
