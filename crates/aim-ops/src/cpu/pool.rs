//! Pooling, one plane at a time, row by row.

use std::ops::Range;

use candle_core::{Result, Tensor};

use super::{
    par,
    reduce::sum,
    scratch,
    shared::{Shared, filled},
    simd::wide,
};
use crate::{
    Pool2d,
    custom::{needed, op1},
    host,
};

/// The shapes of a pooling.
#[derive(Clone, Copy)]
struct Shape {
    planes: usize,
    input: [usize; 2],
    output: [usize; 2],
    p: Pool2d,
}

impl Shape {
    fn new(x: &Tensor, p: Pool2d) -> Result<Self> {
        let (b, c, h, w) = x.dims4()?;
        let out = |n: usize| (n + 2 * p.padding - p.kernel) / p.stride + 1;
        Ok(Self { planes: b * c, input: [h, w], output: [out(h), out(w)], p })
    }

    /// Elements of an input and of an output plane.
    fn areas(&self) -> [usize; 2] {
        [self.input[0] * self.input[1], self.output[0] * self.output[1]]
    }

    /// The windows whose tap number `tap` lies within the input, and what the first of them reads there.
    #[inline(always)]
    fn windows(&self, axis: usize, tap: usize) -> (Range<usize>, usize) {
        let (s, p) = (self.p.stride, self.p.padding);
        let first = p.saturating_sub(tap).div_ceil(s);
        let end = (self.input[axis] + p).saturating_sub(tap).div_ceil(s).min(self.output[axis]);
        (first..end.max(first), first * s + tap - p.min(first * s + tap))
    }

    /// Distance between two columns' remainders, modulo the stride, in a sorted row.
    fn phase(&self) -> usize {
        self.input[1].div_ceil(self.p.stride)
    }

    /// Elements of a plane whose rows are sorted by column modulo the stride: what neighbouring windows read for one tap is
    /// then one run of memory.
    fn sorted_area(&self) -> usize {
        self.input[0] * self.phase() * self.p.stride
    }

    /// Calls `f` with the elements of each row's remainders, sorted and as they were: index, sorted range.
    #[inline(always)]
    fn phases(&self, mut f: impl FnMut(usize, Range<usize>)) {
        for r in 0..self.input[0] {
            for phase in 0..self.p.stride.min(self.input[1]) {
                let len = (self.input[1] - phase).div_ceil(self.p.stride);
                let at = (r * self.p.stride + phase) * self.phase();
                f(r * self.input[1] + phase, at..at + len);
            }
        }
    }

    #[inline(always)]
    fn sort(&self, plane: &[f32], out: &mut [f32]) {
        self.phases(|from, to| {
            out[to].iter_mut().zip(plane[from..].iter().step_by(self.p.stride)).for_each(|(o, v)| *o = *v);
        });
    }

    #[inline(always)]
    fn unsort(&self, sorted: &[f32], plane: &mut [f32]) {
        self.phases(|to, from| {
            plane[to..].iter_mut().step_by(self.p.stride).zip(&sorted[from]).for_each(|(o, v)| *o = *v);
        });
    }

    /// Calls `f` for each row of windows and each tap: output range, first input, in their (sorted) planes. A window's taps
    /// come in the order of memory.
    #[inline(always)]
    fn taps(&self, mut f: impl FnMut(Range<usize>, usize)) {
        for u in 0..self.p.kernel {
            let (rows, first_row) = self.windows(0, u);
            for v in 0..self.p.kernel {
                let (cols, first) = self.windows(1, v);
                for (i, r) in rows.clone().enumerate() {
                    let to = r * self.output[1];
                    if !cols.is_empty() {
                        let row = (first_row + i * self.p.stride) * self.p.stride;
                        let from = (row + first % self.p.stride) * self.phase() + first / self.p.stride;
                        f(to + cols.start..to + cols.end, from);
                    }
                }
            }
        }
    }

    /// A value for each element of the output, or of the input, from `f(plane, its elements)`.
    fn each_plane(&self, area: usize, f: impl Fn(usize, &mut [f32]) + Sync + Send) -> Vec<f32> {
        let fill = |out: Shared<'_>| {
            par::runs(self.planes, self.areas()[0], |run| {
                wide(|| {
                    for plane in run.clone() {
                        // SAFETY: planes do not overlap.
                        f(plane, unsafe { out.part(plane * area, area) });
                    }
                });
            });
        };
        // SAFETY: every caller's `f` writes its whole plane.
        unsafe { filled(self.planes * area, fill) }
    }

    fn dims(&self, x: &Tensor) -> [usize; 4] {
        [x.dims()[0], x.dims()[1], self.output[0], self.output[1]]
    }
}

