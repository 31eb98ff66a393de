//! Antialiased bilinear resizing, as Pillow does it: across, rounded to 8 bits, then down, in whole numbers. The
//! results are those of Pillow up to version 12, bit for bit; version 13 goes down first for some shapes and differs
//! by 1 of 255.

use super::picture::Picture;
use super::weights::{HALF, Weights, round};
use crate::{Error, Result};

/// Largest number of pixels of a result.
const MAX_PIXELS: usize = 100_000_000;

impl Picture {
    /// The picture at another size, antialiased and bilinear.
    ///
    /// # Errors
    /// A size of no pixel, or of more than 100 million.
    pub fn resize(&self, width: usize, height: usize) -> Result<Self> {
        self.resize_box([0.0, 0.0, self.width as f32, self.height as f32], width, height)
    }

    /// A rectangle `[left, top, right, bottom]` of the picture, in pixels and fractions of them, at a given size. Near
    /// its edges the filter sees pixels outside, as with Pillow's argument `box`; crop first where it must not.
    ///
    /// # Errors
    /// A size of no pixel, or of more than 100 million; a rectangle that is empty or reaches beyond the picture.
    pub fn resize_box(&self, [left, top, right, bottom]: [f32; 4], width: usize, height: usize) -> Result<Self> {
        if width == 0 || height == 0 || width.checked_mul(height).is_none_or(|pixels| pixels > MAX_PIXELS) {
            let problem = format!("a picture of {width} x {height} pixels is not made");
            return Err(Error::new(
                "resize",
                problem,
                "choose sides of at least one pixel and at most 100 million in all",
            ));
        }
        // Between the two passes the picture has its new width and the rectangle's height.
        if ((bottom - top).ceil().max(0.0) as usize).saturating_mul(width) > MAX_PIXELS {
            let problem =
                format!("{width} columns of {:.0} rows are more than 100 million pixels on the way", bottom - top);
            return Err(Error::new("resize", problem, "choose a smaller width, or crop the picture first"));
        }
        let inside = |start: f32, end: f32, side: usize| 0.0 <= start && start < end && end <= side as f32;
        if !inside(left, right, self.width) || !inside(top, bottom, self.height) {
            let problem =
                format!("({left}, {top}) to ({right}, {bottom}) is no part of {} x {}", self.width, self.height);
            return Err(Error::new("resize", problem, "choose a rectangle of some size within the picture"));
        }
        Ok(run(self, [[left, right], [top, bottom]], [width, height]))
    }
}

/// Resizes with the widest instructions at hand.
fn run(picture: &Picture, stretches: [[f32; 2]; 2], size: [usize; 2]) -> Picture {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") {
        // SAFETY: the processor has AVX2.
        return unsafe { both_avx2(picture, stretches, size) };
    }
    both(picture, stretches, size)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn both_avx2(picture: &Picture, stretches: [[f32; 2]; 2], size: [usize; 2]) -> Picture {
    both(picture, stretches, size)
}

/// Resizes across, then down; an axis that keeps its size is left alone.
#[inline(always)]
fn both(picture: &Picture, [across, down]: [[f32; 2]; 2], [width, height]: [usize; 2]) -> Picture {
    let whole = |stretch: [f32; 2], side: usize, new: usize| side == new && stretch == [0.0, side as f32];
    let rows = Weights::new(picture.height, down, height);
    let [top, bottom] = if whole(down, picture.height, height) { [0, picture.height] } else { rows.range() };
    let narrowed = if whole(across, picture.width, width) {
        picture.rgb[3 * picture.width * top..3 * picture.width * bottom].to_vec()
    } else {
        let columns = Weights::new(picture.width, across, width);
        narrow(&picture.rgb[3 * picture.width * top..3 * picture.width * bottom], picture.width, &columns)
    };
    let rgb = if whole(down, picture.height, height) { narrowed } else { shorten(&narrowed, 3 * width, &rows, top) };
    Picture { width, height, rgb }
}

