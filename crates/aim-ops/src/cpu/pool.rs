//! Pooling, one plane at a time, row by row.

use std::ops::Range;

use candle_core::{Result, Tensor};

use super::{
    lanes::{add, interleave, pass, raise},
    par,
    reduce::sum,
    scratch,
    shared::{Shared, filled},
    simd::kernel,
    strided::every_second,
};
use crate::{
    Pool2d,
    custom::{needed, op1},
    host,
};

/// Side of the widest window whose taps have numbers of one byte.
pub(crate) const WIDEST: usize = 16;

/// One of the window's taps, for a row of windows: what they read are elements that follow each other.
struct Tap {
    number: u8,
    /// The windows in which it lies within the input.
    windows: Range<usize>,
    /// What the first of them reads, in a sorted plane.
    from: usize,
}

/// The shapes of a pooling.
struct Shape {
    planes: usize,
    input: [usize; 2],
    output: [usize; 2],
    p: Pool2d,
    /// All taps of all rows of a plane's windows; a window's taps come in the order of memory.
    taps: Vec<Tap>,
}

impl Shape {
    fn new(x: &Tensor, p: Pool2d) -> Result<Self> {
        let (b, c, h, w) = x.dims4()?;
        let out = |n: usize| (n + 2 * p.padding - p.kernel) / p.stride + 1;
        let mut shape = Self { planes: b * c, input: [h, w], output: [out(h), out(w)], p, taps: vec![] };
        shape.taps = (0..shape.output[0]).flat_map(|r| shape.row_taps(r)).collect();
        Ok(shape)
    }

    /// The taps of row `r` of the windows.
    fn row_taps(&self, r: usize) -> Vec<Tap> {
        let (Pool2d { kernel, stride, padding }, [h, w], [_, width]) = (self.p, self.input, self.output);
        let mut taps = Vec::with_capacity(kernel * kernel);
        for u in 0..kernel {
            let Some(row) = (r * stride + u).checked_sub(padding).filter(|row| *row < h) else { continue };
            for v in 0..kernel {
                let first = padding.saturating_sub(v).div_ceil(stride);
                let end = (w + padding).saturating_sub(v).div_ceil(stride).min(width);
                if first < end {
                    let column = first * stride + v - padding;
                    let from = row * self.sorted_row() + column % stride * self.phase() + column / stride;
                    let windows = r * width + first..r * width + end;
                    taps.push(Tap { number: (u * kernel + v) as u8, windows, from });
                }
            }
        }
        taps
    }

    /// Elements of an input and of an output plane.
    fn areas(&self) -> [usize; 2] {
        [self.input[0] * self.input[1], self.output[0] * self.output[1]]
    }

    /// Distance between two columns' remainders, modulo the stride, in a sorted row.
    fn phase(&self) -> usize {
        self.input[1].div_ceil(self.p.stride)
    }

    /// Length of a row sorted by column modulo the stride: what neighbouring windows read for one tap is then one run
    /// of memory.
    fn sorted_row(&self) -> usize {
        self.phase() * self.p.stride
    }

    #[inline(always)]
    fn sort(&self, plane: &[f32], out: &mut [f32]) {
        let [_, w] = self.input;
        for (row, out) in plane.chunks_exact(w).zip(out.chunks_exact_mut(self.sorted_row())) {
            for (from, out) in out.chunks_exact_mut(self.phase()).enumerate().take(w) {
                let out = &mut out[..(w - from).div_ceil(self.p.stride)];
                match self.p.stride {
                    1 => out.copy_from_slice(row),
                    2 => every_second(&row[from..], out),
                    n => out.iter_mut().zip(row[from..].iter().step_by(n)).for_each(|(o, v)| *o = *v),
                }
            }
        }
    }

    #[inline(always)]
    fn unsort(&self, sorted: &[f32], plane: &mut [f32]) {
        let [_, w] = self.input;
        for (row, sorted) in plane.chunks_exact_mut(w).zip(sorted.chunks_exact(self.sorted_row())) {
            match self.p.stride {
                1 => row.copy_from_slice(sorted),
                2 => interleave(sorted.split_at(self.phase()), row),
                n => {
                    for (to, sorted) in sorted.chunks_exact(self.phase()).enumerate().take(w) {
                        row[to..].iter_mut().step_by(n).zip(sorted).for_each(|(o, v)| *o = *v);
                    }
                }
            }
        }
    }

    /// Sets each window's tap to its first one within the input.
    #[inline(always)]
    fn first_taps(&self, taps: &mut [u8]) {
        let Pool2d { kernel, stride, padding } = self.p;
        let inside = |i: usize| padding.saturating_sub(i * stride);
        for (r, taps) in taps.chunks_exact_mut(self.output[1]).enumerate() {
            for (c, tap) in taps.iter_mut().enumerate() {
                *tap = (inside(r) * kernel + inside(c)) as u8;
            }
        }
    }

