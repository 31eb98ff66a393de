//! Pixels from planes: interpolation of coarser planes as in libjpeg, then colours.

use super::super::picture::Picture;
use super::super::region::Region;
use super::colour::Colours;
use super::plane::Plane;

/// Pixels of a region; `factors` are the pixels per sample of each plane, across and down.
#[inline(always)]
pub(super) fn pixels(planes: &[Plane], factors: &[[usize; 2]], colours: Colours, region: &Region) -> Picture {
    let mut rgb = vec![0; 3 * region.width * region.height];
    let mut lines = vec![vec![0; region.width]; planes.len()];
    let mut sums = Vec::new();
    for (i, out) in rgb.chunks_exact_mut(3 * region.width).enumerate() {
        for ((plane, &factor), line) in planes.iter().zip(factors).zip(&mut lines) {
            interpolate(plane, factor, [region.x, region.y + i], line, &mut sums);
        }
        colours.convert(&lines, out);
    }
    Picture { width: region.width, height: region.height, rgb }
}

/// Line of a plane at full resolution, from pixel `[x, y]` on.
#[inline(always)]
fn interpolate(plane: &Plane, factor: [usize; 2], [x, y]: [usize; 2], line: &mut [u8], sums: &mut Vec<u16>) {
    let wide = plane.size[0] > 2;
    match factor {
        [1, 1] => line.copy_from_slice(&plane.row(y)[x - 8 * plane.first[0]..][..line.len()]),
        [2, 1] if wide => {
            gather(plane, plane.row(y), plane.row(y), [1, 0], [x, line.len()], sums);
            across::<2>(sums, x, line, [1, 2]);
        }
        [2, 2] if wide => {
            let [near, far] = neighbours(plane, y);
            gather(plane, near, far, [3, 1], [x, line.len()], sums);
            across::<4>(sums, x, line, [8, 7]);
        }
        [1, 2] => {
            let [near, far] = neighbours(plane, y);
            let from = x - 8 * plane.first[0];
            let bias = 1 + (y % 2) as u16;
            for ((out, &near), &far) in line.iter_mut().zip(&near[from..]).zip(&far[from..]) {
                *out = ((3 * u16::from(near) + u16::from(far) + bias) >> 2) as u8;
            }
        }
        [across, down] => {
            let row = plane.row(y / down);
            line.iter_mut().enumerate().for_each(|(i, out)| *out = row[(x + i) / across - 8 * plane.first[0]]);
        }
    }
}

/// The two rows of samples next to line `y` of twice the resolution, the nearer one first.
#[inline(always)]
fn neighbours(plane: &Plane, y: usize) -> [&[u8]; 2] {
    let near = y / 2;
    let far = if y.is_multiple_of(2) { near.saturating_sub(1) } else { (near + 1).min(plane.size[1] - 1) };
    [plane.row(near), plane.row(far)]
}

/// Weighted sums of two rows for `length` pixels from `x` on at twice the resolution, with a sample more on each side,
/// which repeats the outermost where the picture ends.
#[inline(always)]
fn gather(plane: &Plane, near: &[u8], far: &[u8], weights: [u16; 2], [x, length]: [usize; 2], sums: &mut Vec<u16>) {
    let (start, end) = (x / 2, (x + length).div_ceil(2));
    let offset = 8 * plane.first[0];
    let sum = |i: usize| weights[0] * u16::from(near[i - offset]) + weights[1] * u16::from(far[i - offset]);
    sums.clear();
    sums.push(sum(start.saturating_sub(1)));
    let inner = near[start - offset..end - offset].iter().zip(&far[start - offset..end - offset]);
    sums.extend(inner.map(|(&near, &far)| weights[0] * u16::from(near) + weights[1] * u16::from(far)));
    sums.push(sum(end.min(plane.size[0] - 1)));
}

/// Line of twice the resolution from sums; `SHIFT` takes their weight out again.
#[inline(always)]
fn across<const SHIFT: u32>(sums: &[u16], x: usize, line: &mut [u8], bias: [u16; 2]) {
    let left = |s: &[u16]| ((3 * s[1] + s[0] + bias[0]) >> SHIFT) as u8;
    let right = |s: &[u16]| ((3 * s[1] + s[2] + bias[1]) >> SHIFT) as u8;
    let (first, line) = line.split_at_mut((x % 2).min(line.len()));
    first.iter_mut().for_each(|out| *out = right(sums));
    let sums = &sums[first.len()..];
    let (pairs, last) = line.as_chunks_mut::<2>();
    for (pair, s) in pairs.iter_mut().zip(sums.windows(3)) {
        *pair = [left(s), right(s)];
    }
    let done = pairs.len();
    last.iter_mut().for_each(|out| *out = left(&sums[done..]));
}
