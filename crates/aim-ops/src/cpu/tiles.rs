//! The transforms of Winograd's F(4x4, 3x3), by which a tile of 4x4 outputs takes 36 multiplications in place of 144.
//!
//! With the polynomial points 0, 1, -1, 2, -2 and infinity, `y = A' ((G g G') * (B' d B)) A` for a tile `d` of 6x6 inputs and
//! a kernel `g`. The functions apply one of the matrices, or its transpose, to columns of vectors: each lane is a problem of
//! its own.

use std::array::from_fn;
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
#[derive(Clone, Copy)]
pub(crate) struct Lane(pub(crate) [f32; LANES]);

impl Lane {
    /// The first values of a slice; zeros where it is too short.
    #[inline(always)]
    pub(crate) fn load(from: &[f32]) -> Self {
        Self(from.first_chunk().copied().unwrap_or([0.; LANES]))
    }
}

impl Add for Lane {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(from_fn(|i| self.0[i] + other.0[i]))
    }
}

impl Sub for Lane {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(from_fn(|i| self.0[i] - other.0[i]))
    }
}

impl Mul<Lane> for f32 {
    type Output = Lane;
    #[inline(always)]
    fn mul(self, lane: Lane) -> Lane {
        Lane(lane.0.map(|v| self * v))
    }
}

/// `M X M'` for the matrix `M` that `f` applies to a column.
#[inline(always)]
pub(crate) fn both<const I: usize, const O: usize>(
    f: impl Fn([Lane; I]) -> [Lane; O],
    x: [[Lane; I]; I],
) -> [[Lane; O]; O] {
    let columns: [[Lane; O]; I] = from_fn(|j| f(from_fn(|i| x[i][j])));
    from_fn(|i| f(from_fn(|j| columns[j][i])))
}

/// `B'`: inputs to points.
#[inline(always)]
pub(crate) fn input([a, b, c, d, e, f]: [Lane; 6]) -> [Lane; 6] {
    let (even, odd) = (e - 4. * c, d - 4. * b);
    let (even2, odd2) = (e - c, 2. * (d - b));
    [4. * a - 5. * c + e, even + odd, even - odd, even2 + odd2, even2 - odd2, 4. * b - 5. * d + f]
}

/// `G`: a kernel to points.
#[inline(always)]
pub(crate) fn kernel([a, b, c]: [Lane; 3]) -> [Lane; 6] {
    let (even, odd) = ((1. / 6.) * (a + c), (1. / 6.) * b);
    let (even2, odd2) = ((1. / 24.) * a + (1. / 6.) * c, (1. / 12.) * b);
    let zero = Lane([0.; LANES]);
    [0.25 * a, zero - even - odd, odd - even, even2 + odd2, even2 - odd2, c]
}

/// `A'`: points to outputs.
#[inline(always)]
pub(crate) fn output([a, b, c, d, e, f]: [Lane; 6]) -> [Lane; 4] {
    let (sum, difference, sum2, difference2) = (b + c, b - c, d + e, d - e);
    [a + sum + sum2, difference + 2. * difference2, sum + 4. * sum2, difference + 8. * difference2 + f]
}

/// `A`: the gradient of outputs to that of points.
#[inline(always)]
pub(crate) fn output_gradient([a, b, c, d]: [Lane; 4]) -> [Lane; 6] {
    let (even, odd) = (a + c, b + d);
    let (even2, odd2) = (a + 4. * c, 2. * b + 8. * d);
    [a, even + odd, even - odd, even2 + odd2, even2 - odd2, d]
}

/// `G'`: the gradient of points to that of a kernel.
#[inline(always)]
pub(crate) fn kernel_gradient([a, b, c, d, e, f]: [Lane; 6]) -> [Lane; 3] {
    let (sum, sum2) = ((1. / 6.) * (b + c), d + e);
    [0.25 * a - sum + (1. / 24.) * sum2, (1. / 6.) * (c - b) + (1. / 12.) * (d - e), (1. / 6.) * sum2 - sum + f]
}