/// Rows of another width.
#[inline(always)]
fn narrow(rgb: &[u8], width: usize, columns: &Weights) -> Vec<u8> {
    let stride = 3 * columns.first.len();
    let length = rgb.len() / (3 * width) * stride;
    // A byte more here and there, as pixels are read and written with the byte behind them.
    let mut out = vec![0; length + 1];
    let mut row = vec![0; 3 * width + 1];
    for (y, values) in rgb.chunks_exact(3 * width).enumerate() {
        row[..3 * width].copy_from_slice(values);
        let out = &mut out[y * stride..][..stride + 1];
        // The usual numbers of weights get loops of their own, without a count.
        match columns.taps {
            2 => narrow_row(&row, columns, |weights| weights.first_chunk::<2>(), out),
            3 => narrow_row(&row, columns, |weights| weights.first_chunk::<3>(), out),
            4 => narrow_row(&row, columns, |weights| weights.first_chunk::<4>(), out),
            5 => narrow_row(&row, columns, |weights| weights.first_chunk::<5>(), out),
            _ => narrow_row(&row, columns, Some, out),
        }
    }
    out.truncate(length);
    out
}

/// A row of another width, with weights as slices or as arrays of a known length.
#[inline(always)]
fn narrow_row<'w, W: AsRef<[i32]> + ?Sized + 'w>(
    row: &[u8],
    columns: &'w Weights,
    view: impl Fn(&'w [i32]) -> Option<&'w W>,
    out: &mut [u8],
) {
    for (x, (weights, &first)) in columns.weights.chunks_exact(columns.taps).zip(&columns.first).enumerate() {
        if let (Some(weights), Some(out)) = (view(weights), out[3 * x..].first_chunk_mut::<4>()) {
            *out = pixel(&row[3 * first..], weights.as_ref());
        }
    }
}

/// Weighted sum of neighbouring pixels, with a fourth value that means nothing.
#[inline(always)]
fn pixel(values: &[u8], weights: &[i32]) -> [u8; 4] {
    let values = &values[..3 * weights.len() + 1];
    let mut sums = [HALF; 4];
    for (i, weight) in weights.iter().enumerate() {
        if let Some(pixel) = values[3 * i..].first_chunk::<4>() {
            sums = std::array::from_fn(|c| sums[c] + i32::from(pixel[c]) * weight);
        }
    }
    sums.map(round)
}

/// As many rows as there are weights for, from rows of which the first has number `top`.
#[inline(always)]
fn shorten(values: &[u8], stride: usize, rows: &Weights, top: usize) -> Vec<u8> {
    /// Number of neighbouring values that are summed at a time, in registers.
    const LANES: usize = 32;
    let mut out = vec![0; stride * rows.first.len()];
    let outputs = out.chunks_exact_mut(stride).zip(rows.weights.chunks_exact(rows.taps));
    for ((out, weights), &first) in outputs.zip(&rows.first) {
        let values = &values[stride * (first - top)..][..stride * rows.taps];
        let (wide, rest) = out.as_chunks_mut::<LANES>();
        let done = LANES * wide.len();
        for (i, out) in wide.iter_mut().enumerate() {
            *out = column::<LANES>(&values[LANES * i..], stride, weights);
        }
        rest.iter_mut().enumerate().for_each(|(i, out)| [*out] = column::<1>(&values[done + i..], stride, weights));
    }
    out
}

/// Weighted sums of the first values of some rows.
#[inline(always)]
fn column<const LANES: usize>(values: &[u8], stride: usize, weights: &[i32]) -> [u8; LANES] {
    let mut sums = [HALF; LANES];
    for (weight, row) in weights.iter().zip(values.chunks(stride)) {
        if let Some(row) = row.first_chunk::<LANES>() {
            sums = std::array::from_fn(|i| sums[i] + i32::from(row[i]) * weight);
        }
    }
    sums.map(round)
}

#[cfg(test)]
mod tests {
    use super::{Picture, both, run};

    #[test]
    fn wide_instructions_change_no_value() {
        let rgb = (0..3 * 53 * 41u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let picture = Picture { width: 53, height: 41, rgb };
        for size in [[1, 1], [20, 30], [53, 7], [90, 41], [33, 100], [5, 3]] {
            let stretches = [[0.0, 53.0], [2.5, 40.0]];
            assert!(run(&picture, stretches, size) == both(&picture, stretches, size), "{size:?}");
        }
    }
}
