//! Images as operands of a product: windows gathered on the fly from planes that carry their border of zeros.

use std::{borrow::Cow, ops::Range};

use super::{
    gemm::Source,
    par,
    shared::Shared,
    simd::kernel,
    strided::{every_fourth, split},
    transpose::transpose,
};

/// Planes with a border, so that no window leaves them. Each row is sorted by column modulo `stride`: what windows that
/// are `stride` apart read for one tap is then one run of memory.
pub(crate) struct Planes<'a> {
    values: Cow<'a, [f32]>,
    /// Distance between two planes.
    pub(crate) plane: usize,
    /// Distance between two rows.
    pub(crate) row: usize,
    stride: usize,
}

/// What part of an endless plane of zeros around the image to take.
#[derive(Clone, Copy)]
pub(crate) struct Frame {
    /// Height and width of the image.
    pub(crate) image: [usize; 2],
    /// Rows above and columns left of it; negative: cut off.
    pub(crate) before: [isize; 2],
    /// Height and width of the frame.
    pub(crate) size: [usize; 2],
}

impl<'a> Planes<'a> {
    pub(crate) fn new(images: &'a [f32], frame: Frame, stride: usize) -> Self {
        let Frame { image: [h, w], before, size } = frame;
        if stride == 1 && before == [0, 0] && size[0] <= h && size[1] == w {
            return Self { values: Cow::Borrowed(images), plane: h * w, row: w, stride };
        }
        let row = size[1].next_multiple_of(stride);
        let plane = size[0] * row;
        let count = images.len() / (h * w);
        // With room for copies of fixed length behind the last plane.
        let mut values = vec![0f32; count * plane + WIDE];
        let out = Shared::new(&mut values);
        let spans = frame.spans(stride, row);
        par::runs(count, plane, |run| {
            // SAFETY: planes do not overlap.
            let to = unsafe { out.part(run.start * plane, run.len() * plane) };
            copy_images(&images[run.start * h * w..run.end * h * w], frame, &spans, stride, row, to);
        });
        Self { values: Cow::Owned(values), plane, row, stride }
    }

    /// These planes, if they are not the images themselves.
    pub(crate) fn made(self) -> Option<Planes<'static>> {
        let Self { values: Cow::Owned(values), plane, row, stride } = self else { return None };
        Some(Planes { values: Cow::Owned(values), plane, row, stride })
    }

    /// Where the element of row `r` and column `c` is, from its plane's first element.
    pub(crate) fn at(&self, r: usize, c: usize) -> usize {
        r * self.row + c % self.stride * (self.row / self.stride) + c / self.stride
    }
}

/// Pixels of an image's row that follow each other in the frame's row: `len` of them, `stride` apart.
struct Span {
    from: usize,
    to: usize,
    len: usize,
}

impl Frame {
    /// Where each phase of a row of the image goes.
    fn spans(self, stride: usize, row: usize) -> Vec<Span> {
        let Self { image: [_, w], before: [_, left], size: [_, cols] } = self;
        let span = |phase: usize| {
            // Columns of the frame in this phase whose pixel is in the image.
            let first = (left - phase as isize).max(0) as usize;
            let first = first.div_ceil(stride);
            let end = ((w as isize + left).clamp(0, cols as isize) - phase as isize).max(0) as usize;
            let len = end.div_ceil(stride).checked_sub(first).filter(|len| *len > 0)?;
            let from = ((first * stride + phase) as isize - left) as usize;
            Some(Span { from, to: phase * (row / stride) + first, len })
        };
        (0..stride).filter_map(span).collect()
    }
}

kernel! {
    /// Copies images into their frames of zeros.
    fn copy_images(images: &[f32], frame: Frame, spans: &[Span], stride: usize, row: usize, out: &mut [f32]) {
        let (area, plane) = (frame.image[0] * frame.image[1], frame.size[0] * row);
        for (image, out) in images.chunks_exact(area).zip(out.chunks_exact_mut(plane)) {
            copy_image(image, frame, spans, stride, row, out);
        }
    }
}

/// Copies one image into its frame of zeros.
#[inline(always)]
fn copy_image(image: &[f32], frame: Frame, spans: &[Span], stride: usize, row: usize, out: &mut [f32]) {
    let Frame { image: [h, w], before: [top, _], size: [rows, _] } = frame;
    for (r, out) in out.chunks_exact_mut(row).take(rows).enumerate() {
        let Some(r) = r.checked_add_signed(-top).filter(|r| *r < h) else { continue };
        // What lies behind the row may be read along, but is not kept.
        let image = &image[r * w..];
        if let (2, [a, b]) = (stride, spans) {
            let (left, right) = out.split_at_mut(row / 2);
            let (left, right) = (&mut left[a.to..][..a.len], &mut right[b.to - row / 2..][..b.len]);
            if a.from < b.from {
                split(&image[a.from..], left, right)
            } else {
                split(&image[b.from..], right, left)
            }
            continue;
        }
        for Span { from, to, len } in spans {
            let (out, image) = (&mut out[*to..][..*len], &image[*from..]);
            match stride {
                1 => out.copy_from_slice(&image[..*len]),
                4 => every_fourth(image, out),
                _ => out.iter_mut().zip(image.iter().step_by(stride)).for_each(|(o, v)| *o = *v),
            }
        }
    }
}

/// The matrix of windows: a row for each (channel, tap), a column for each (sample, window).
pub(crate) struct Windows<'a> {
    values: &'a [f32],
    /// Where each row's first window reads, in the first sample.
    offsets: Vec<usize>,
    /// Distance between two samples.
    sample: usize,
    /// Distance between two rows of windows.
    step: usize,
    grid: [usize; 2],
}

