//! Recordings as WAV files.

use std::path::Path;

use aim_core::Result;
use hound::{SampleFormat, WavReader};

use crate::files::{broken, bytes, unfit};

/// Samples in [-1, 1) of a recording with one channel of 16-bit samples at `rate` Hz.
pub(crate) fn mono(path: &Path, rate: u32) -> Result<Vec<f32>> {
    let fail = |e: hound::Error| broken(path, format!("is no complete WAV file ({e})"));
    let bytes = bytes(path)?;
    if let Some(problem) = unaccounted(&bytes) {
        return Err(unfit(path, problem, "write it again, as `ffmpeg -i IN.wav OUT.wav` does"));
    }
    let reader = WavReader::new(&bytes[..]).map_err(fail)?;
    let spec = reader.spec();
    let got = (spec.channels, spec.sample_rate, spec.bits_per_sample, spec.sample_format);
    if got != (1, rate, 16, SampleFormat::Int) {
        return Err(broken(path, format!("holds {spec:?}, not one channel of 16-bit samples at {rate} Hz")));
    }
    reader.into_samples::<i16>().map(|s| s.map(|s| f32::from(s) / 32768.).map_err(fail)).collect()
}

/// What is wrong with a header that does not account for the file's bytes: writers that were cut off, or wrote to a
/// pipe, leave lengths of 0 or -1, under which a recording would be silence.
fn unaccounted(bytes: &[u8]) -> Option<String> {
    let (mut at, mut sound) = (12, None);
    while let Some(head) = bytes.get(at..at + 8).filter(|_| bytes.starts_with(b"RIFF")) {
        let size = head[4..].iter().rev().fold(0, |size, byte| size << 8 | usize::from(*byte));
        let rest = bytes.len() - at - 8;
        let is_sound = head.starts_with(b"data");
        if size > rest && is_sound {
            return Some(format!("says that {size} bytes of `data` follow, but {rest} do"));
        }
        if size > rest {
            break;
        }
        sound = if is_sound { Some(size) } else { sound };
        at += 8 + size + size % 2;
    }
    match sound {
        Some(0) if at >= bytes.len() => Some("holds no sound".into()),
        Some(size) if at < bytes.len() => {
            Some(format!("says that its sound has {size} bytes, behind which {} more are no part", bytes.len() - at))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use hound::{WavSpec, WavWriter};

    use super::*;

    #[test]
    fn reads_samples_and_names_what_is_wrong() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        let spec = WavSpec { channels: 1, sample_rate: 8000, bits_per_sample: 16, sample_format: SampleFormat::Int };
        let mut writer = WavWriter::create(&path, spec).unwrap();
        [0i16, 16384, -32768].into_iter().for_each(|s| writer.write_sample(s).unwrap());
        writer.finalize().unwrap();
        assert_eq!(mono(&path, 8000).unwrap(), [0., 0.5, -1.]);
        let error = mono(&path, 16000).unwrap_err().to_string();
        assert!(error.contains("a.wav") && error.contains("at 16000 Hz"), "{error}");
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 3]).unwrap();
        let error = mono(&path, 8000).unwrap_err().to_string();
        assert!(error.contains("says that 6 bytes of `data` follow, but 3 do"), "{error}");
        std::fs::write(&path, b"no sound").unwrap();
        let error = mono(&path, 8000).unwrap_err().to_string();
        assert!(
            error.contains("is no complete WAV file") && error.contains("fetch or write the file again"),
            "{error}"
        );
        std::fs::remove_file(&path).unwrap();
        assert!(mono(&path, 8000).unwrap_err().to_string().contains("a.wav: does not exist"));
    }

    #[test]
    fn a_header_that_does_not_account_for_the_bytes_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        let spec = WavSpec { channels: 1, sample_rate: 8000, bits_per_sample: 16, sample_format: SampleFormat::Int };
        let mut writer = WavWriter::create(&path, spec).unwrap();
        (0..40i16).for_each(|s| writer.write_sample(100 * s).unwrap());
        writer.finalize().unwrap();
        let whole = std::fs::read(&path).unwrap();
        assert_eq!(whole.len(), 44 + 80);
        let sized = |size: u32| [&whole[..40], &size.to_le_bytes(), &whole[44..]].concat();
        let noted = [&whole[..], b"LIST\x04\0\0\0abcd"].concat();
        let mut of_a_pipe = whole.clone();
        of_a_pipe[4..8].fill(0xff);
        for file in [&whole, &noted, &of_a_pipe, &[&noted[..12], &noted[124..], &noted[12..124]].concat()] {
            std::fs::write(&path, file).unwrap();
            assert_eq!(mono(&path, 8000).unwrap().len(), 40);
        }
        for (file, message) in [
            (sized(0), "says that its sound has 0 bytes, behind which"),
            (sized(40), "says that its sound has 40 bytes, behind which"),
            (sized(u32::MAX), "says that 4294967295 bytes of `data` follow, but 80 do"),
            (sized(82), "says that 82 bytes of `data` follow, but 80 do"),
            ([&whole[..40], &[0; 4]].concat(), "holds no sound"),
            (whole[..44].to_vec(), "says that 80 bytes of `data` follow, but 0 do"),
        ] {
            std::fs::write(&path, file).unwrap();
            let error = mono(&path, 8000).unwrap_err().to_string();
            assert!(error.contains("a.wav: ") && error.contains(message), "{error}");
        }
    }
}
