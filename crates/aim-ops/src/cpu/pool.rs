//! Pooling, one plane at a time, row by row.

use std::ops::Range;

use candle_core::{Result, Tensor};

use super::{
    par,
    reduce::sum,
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

    /// Calls `f` for each row of windows and each tap: output range, first input, in their planes. A window's taps come in
    /// the order of memory.
    #[inline(always)]
    fn taps(&self, mut f: impl FnMut(Range<usize>, usize)) {
        for u in 0..self.p.kernel {
            let (rows, first_row) = self.windows(0, u);
            for v in 0..self.p.kernel {
                let (cols, first) = self.windows(1, v);
                for (i, r) in rows.clone().enumerate() {
                    let to = r * self.output[1];
                    if !cols.is_empty() {
                        f(to + cols.start..to + cols.end, (first_row + i * self.p.stride) * self.input[1] + first);
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
        // SAFETY: `f` fills each plane: all of its callers start with `fill`.
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
        y.fill(f32::NEG_INFINITY);
        let x = &x[plane * area..][..area];
        s.taps(|to, from| {
            let values = x[from..].iter().step_by(s.p.stride);
            // NaN wins and stays.
            y[to].iter_mut().zip(values).for_each(|(y, v)| *y = if *v <= *y || y.is_nan() { *y } else { *v });
        });
    })
}

/// Each maximum's gradient goes to the first element that equals it.
fn max_backward(s: &Shape, x: &[f32], y: &[f32], dy: &[f32]) -> Vec<f32> {
    let [area, out_area] = s.areas();
    s.each_plane(area, |plane, dx| {
        dx.fill(0.);
        let x = &x[plane * area..][..area];
        let (y, mut left) = (&y[plane * out_area..][..out_area], dy[plane * out_area..][..out_area].to_vec());
        s.taps(|to, from| {
            let values = dx[from..].iter_mut().zip(&x[from..]).step_by(s.p.stride);
            for ((dx, x), (y, left)) in values.zip(y[to.clone()].iter().zip(&mut left[to])) {
                let hit = x == y || x.is_nan();
                *dx += if hit { *left } else { 0. };
                *left = if hit { 0. } else { *left };
            }
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
        y.fill(0.);
        let x = &x[plane * area..][..area];
        s.taps(|to, from| y[to].iter_mut().zip(x[from..].iter().step_by(s.p.stride)).for_each(|(y, v)| *y += v));
        y.iter_mut().for_each(|y| *y *= share);
    })
}

fn avg_backward(s: &Shape, dy: &[f32]) -> Vec<f32> {
    let [area, out_area] = s.areas();
    let share = 1. / (s.p.kernel * s.p.kernel) as f32;
    s.each_plane(area, |plane, dx| {
        dx.fill(0.);
        let dy = &dy[plane * out_area..][..out_area];
        s.taps(|to, from| dx[from..].iter_mut().step_by(s.p.stride).zip(&dy[to]).for_each(|(dx, v)| *dx += v * share));
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