/// Consecutive windows that read consecutive elements.
struct Run {
    from: usize,
    to: usize,
    len: usize,
}

impl<'a> Windows<'a> {
    /// The windows of `channels` out of `sample_channels`, whose taps read at `taps` (row, column); the first window of
    /// the `grid` starts at the frame's corner, the next ones `steps` further.
    pub(crate) fn new(
        planes: &'a Planes<'_>,
        channels: Range<usize>,
        sample_channels: usize,
        taps: &[[usize; 2]],
        grid: [usize; 2],
        row_step: usize,
    ) -> Self {
        let taps: Vec<usize> = taps.iter().map(|&[r, c]| planes.at(r, c)).collect();
        let offsets = channels.flat_map(|c| taps.iter().map(move |t| c * planes.plane + t)).collect();
        let step = row_step * planes.row;
        // Rows of windows that follow each other in memory are one row.
        let grid = if step == grid[1] && planes.stride == 1 { [1, grid[0] * grid[1]] } else { grid };
        Self { values: &planes.values, offsets, sample: sample_channels * planes.plane, step, grid }
    }

    fn runs(&self, cols: Range<usize>) -> Vec<Run> {
        let [height, width] = self.grid;
        let mut runs = Vec::with_capacity(cols.len() / width + 2);
        let mut at = cols.start;
        while at < cols.end {
            let (b, r, c) = (at / (height * width), at / width % height, at % width);
            let len = (width - c).min(cols.end - at);
            runs.push(Run { from: b * self.sample + r * self.step + c, to: at - cols.start, len });
            at += len;
        }
        runs
    }
}

/// Elements copied at once.
const WIDE: usize = 16;

/// Copies each run from each offset to the next row of `out`, `stride` apart.
///
/// A few elements more are copied where both sides have room: what is too much is overwritten by the next run, and
/// copies of a fixed length are much faster.
#[inline(always)]
fn copy_runs(values: &[f32], offsets: &[usize], runs: &[Run], out: &mut [f32], stride: usize) {
    let pieces = |r: &Run| {
        let (from, to) = (r.from, r.to);
        (0..r.len).step_by(WIDE).map(move |at| (from + at, to + at))
    };
    let pieces: Vec<(usize, usize)> = runs.iter().flat_map(pieces).collect();
    let furthest = |f: fn(&(usize, usize)) -> usize| pieces.iter().map(f).max().unwrap_or(0) + WIDE;
    let last = offsets.iter().max().copied().unwrap_or(0);
    let rows = offsets.len().saturating_sub(1) * stride;
    if last + furthest(|p| p.0) > values.len() || rows + furthest(|p| p.1) > out.len() {
        for (i, offset) in offsets.iter().enumerate() {
            for run in runs {
                let from = &values[offset + run.from..][..run.len];
                out[i * stride + run.to..][..run.len].copy_from_slice(from);
            }
        }
        return;
    }
    // SAFETY: no piece of any row reads or writes beyond what has just been compared with the lengths.
    unsafe {
        // Unrolled for the usual numbers of pieces.
        match pieces[..] {
            [a] => copy_pieces(values, offsets, [a], out, stride),
            [a, b] => copy_pieces(values, offsets, [a, b], out, stride),
            [a, b, c] => copy_pieces(values, offsets, [a, b, c], out, stride),
            [a, b, c, d] => copy_pieces(values, offsets, [a, b, c, d], out, stride),
            [a, b, c, d, e] => copy_pieces(values, offsets, [a, b, c, d, e], out, stride),
            _ => copy_pieces(values, offsets, &pieces, out, stride),
        }
    }
}

/// Copies whole pieces, (from, to) each, from each offset to the next row of `out`.
///
/// # Safety
/// Every piece of every row must lie within `values` and `out`.
#[inline(always)]
unsafe fn copy_pieces(
    values: &[f32],
    offsets: &[usize],
    pieces: impl AsRef<[(usize, usize)]>,
    out: &mut [f32],
    stride: usize,
) {
    let (values, mut row) = (values.as_ptr(), out.as_mut_ptr());
    for offset in offsets {
        for (from, to) in pieces.as_ref() {
            // SAFETY: the caller's promise; `values` and `out` are distinct.
            unsafe {
                let piece = values.add(offset + from).cast::<[f32; WIDE]>().read_unaligned();
                row.add(*to).cast::<[f32; WIDE]>().write_unaligned(piece);
            }
        }
        row = row.wrapping_add(stride);
    }
}

impl Source for Windows<'_> {
    #[inline(always)]
    fn fill(&self, rows: Range<usize>, cols: Range<usize>, out: &mut [f32], stride: usize) {
        copy_runs(self.values, &self.offsets[rows], &self.runs(cols), out, stride);
    }
}

/// The matrix with a row for each (sample, pixel) and a column for each of some channels of `[B, C, P]`.
pub(crate) struct Pixels<'a> {
    pub(crate) values: &'a [f32],
    /// First of the columns' channels.
    pub(crate) first: usize,
    /// Channels of a sample.
    pub(crate) channels: usize,
    /// Pixels of a channel.
    pub(crate) plane: usize,
}

impl Source for Pixels<'_> {
    #[inline(always)]
    fn fill(&self, rows: Range<usize>, cols: Range<usize>, out: &mut [f32], stride: usize) {
        let mut at = rows.start;
        while at < rows.end {
            let (b, p) = (at / self.plane, at % self.plane);
            let len = (self.plane - p).min(rows.end - at);
            let from = (b * self.channels + self.first + cols.start) * self.plane + p;
            let out = &mut out[(at - rows.start) * stride..];
            transpose(&self.values[from..], [1, self.plane], [len, cols.len()], out, stride);
            at += len;
        }
    }
}
