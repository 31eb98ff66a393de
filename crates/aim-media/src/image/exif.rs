//! Orientation of a picture by its EXIF data.

use super::picture::Picture;

const ORIENTATION: u16 = 0x0112;

/// Orientation, 1 to 8, that EXIF data (a TIFF file) give; 1, upright, where they give none that makes sense.
pub(super) fn orientation(tiff: &[u8]) -> u8 {
    read(tiff).and_then(|value| u8::try_from(value).ok()).filter(|value| (1..=8).contains(value)).unwrap_or(1)
}

fn read(tiff: &[u8]) -> Option<u16> {
    let little = match tiff.get(..4)? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let word = |at: usize| {
        let bytes = *tiff.get(at..)?.first_chunk::<2>()?;
        Some(if little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) })
    };
    let (a, b) = (usize::from(word(4)?), usize::from(word(6)?));
    let directory = if little { b << 16 | a } else { a << 16 | b };
    let entries = usize::from(word(directory)?);
    // An entry holds 12 bytes: tag, type, count (4), value (4).
    let at = (0..entries).map(|i| directory + 2 + 12 * i).find(|&at| word(at) == Some(ORIENTATION))?;
    word(at + 8)
}

/// The picture turned and mirrored so that an orientation becomes upright.
pub(super) fn upright(picture: Picture, orientation: u8) -> Picture {
    let Picture { width, height, rgb } = &picture;
    let (w, h) = (*width, *height);
    // For each orientation, the place in the stored picture of the upright picture's pixel (x, y).
    let from: fn(usize, usize, usize, usize) -> (usize, usize) = match orientation {
        2 => |x, y, w, _| (w - 1 - x, y),
        3 => |x, y, w, h| (w - 1 - x, h - 1 - y),
        4 => |x, y, _, h| (x, h - 1 - y),
        5 => |x, y, _, _| (y, x),
        6 => |x, y, _, h| (y, h - 1 - x),
        7 => |x, y, w, h| (w - 1 - y, h - 1 - x),
        8 => |x, y, w, _| (w - 1 - y, x),
        _ => return picture,
    };
    let (wide, high) = if orientation > 4 { (h, w) } else { (w, h) };
    let mut out = Vec::with_capacity(rgb.len());
    for y in 0..high {
        for x in 0..wide {
            let (column, row) = from(x, y, w, h);
            out.extend_from_slice(&rgb[3 * (row * w + column)..][..3]);
        }
    }
    Picture { width: wide, height: high, rgb: out }
}
