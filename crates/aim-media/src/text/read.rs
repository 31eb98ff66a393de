//! Bytes as text.

use crate::{Error, Result};
use std::path::Path;

/// Text of bytes that have to be UTF-8; `place` names their source in errors. A byte order mark at the start is
/// dropped, and every line ends with a line feed alone.
///
/// # Errors
/// Bytes that are not UTF-8, UTF-16 by its mark, or a Git LFS pointer.
pub fn decode(bytes: &[u8], place: &str) -> Result<String> {
    if bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) {
        return Err(Error::new(place, "the text is UTF-16", convert("UTF-16")));
    }
    if bytes.starts_with(b"version https://git-lfs.github.com/spec") {
        return Err(Error::new(place, "a Git LFS pointer stands in place of the text", "fetch it with `git lfs pull`"));
    }
    let text = std::str::from_utf8(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes));
    text.map(unix).map_err(|_| foreign(bytes, place))
}

/// Text of a file; see [`decode`].
///
/// # Errors
/// A file that cannot be read, and as [`decode`].
pub fn read(path: &Path) -> Result<String> {
    let place = path.display();
    let fault = |problem: String| Error::new(&place, problem, "give the path of a file that can be read");
    let about = std::fs::metadata(path).map_err(|error| fault(error.to_string()))?;
    if !about.is_file() {
        return Err(fault("this is not a regular file".into()));
    }
    decode(&std::fs::read(path).map_err(|error| fault(error.to_string()))?, &place.to_string())
}

fn unix(text: &str) -> String {
    if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text.to_owned() }
}

/// Error about the first byte that cannot stand in UTF-8.
fn foreign(bytes: &[u8], place: &str) -> Error {
    let offset = std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len);
    let line = 1 + bytes[..offset].iter().filter(|&&byte| byte == b'\n').count();
    let value = bytes.get(offset).copied().unwrap_or_default();
    let problem = format!("byte {offset} (0x{value:02x}, line {line}) is not UTF-8");
    Error::new(place, problem, convert("GB18030"))
}

fn convert(encoding: &str) -> String {
    format!("convert it from the encoding it was written in, e.g. `iconv -f {encoding} -t UTF-8 OLD > NEW`")
}
