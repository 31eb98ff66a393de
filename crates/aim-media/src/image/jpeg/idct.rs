//! Inverse cosine transform of 8 x 8 blocks, in the integer arithmetic of the Independent JPEG Group's accurate method:
//! two passes with 13 bits after the point, two of them kept between the passes. Its results are those of libjpeg, bit
//! for bit.

/// One row of a block.
type Row = [i32; 8];

const BITS: u32 = 13;
const KEPT: u32 = 2;

/// `factor * 2^13`, rounded.
const fn fix(factor: f64) -> i32 {
    (factor * (1 << BITS) as f64 + 0.5) as i32
}

/// Transforms coefficients `[row, column]` into samples of 0 to 255, eight to each `stride` of `out`.
#[inline(always)]
pub(super) fn transform(block: &[i32; 64], out: &mut [u8], stride: usize) {
    let rows = std::array::from_fn(|y| std::array::from_fn(|x| block[8 * y + x]));
    let columns = transpose(&pass::<{ BITS - KEPT }>(&rows));
    let rows = transpose(&pass::<{ BITS + KEPT + 3 }>(&columns));
    for (row, out) in rows.iter().zip(out.chunks_mut(stride)) {
        if let Some(out) = out.first_chunk_mut::<8>() {
            *out = row.map(|value| (value + 128).clamp(0, 255) as u8);
        }
    }
}

/// Writes the samples of a block whose only coefficient is the first.
#[inline(always)]
pub(super) fn flat(first: i32, out: &mut [u8], stride: usize) {
    let sample = (((first + 4) >> 3) + 128).clamp(0, 255) as u8;
    out.chunks_mut(stride).take(8).filter_map(|row| row.first_chunk_mut::<8>()).for_each(|row| *row = [sample; 8]);
}

#[inline(always)]
fn transpose(rows: &[Row; 8]) -> [Row; 8] {
    std::array::from_fn(|y| std::array::from_fn(|x| rows[x][y]))
}

#[inline(always)]
fn add(a: Row, b: Row) -> Row {
    std::array::from_fn(|i| a[i].wrapping_add(b[i]))
}

#[inline(always)]
fn sub(a: Row, b: Row) -> Row {
    std::array::from_fn(|i| a[i].wrapping_sub(b[i]))
}

#[inline(always)]
fn mul(a: Row, factor: i32) -> Row {
    a.map(|value| value.wrapping_mul(factor))
}

/// Rounded division by `2^SHIFT`.
#[inline(always)]
fn descale<const SHIFT: u32>(a: Row) -> Row {
    a.map(|value| value.wrapping_add(1 << (SHIFT - 1)) >> SHIFT)
}

/// One-dimensional transform of each column, divided by `2^SHIFT`.
#[inline(always)]
fn pass<const SHIFT: u32>(c: &[Row; 8]) -> [Row; 8] {
    let even = even(c);
    let odd = odd(c);
    let low: [Row; 4] = std::array::from_fn(|i| descale::<SHIFT>(add(even[i], odd[i])));
    let high: [Row; 4] = std::array::from_fn(|i| descale::<SHIFT>(sub(even[i], odd[i])));
    [low[0], low[1], low[2], low[3], high[3], high[2], high[1], high[0]]
}

/// Sums of the even coefficients.
#[inline(always)]
fn even(c: &[Row; 8]) -> [Row; 4] {
    let shared = mul(add(c[2], c[6]), fix(0.541_196_100));
    let a = add(shared, mul(c[6], -fix(1.847_759_065)));
    let b = add(shared, mul(c[2], fix(0.765_366_865)));
    let sum = mul(add(c[0], c[4]), 1 << BITS);
    let difference = mul(sub(c[0], c[4]), 1 << BITS);
    [add(sum, b), add(difference, a), sub(difference, a), sub(sum, b)]
}

/// Sums of the odd coefficients.
#[inline(always)]
fn odd(c: &[Row; 8]) -> [Row; 4] {
    let shared = mul(add(add(c[7], c[3]), add(c[5], c[1])), fix(1.175_875_602));
    let near = mul(add(c[7], c[1]), -fix(0.899_976_223));
    let far = mul(add(c[5], c[3]), -fix(2.562_915_447));
    let left = add(mul(add(c[7], c[3]), -fix(1.961_570_560)), shared);
    let right = add(mul(add(c[5], c[1]), -fix(0.390_180_644)), shared);
    [
        add(mul(c[1], fix(1.501_321_110)), add(near, right)),
        add(mul(c[3], fix(3.072_711_026)), add(far, left)),
        add(mul(c[5], fix(2.053_119_869)), add(far, right)),
        add(mul(c[7], fix(0.298_631_336)), add(near, left)),
    ]
}
