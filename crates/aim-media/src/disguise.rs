//! Files that hold media, or something else in its place.

#[cfg(feature = "decode")]
use std::{fs::File, io::Read, path::Path};

use crate::{Error, Result};

/// First bytes of what a macOS archive leaves beside each file.
const APPLE_DOUBLE: [u8; 4] = [0x00, 0x05, 0x16, 0x07];

/// A regular file, opened: a named pipe would wait for ever.
///
/// # Errors
/// No such file, a folder or a device, or no permission.
#[cfg(feature = "decode")]
pub(crate) fn open(path: &Path) -> Result<File> {
    let fault = |problem: String| Error::new(path.display(), problem, "give the path of a file that can be read");
    let about = std::fs::metadata(path).map_err(|error| fault(error.to_string()))?;
    if !about.is_file() {
        return Err(fault("this is not a regular file".into()));
    }
    File::open(path).map_err(|error| fault(error.to_string()))
}

/// Bytes of a regular file from its beginning, at most so many.
///
/// # Errors
/// As [`open`], and a file that cannot be read.
#[cfg(feature = "decode")]
pub(crate) fn head(path: &Path, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = open(path)?.take(most).read_to_end(&mut bytes);
    read.map_err(|error| Error::new(path.display(), error, "give the path of a file that can be read"))?;
    Ok(bytes)
}

/// Refuses what is found in place of media: nothing, a pointer, a page, an archive.
///
/// # Errors
/// An empty file, a Git LFS pointer, an HTML or XML page, a macOS `._` file, a gzip or zip archive.
pub(crate) fn refuse(bytes: &[u8], place: &str) -> Result<()> {
    let head = &bytes[..bytes.len().min(512)];
    let text = String::from_utf8_lossy(head).trim_start_matches('\u{feff}').trim_start().to_ascii_lowercase();
    let (problem, remedy) = if bytes.is_empty() {
        ("the file is empty (0 bytes)", "fetch the file again")
    } else if text.starts_with("version https://git-lfs") {
        ("a Git LFS pointer stands in place of the file", "fetch the file with `git lfs pull`")
    } else if ["<!doctype", "<html", "<?xml"].iter().any(|start| text.starts_with(start)) {
        ("a web page stands in place of the file", "fetch the file again; the download was answered by a page")
    } else if ["#extm3u", "ffconcat version"].iter().any(|start| text.starts_with(start)) {
        ("this is a playlist of other files", "name the files in it")
    } else if head.starts_with(&APPLE_DOUBLE) {
        ("this is a macOS `._` file, which holds no media", "delete the `._` files, or leave them out")
    } else if head.starts_with(&[0x1f, 0x8b]) || head.starts_with(b"PK\x03\x04") {
        ("this is a packed archive", "unpack it and name the files in it")
    } else {
        return Ok(());
    };
    Err(Error::new(place, problem, remedy))
}

#[cfg(test)]
mod tests {
    use super::refuse;

    #[test]
    fn what_stands_in_place_of_media_is_named_with_a_remedy() {
        let cases: [(&[u8], &str); 9] = [
            (b"#EXTM3U\n#EXTINF:9,\nsecret.ts\n", "playlist"),
            (b"ffconcat version 1.0\nfile a.mp4\n", "playlist"),
            (b"", "0 bytes"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n", "git lfs pull"),
            (b"\xef\xbb\xbf \r\n<!DOCTYPE html><html>", "web page"),
            (b"<HTML><head>", "web page"),
            (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>", "web page"),
            (b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X", "`._` file"),
            (b"PK\x03\x04rest", "archive"),
        ];
        for (bytes, words) in cases {
            let message = refuse(bytes, "a.wav").unwrap_err().to_string();
            assert!(message.starts_with("a.wav: ") && message.contains(words), "{message}");
        }
        assert!(refuse(b"RIFF....WAVE", "a.wav").is_ok());
    }
}
