//! Inverse cosine transform of 8 x 8 blocks, in the integer arithmetic of the Independent JPEG Group's accurate method:
//! two passes with 13 bits after the point, two of them kept between the passes. Its results are those of libjpeg, bit
//! for bit.

const BITS: u32 = 13;
const KEPT: u32 = 2;

/// `factor * 2^13`, rounded.
const fn fix(factor: f64) -> i32 {
    (factor * (1 << BITS) as f64 + 0.5) as i32
}

/// Transforms coefficients `[row, column]` into samples of 0 to 255, eight to each `stride` of `out`.
#[inline(always)]
pub(super) fn transform(block: &[i32; 64], out: &mut [u8], stride: usize) {
    let (mut columns, mut rows, mut samples) = ([0; 64], [0; 64], [0; 64]);
    pass::<{ BITS - KEPT }>(block, &mut columns);
    transpose(&columns, &mut rows);
    pass::<{ BITS + KEPT + 3 }>(&rows, &mut columns);
    // Bytes are turned, as that is four times less to move.
    let clamp = |value: i32| (value + 128).clamp(0, 255) as u8;
    let bytes = columns.map(clamp);
    transpose(&bytes, &mut samples);
    for (row, out) in samples.as_chunks::<8>().0.iter().zip(out.chunks_mut(stride)) {
        if let Some(out) = out.first_chunk_mut::<8>() {
            *out = *row;
        }
    }
}

/// Writes the samples of a block whose only coefficient is the first.
#[inline(always)]
pub(super) fn flat(first: i32, out: &mut [u8], stride: usize) {
    let sample = ((first.wrapping_add(4) >> 3) + 128).clamp(0, 255) as u8;
    out.chunks_mut(stride).take(8).filter_map(|row| row.first_chunk_mut::<8>()).for_each(|row| *row = [sample; 8]);
}

#[inline(always)]
fn transpose<T: Copy>(from: &[T; 64], to: &mut [T; 64]) {
    for y in 0..8 {
        for x in 0..8 {
            to[8 * y + x] = from[8 * x + y];
        }
    }
}

/// One-dimensional transform of each column, divided by `2^SHIFT`. A loop over columns whose body knows nothing of the
/// others is what compilers turn into wide instructions.
#[inline(always)]
fn pass<const SHIFT: u32>(from: &[i32; 64], to: &mut [i32; 64]) {
    for x in 0..8 {
        let c: [i32; 8] = std::array::from_fn(|k| from[8 * k + x]);
        let (even, odd) = (even(&c), odd(&c));
        for k in 0..4 {
            to[8 * k + x] = descale::<SHIFT>(even[k].wrapping_add(odd[k]));
            to[8 * (7 - k) + x] = descale::<SHIFT>(even[k].wrapping_sub(odd[k]));
        }
    }
}

/// Rounded division by `2^SHIFT`.
#[inline(always)]
fn descale<const SHIFT: u32>(value: i32) -> i32 {
    value.wrapping_add(1 << (SHIFT - 1)) >> SHIFT
}

/// Sum of two products; corrupt files may overflow.
#[inline(always)]
fn product_sum([a, b]: [i32; 2], [f, g]: [i32; 2]) -> i32 {
    a.wrapping_mul(f).wrapping_add(b.wrapping_mul(g))
}

/// Sums of the even coefficients.
#[inline(always)]
fn even(c: &[i32; 8]) -> [i32; 4] {
    let shared = c[2].wrapping_add(c[6]);
    let a = product_sum([shared, c[6]], [fix(0.541_196_100), -fix(1.847_759_065)]);
    let b = product_sum([shared, c[2]], [fix(0.541_196_100), fix(0.765_366_865)]);
    let sum = c[0].wrapping_add(c[4]) << BITS;
    let difference = c[0].wrapping_sub(c[4]) << BITS;
    [sum.wrapping_add(b), difference.wrapping_add(a), difference.wrapping_sub(a), sum.wrapping_sub(b)]
}

/// Sums of the odd coefficients.
#[inline(always)]
fn odd(c: &[i32; 8]) -> [i32; 4] {
    let (left, right) = (c[7].wrapping_add(c[3]), c[5].wrapping_add(c[1]));
    let near = c[7].wrapping_add(c[1]).wrapping_mul(-fix(0.899_976_223));
    let far = c[5].wrapping_add(c[3]).wrapping_mul(-fix(2.562_915_447));
    let shared = left.wrapping_add(right).wrapping_mul(fix(1.175_875_602));
    let left = left.wrapping_mul(-fix(1.961_570_560)).wrapping_add(shared);
    let right = right.wrapping_mul(-fix(0.390_180_644)).wrapping_add(shared);
    let sum = |k: usize, factor, a: i32, b: i32| c[k].wrapping_mul(factor).wrapping_add(a).wrapping_add(b);
    [
        sum(1, fix(1.501_321_110), near, right),
        sum(3, fix(3.072_711_026), far, left),
        sum(5, fix(2.053_119_869), far, right),
        sum(7, fix(0.298_631_336), near, left),
    ]
}
