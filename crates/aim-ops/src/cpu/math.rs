//! Functions that compile to vector code inside loops.

/// `e^x` to about two units in the last place; 0 below -87.3, infinite above 88.7, NaN for NaN.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // 2^n * e^r with |r| <= ln(2) / 2; adding and subtracting 1.5 * 2^23 rounds to an integer.
    const ROUND: f32 = 12_582_912.;
    let clamped = x.clamp(-87.5, 88.8);
    let shifted = clamped * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    // ln(2) in two parts, so that the first product is exact.
    let r = (clamped - n * 0.693_359_4) - n * -2.121_944_4e-4;
    // Taylor's series up to r^7.
    let p = 1. / 5040.;
    let p = p * r + 1. / 720.;
    let p = p * r + 1. / 120.;
    let p = p * r + 1. / 24.;
    let p = p * r + 1. / 6.;
    let p = p * r + 0.5;
    let p = p * r * r + r + 1.;
    // In two halves, as 2^128 has no f32 of its own.
    let n = (shifted.to_bits() as i32).wrapping_sub(ROUND.to_bits() as i32);
    let half = n >> 1;
    let power = |n: i32| f32::from_bits((n.wrapping_add(127) << 23) as u32);
    let y = p * power(half) * power(n.wrapping_sub(half));
    if x < -87.3 { 0. } else { y }
}

/// The distribution function of the standard normal distribution, to about 1e-7 (Abramowitz and Stegun 7.1.26), and
/// `e^(-x^2 / 2)`, which is computed on the way.
#[inline(always)]
pub(crate) fn normal(x: f32) -> (f32, f32) {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1. / (1. + 0.327_591_1 * z);
    let p = 1.061_405_4;
    let p = p * t - 1.453_152;
    let p = p * t + 1.421_413_8;
    let p = p * t - 0.284_496_72;
    let p = (p * t + 0.254_829_6) * t;
    let bell = exp(-0.5 * x * x);
    let tail = 0.5 * p * bell;
    (if x < 0. { tail } else { 1. - tail }, bell)
}

/// The natural logarithm of a normal positive number, to about two units in the last place, or 1e-7 near 1.
#[inline(always)]
pub(crate) fn ln(x: f32) -> f32 {
    // x = 2^n m with m in [sqrt(1/2), sqrt(2)).
    const SQRT_HALF: u32 = 0x3f35_04f3;
    let shifted = x.to_bits().wrapping_sub(SQRT_HALF);
    let n = (shifted as i32) >> 23;
    let m = f32::from_bits((shifted & 0x7f_ffff) + SQRT_HALF);
    // ln(m) = 2 artanh(t) as a series in t, |t| <= 0.172.
    let t = (m - 1.) / (m + 1.);
    let s = t * t;
    let p = 2. / 9.;
    let p = p * s + 2. / 7.;
    let p = p * s + 2. / 5.;
    let p = p * s + 2. / 3.;
    let p = p * s * t + 2. * t;
    n as f32 * std::f32::consts::LN_2 + p
}

/// Cosine and sine of a share of a whole turn in [0, 1), to about 1e-7.
#[inline(always)]
pub(crate) fn turn(share: f32) -> (f32, f32) {
    // Quarter turns, rounded as in `exp`, and what is left of them, |r| <= pi / 4.
    const ROUND: f32 = 12_582_912.;
    let shifted = share * 4. + ROUND;
    let quarter = shifted.to_bits();
    let r = (share * 4. - (shifted - ROUND)) * std::f32::consts::FRAC_PI_2;
    // Taylor's series up to r^8 and r^9.
    let s = r * r;
    let p = 1. / 40_320.;
    let p = p * s - 1. / 720.;
    let p = p * s + 1. / 24.;
    let p = p * s - 0.5;
    let cos = p * s + 1.;
    let p = 1. / 362_880.;
    let p = p * s - 1. / 5040.;
    let p = p * s + 1. / 120.;
    let p = p * s - 1. / 6.;
    let sin = p * s * r + r;
    // An odd number of quarters swaps the two; signs follow.
    let (x, y) = if quarter & 1 == 0 { (cos, sin) } else { (sin, cos) };
    let flip = |v: f32, bit: u32| f32::from_bits(v.to_bits() ^ (bit << 31));
    (flip(x, (quarter >> 1 ^ quarter) & 1), flip(y, quarter >> 1 & 1))
}
