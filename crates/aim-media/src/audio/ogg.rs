//! Whether an Ogg file is whole: its pages say how long they are, the last says that it is the last.

use super::wav::short;
use crate::{Error, Result};

/// Bytes of a page before its table of lengths.
const HEADER: usize = 27;

/// Refuses a file that ends before its last page does.
pub(super) fn check(bytes: &[u8], place: &str) -> Result<()> {
    let mut at = 0;
    let mut last = false;
    while let Some(header) = bytes.get(at..at + HEADER).filter(|header| header.starts_with(b"OggS")) {
        let table = at + HEADER..at + HEADER + usize::from(header[26]);
        let lengths = bytes.get(table.clone()).ok_or_else(|| short(table.end, bytes.len(), place))?;
        at = table.end + lengths.iter().map(|&length| usize::from(length)).sum::<usize>();
        if at > bytes.len() {
            return Err(short(at, bytes.len(), place));
        }
        last = header[5] & 4 != 0;
    }
    if last {
        return Ok(());
    }
    let problem = format!("cut short: no page of the {} bytes is marked as the last", bytes.len());
    Err(Error::new(place, problem, "fetch the file again, or rewrite it with ffmpeg"))
}