/// The maxima of each plane.
fn max_forward(s: &Shape, x: &[f32]) -> Vec<f32> {
    let [area, out_area] = s.areas();
    s.each_plane(out_area, |plane, y| {
        scratch::with([s.sorted_area()], |[sorted]| {
            s.sort(&x[plane * area..][..area], sorted);
            y.fill(f32::NEG_INFINITY);
            s.taps(|to, from| {
                let y = &mut y[to];
                // NaN wins and stays. Without short cuts, so that this becomes vector code.
                y.iter_mut().zip(&sorted[from..]).for_each(|(y, v)| *y = if (*v <= *y) | y.is_nan() { *y } else { *v });
            });
        });
    })
}

/// Each maximum's gradient goes to the first element that equals it.
fn max_backward(s: &Shape, x: &[f32], y: &[f32], dy: &[f32]) -> Vec<f32> {
    let [area, out_area] = s.areas();
    s.each_plane(area, |plane, dx| {
        scratch::with([s.sorted_area(), s.sorted_area(), out_area], |[x_sorted, dx_sorted, left]| {
            s.sort(&x[plane * area..][..area], x_sorted);
            dx_sorted.fill(0.);
            left[..out_area].copy_from_slice(&dy[plane * out_area..][..out_area]);
            let y = &y[plane * out_area..][..out_area];
            s.taps(|to, from| {
                let n = to.len();
                let (dx, x) = (&mut dx_sorted[from..from + n], &x_sorted[from..from + n]);
                let (y, left) = (&y[to.clone()], &mut left[to]);
                for i in 0..n {
                    let hit = (x[i] == y[i]) | x[i].is_nan();
                    dx[i] += if hit { left[i] } else { 0. };
                    left[i] = if hit { 0. } else { left[i] };
                }
            });
            s.unsort(dx_sorted, dx);
        });
    })
}

pub(crate) fn max_pool2d(x: &Tensor, p: Pool2d) -> Result<Tensor> {
    const OP: &str = "max_pool2d";
    let x = &x.contiguous()?;
    let s = Shape::new(x, p)?;
    let y = host::read(OP, [x], |[x]| Ok(max_forward(&s, x)))?;
    op1(OP, x, y, &s.dims(x), move |[x], y, dy| {
        Ok([needed(x, || host::read(OP, [x, y, dy], |[x, y, dy]| Ok(max_backward(&s, x, y, dy))))?])
    })
}

fn avg_forward(s: &Shape, x: &[f32]) -> Vec<f32> {
    let [area, out_area] = s.areas();
    let share = 1. / (s.p.kernel * s.p.kernel) as f32;
    s.each_plane(out_area, |plane, y| {
        scratch::with([s.sorted_area()], |[sorted]| {
            s.sort(&x[plane * area..][..area], sorted);
            y.fill(0.);
            s.taps(|to, from| y[to].iter_mut().zip(&sorted[from..]).for_each(|(y, v)| *y += v));
            y.iter_mut().for_each(|y| *y *= share);
        });
    })
}

fn avg_backward(s: &Shape, dy: &[f32]) -> Vec<f32> {
    let [area, out_area] = s.areas();
    let share = 1. / (s.p.kernel * s.p.kernel) as f32;
    s.each_plane(area, |plane, dx| {
        scratch::with([s.sorted_area()], |[sorted]| {
            sorted.fill(0.);
            let dy = &dy[plane * out_area..][..out_area];
            s.taps(|to, from| sorted[from..].iter_mut().zip(&dy[to]).for_each(|(dx, v)| *dx += v * share));
            s.unsort(sorted, dx);
        });
    })
}

pub(crate) fn avg_pool2d(x: &Tensor, p: Pool2d) -> Result<Tensor> {
    const OP: &str = "avg_pool2d";
    let x = &x.contiguous()?;
    let s = Shape::new(x, p)?;
    let y = host::read(OP, [x], |[x]| Ok(avg_forward(&s, x)))?;
    op1(OP, x, y, &s.dims(x), move |[x], _, dy| {
        Ok([needed(x, || host::read(OP, [dy], |[dy]| Ok(avg_backward(&s, dy))))?])
    })
}

pub(crate) fn global_avg_pool(x: &Tensor) -> Result<Tensor> {
    const OP: &str = "global_avg_pool";
    let x = &x.contiguous()?;
    let planes = x.dims()[0] * x.dims()[1];
    let area = x.elem_count() / planes;
    let y = host::read(OP, [x], |[x]| Ok(x.chunks_exact(area).map(|x| sum(x) / area as f32).collect()))?;
    op1(OP, x, y, &x.dims()[..2], move |[x], _, dy| {
        let spread = |dy: &[f32]| {
            let mut dx = Vec::with_capacity(planes * area);
            dy.iter().for_each(|dy| dx.resize(dx.len() + area, dy / area as f32));
            dx
        };
        Ok([needed(x, || host::read(OP, [dy], |[dy]| Ok(spread(dy))))?])
    })
}
