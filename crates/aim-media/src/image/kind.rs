//! Kinds of files, by their first bytes and never by their names.

use crate::Error;
use crate::disguise::refuse;

/// A kind of picture that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// JPEG.
    Jpeg,
    /// PNG.
    Png,
}

/// First bytes of kinds that are recognised to be named in an error.
const OTHERS: [(&[u8], &str); 7] = [
    (b"GIF8", "a GIF"),
    (b"BM", "a BMP"),
    (b"II*\0", "a TIFF"),
    (b"MM\0*", "a TIFF"),
    (b"8BPS", "a Photoshop file"),
    (b"%PDF", "a PDF"),
    (b"\x00\x00\x00\x0cjP  ", "a JPEG 2000"),
];

/// Kind of picture that the bytes begin.
pub(super) fn kind(bytes: &[u8], place: &str) -> Result<Kind, Error> {
    if bytes.starts_with(&[0xff, 0xd8, 0xff]) {
        return Ok(Kind::Jpeg);
    }
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Ok(Kind::Png);
    }
    refuse(bytes, place)?;
    Err(Error::new(place, other(bytes), "convert it to PNG or JPEG, or take it out of the manifest"))
}

/// What the bytes are instead of a picture that is read.
fn other(bytes: &[u8]) -> String {
    let name = named(bytes);
    name.map_or("neither a JPEG nor a PNG".into(), |name| format!("the file is {name}, which is not read"))
}

fn named(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Some("a WebP"),
        [_, _, _, _, b'f', b't', b'y', b'p', b'a', b'v', b'i', ..] => Some("an AVIF"),
        [_, _, _, _, b'f', b't', b'y', b'p', b'h' | b'm', ..] => Some("a HEIF or MP4"),
        _ => OTHERS.iter().find(|(start, _)| bytes.starts_with(start)).map(|(_, name)| *name),
    }
}
