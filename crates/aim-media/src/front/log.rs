//! Natural logarithms of many numbers.

/// More than the errors of [`series`] and of the library's logarithm together.
const ERROR: f64 = 4e-11;

/// Natural logarithms, exactly those of `f64::ln` rounded to f32: a series, and the library's where the series does not
/// settle how to round. No number may be negative, 0 or subnormal.
#[inline(always)]
pub(super) fn ln(x: &[f64], out: &mut [f32]) {
    for (x, out) in x.chunks(32).zip(out.chunks_mut(32)) {
        let mut settled = true;
        for (x, out) in x.iter().zip(out.iter_mut()) {
            let y = series(*x);
            *out = (y - ERROR) as f32;
            settled &= (*out == (y + ERROR) as f32) & (*x <= f64::MAX);
        }
        if !settled {
            exact(x, out);
        }
    }
}

/// The library's logarithms.
#[cold]
fn exact(x: &[f64], out: &mut [f32]) {
    x.iter().zip(out).for_each(|(x, out)| *out = x.ln() as f32);
}

/// Logarithm of a positive normal number by the series of the inverse hyperbolic tangent, with an error below 2e-11.
#[inline(always)]
fn series(x: f64) -> f64 {
    const MANTISSA: u64 = (1 << 52) - 1;
    /// 2^52, whose last bit counts 1.
    const WHOLE: u64 = 0x4330_0000_0000_0000;
    let bits = x.to_bits();
    let exponent = f64::from_bits(WHOLE | (bits >> 52)) - f64::from_bits(WHOLE) - 1023.;
    let m = f64::from_bits((bits & MANTISSA) | 1f64.to_bits());
    let above = m > std::f64::consts::SQRT_2;
    let (m, exponent) = (if above { 0.5 * m } else { m }, if above { exponent + 1. } else { exponent });
    let s = (m - 1.) / (m + 1.);
    let q = s * s;
    // 1/3 + q/5 + ... + q^4/11, in pairs that do not wait for each other.
    let r = q * q;
    let tail = (1. / 3. + q * (1. / 5.)) + r * ((1. / 7. + q * (1. / 9.)) + r * (1. / 11.));
    exponent * std::f64::consts::LN_2 + 2. * s * (1. + q * tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The logarithms of some numbers, checked against the library's.
    fn check(x: &[f64]) {
        let mut out = vec![0.; x.len()];
        ln(x, &mut out);
        for (x, out) in x.iter().zip(out) {
            assert_eq!(out.to_bits(), (x.ln() as f32).to_bits(), "{x}");
        }
    }

    #[test]
    fn equals_the_library_to_the_last_bit() {
        // A step that shares no factor with a power of 2 passes through all exponents and mantissas.
        let range = 1e-9f64.to_bits()..1e12f64.to_bits();
        for chunk in range.step_by(1_000_000_007_777).map(f64::from_bits).collect::<Vec<_>>().chunks(4) {
            check(chunk);
        }
        for x in [1., 1. + 1e-12, 1. - 1e-9, f64::MAX, f64::INFINITY, f64::MIN_POSITIVE] {
            check(&[2., x, 3.]);
        }
        let mut out = [0.; 2];
        ln(&[2., f64::NAN], &mut out);
        assert!(out[0] == 2f32.ln() && out[1].is_nan(), "{out:?}");
    }

    #[test]
    fn the_series_alone_is_closer_than_its_bound() {
        for x in (0..10_000).map(|i| 1e-7 * 1.005f64.powi(i)) {
            assert!((series(x) - x.ln()).abs() < ERROR / 2., "{x}");
        }
    }
}
