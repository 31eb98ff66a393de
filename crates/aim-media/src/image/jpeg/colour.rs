//! Colours of a JPEG file, by libjpeg's formulas in whole numbers.

use super::head::Head;

/// Meaning of the planes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colours {
    /// One plane of brightness.
    Grey,
    /// Red, green, blue.
    Rgb,
    /// Brightness and two colour differences.
    Ycc,
    /// Four inks, stored as 255 less the ink, as every program has done since Adobe's.
    Cmyk,
    /// Four inks, the first three as brightness and colour differences.
    Ycck,
}

/// Meaning of the planes by libjpeg's rule: JFIF, then Adobe's segment, then the planes' names.
pub(super) fn colours(head: &Head, ids: &[u8]) -> Colours {
    match (ids.len(), head.adobe) {
        (1, _) => Colours::Grey,
        (4, None | Some(0)) => Colours::Cmyk,
        (4, _) => Colours::Ycck,
        _ if head.jfif => Colours::Ycc,
        (_, Some(0)) => Colours::Rgb,
        (_, None) if ids == b"RGB" => Colours::Rgb,
        _ => Colours::Ycc,
    }
}

impl Colours {
    /// Turns lines of samples into pixels.
    #[inline(always)]
    pub(super) fn convert(self, lines: &[Vec<u8>], out: &mut [u8]) {
        match (self, lines) {
            (Self::Grey, [grey]) => each(out, [grey; 3], |[y, _, _]| [y; 3]),
            (Self::Rgb, [r, g, b]) => each(out, [r, g, b], |rgb| rgb),
            (Self::Ycc, [y, cb, cr]) => each(out, [y, cb, cr], rgb),
            (Self::Cmyk, [c, m, y, k]) => {
                each(out, [c, m, y], |inks| inks);
                black(out, k);
            }
            (Self::Ycck, [y, cb, cr, k]) => {
                // The planes give 255 less the stored inks, and these are 255 less the inks.
                each(out, [y, cb, cr], |pixel| rgb(pixel).map(|ink| 255 - ink));
                black(out, k);
            }
            _ => {}
        }
    }
}

#[inline(always)]
fn each(out: &mut [u8], [a, b, c]: [&Vec<u8>; 3], convert: impl Fn([u8; 3]) -> [u8; 3]) {
    let (pixels, _) = out.as_chunks_mut::<3>();
    for (((pixel, &a), &b), &c) in pixels.iter_mut().zip(a).zip(b).zip(c) {
        *pixel = convert([a, b, c]);
    }
}

/// `factor * 2^16`, rounded.
const fn fix(factor: f64) -> i32 {
    (factor * 65536.0 + 0.5) as i32
}

#[inline(always)]
fn rgb([y, cb, cr]: [u8; 3]) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let (y, cb, cr) = (i32::from(y), i32::from(cb) - 128, i32::from(cr) - 128);
    let red = y + ((fix(1.402) * cr + HALF) >> 16);
    let green = y + ((-fix(0.344_14) * cb - fix(0.714_14) * cr + HALF) >> 16);
    let blue = y + ((fix(1.772) * cb + HALF) >> 16);
    [red, green, blue].map(|value| value.clamp(0, 255) as u8)
}

/// Pixels of three stored inks, darkened by the stored black: `w - w * ink / 255` with `w` the white that black leaves.
#[inline(always)]
fn black(out: &mut [u8], black: &[u8]) {
    let (pixels, _) = out.as_chunks_mut::<3>();
    for (pixel, &white) in pixels.iter_mut().zip(black) {
        *pixel = pixel.map(|stored| {
            let product = u32::from(255 - stored) * u32::from(white) + 128;
            white.saturating_sub((((product >> 8) + product) >> 8) as u8)
        });
    }
}