    /// A value for each element of the output, or of the input, from
    /// `f(plane, its elements, scratch for a sorted plane)`.
    fn each_plane(&self, area: usize, f: impl Fn(usize, &mut [f32], &mut [f32]) + Sync + Send) -> Vec<f32> {
        let sorted = self.input[0] * self.sorted_row();
        let fill = |out: Shared<'_>| {
            par::runs(self.planes, self.areas()[0], |run| {
                scratch::with([sorted], |[room]| {
                    for plane in run {
                        // SAFETY: planes do not overlap.
                        f(plane, unsafe { out.part(plane * area, area) }, &mut room[..sorted]);
                    }
                });
            });
        };
        // SAFETY: every caller's `f` writes its whole plane.
        unsafe { filled(self.planes * area, fill) }
    }

    /// Share of an element in a window's mean.
    fn share(&self) -> f32 {
        1. / (self.p.kernel * self.p.kernel) as f32
    }

    fn dims(&self, x: &Tensor) -> [usize; 4] {
        [x.dims()[0], x.dims()[1], self.output[0], self.output[1]]
    }
}

kernel! {
    /// The maxima of a plane, and where each was found first; `sorted` is scratch memory.
    fn max_plane(s: &Shape, x: &[f32], y: &mut [f32], best: &mut [u8], sorted: &mut [f32]) {
        s.sort(x, sorted);
        s.first_taps(best);
        y.fill(f32::NEG_INFINITY);
        for tap in &s.taps {
            let (y, best) = (&mut y[tap.windows.clone()], &mut best[tap.windows.clone()]);
            raise(y, best, &sorted[tap.from..][..tap.windows.len()], tap.number);
        }
    }
}

kernel! {
    /// The gradient of a plane from those of its maxima.
    fn max_plane_gradient(s: &Shape, dx: &mut [f32], best: &[u8], dy: &[f32], sorted: &mut [f32]) {
        sorted.fill(0.);
        for tap in &s.taps {
            let (best, dy) = (&best[tap.windows.clone()], &dy[tap.windows.clone()]);
            pass(&mut sorted[tap.from..][..tap.windows.len()], best, dy, tap.number);
        }
        s.unsort(sorted, dx);
    }
}

/// The maxima of each plane, and the number of the tap where each was found first.
fn max_forward(s: &Shape, x: &[f32]) -> (Vec<f32>, Vec<u8>) {
    let [area, out_area] = s.areas();
    let mut taps = vec![0u8; s.planes * out_area];
    let best = Shared::new(&mut taps);
    let y = s.each_plane(out_area, |plane, y, sorted| {
        // SAFETY: planes do not overlap.
        max_plane(s, &x[plane * area..][..area], y, unsafe { best.part(plane * out_area, out_area) }, sorted);
    });
    (y, taps)
}

/// Each maximum's gradient goes to where it was found.
fn max_backward(s: &Shape, taps: &[u8], dy: &[f32]) -> Vec<f32> {
    let [area, out_area] = s.areas();
    s.each_plane(area, |plane, dx, sorted| {
        let of = plane * out_area..(plane + 1) * out_area;
        max_plane_gradient(s, dx, &taps[of.clone()], &dy[of], sorted);
    })
}

/// For windows of [`WIDEST`] at most.
pub(crate) fn max_pool2d(x: &Tensor, p: Pool2d) -> Result<Tensor> {
    const OP: &str = "max_pool2d";
    let x = &x.contiguous()?;
    let s = Shape::new(x, p)?;
    let (y, taps) = host::read(OP, [x], |[x]| Ok(max_forward(&s, x)))?;
    let dims = s.dims(x);
    op1(OP, x, y, &dims, move |[x], _, dy| {
        Ok([needed(x, || host::read(OP, [dy], |[dy]| Ok(max_backward(&s, &taps, dy))))?])
    })
}

kernel! {
    /// The sums of a plane's windows times `share`.
    fn avg_plane(s: &Shape, x: &[f32], y: &mut [f32], share: f32, sorted: &mut [f32]) {
        s.sort(x, sorted);
        y.fill(0.);
        for tap in &s.taps {
            add(&mut y[tap.windows.clone()], &sorted[tap.from..][..tap.windows.len()], 1.);
        }
        for y in y {
            *y *= share;
        }
    }
}

kernel! {
    /// The gradient of a plane from those of its sums.
    fn avg_plane_gradient(s: &Shape, dx: &mut [f32], dy: &[f32], share: f32, sorted: &mut [f32]) {
        sorted.fill(0.);
        for tap in &s.taps {
            add(&mut sorted[tap.from..][..tap.windows.len()], &dy[tap.windows.clone()], share);
        }
        s.unsort(sorted, dx);
    }
}

fn avg_forward(s: &Shape, x: &[f32]) -> Vec<f32> {
    let ([area, out_area], share) = (s.areas(), s.share());
    s.each_plane(out_area, |plane, y, sorted| avg_plane(s, &x[plane * area..][..area], y, share, sorted))
}

fn avg_backward(s: &Shape, dy: &[f32]) -> Vec<f32> {
    let ([area, out_area], share) = (s.areas(), s.share());
    s.each_plane(area, |plane, dx, sorted| {
        avg_plane_gradient(s, dx, &dy[plane * out_area..][..out_area], share, sorted);
    })
}

pub(crate) fn avg_pool2d(x: &Tensor, p: Pool2d) -> Result<Tensor> {
    const OP: &str = "avg_pool2d";
    let x = &x.contiguous()?;
    let s = Shape::new(x, p)?;
    let y = host::read(OP, [x], |[x]| Ok(avg_forward(&s, x)))?;
    let dims = s.dims(x);
    op1(OP, x, y, &dims, move |[x], _, dy| Ok([needed(x, || host::read(OP, [dy], |[dy]| Ok(avg_backward(&s, dy))))?]))
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
