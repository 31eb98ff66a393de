//! IDX files (MNIST's format), gzipped or not.

use std::io::{BufRead, ErrorKind, Read};
use std::path::Path;

use aim_core::{Error, Result};
use flate2::bufread::MultiGzDecoder;

use crate::files::{broken, open};

/// Most bytes of an array, twenty times MNIST's.
const MOST: usize = 1 << 30;

/// Bytes of a file with `N` axes, and its shape. The magic number 0x0000080N stands for bytes along N axes.
pub(crate) fn bytes<const N: usize>(path: &Path) -> Result<([usize; N], Vec<u8>)> {
    let mut file = open(path)?;
    // A gzip file may have several members, as `cat a.gz b.gz` or pigz write it.
    let mut reader: Box<dyn Read> = match file.fill_buf().map_err(|e| Error::io(path, e))? {
        [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(file)),
        _ => Box::new(file),
    };
    let mut head = || -> Result<usize> {
        let mut word = [0; 4];
        reader.read_exact(&mut word).map_err(|e| unreadable(path, &e))?;
        Ok(u32::from_be_bytes(word) as usize)
    };
    let (magic, want) = (head()?, 0x800 + N);
    if magic != want {
        return Err(broken(path, format!("starts with the wrong magic number {magic:#010x}, not {want:#010x}")));
    }
    let mut shape = [0; N];
    for axis in &mut shape {
        *axis = head()?;
    }
    let size = shape.iter().try_fold(1usize, |size, axis| size.checked_mul(*axis)).filter(|size| *size <= MOST);
    let size =
        size.ok_or_else(|| broken(path, format!("says that its shape is {shape:?}, which is more than 1 GiB")))?;
    let mut data = Vec::new();
    // No further than a byte behind its end, however far what is packed may go.
    reader.take(size as u64 + 1).read_to_end(&mut data).map_err(|e| unreadable(path, &e))?;
    if data.len() != size {
        let many = if data.len() > size { "more".into() } else { data.len().to_string() };
        return Err(broken(path, format!("holds {many} bytes, but says that its shape is {shape:?}")));
    }
    Ok((shape, data))
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    let problem = match error.kind() {
        ErrorKind::UnexpectedEof => "ends too early".to_owned(),
        _ => format!("is a damaged gzip file ({error})"),
    };
    broken(path, problem)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn zip(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn read(file: &[u8]) -> Result<([usize; 2], Vec<u8>), String> {
        let mut temp = tempfile::NamedTempFile::new().unwrap();
        temp.write_all(file).unwrap();
        bytes(temp.path()).map_err(|e| e.to_string())
    }

    const WHOLE: [u8; 18] = [0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6];

    #[test]
    fn reads_shape_and_bytes() {
        let members = [zip(&WHOLE[..7]), zip(&WHOLE[7..15]), zip(&[]), zip(&WHOLE[15..])].concat();
        for file in [zip(&WHOLE), WHOLE.to_vec(), members] {
            assert_eq!(read(&file), Ok(([2, 3], vec![1, 2, 3, 4, 5, 6])));
        }
    }

    #[test]
    fn broken_files_are_told_apart() {
        let zipped = zip(&WHOLE);
        for (file, message) in [
            (zip(&[&[0, 0, 8, 3], &WHOLE[4..]].concat()), "wrong magic number 0x00000803, not 0x00000802"),
            (zip(&WHOLE[..17]), "holds 5 bytes, but says that its shape is [2, 3]"),
            (zip(&WHOLE[..6]), "ends too early"),
            (zipped[..zipped.len() - 12].to_vec(), "ends too early"),
            (WHOLE[..17].to_vec(), "holds 5 bytes, but says that its shape is [2, 3]"),
            (zip(&[&WHOLE[..], &[7; 9]].concat()), "holds more bytes, but says that its shape is [2, 3]"),
            ([zip(&WHOLE[..9]), zip(&WHOLE[9..])[..20].to_vec()].concat(), "ends too early"),
            ([zip(&WHOLE[..9]), b"this is no further member".to_vec()].concat(), "is a damaged gzip file"),
            (Vec::new(), "is empty"),
            (
                zip(&[&WHOLE[..4], &[0, 0, 255, 255, 0, 0, 255, 0], &WHOLE[12..]].concat()),
                "shape is [65535, 65280], which",
            ),
            (zip(&[&WHOLE[..4], &[255; 8], &WHOLE[12..]].concat()), "which is more than 1 GiB"),
            (zip(&[WHOLE.as_slice(), &[0; 1 << 20]].concat()), "holds more bytes, but says that its shape is [2, 3]"),
        ] {
            let error = read(&file).unwrap_err();
            assert!(error.contains(message) && error.contains("fetch or write the file again"), "{error}");
        }
    }
}
