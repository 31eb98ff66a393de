//! Recordings as WAV files.

use std::path::Path;

use aim_core::Result;
use aim_media::audio::{Options, wav};

use crate::{
    files::{broken, bytes},
    front::refused,
};

/// Samples in [-1, 1) of a recording with one channel at `rate` Hz.
pub(crate) fn mono(path: &Path, rate: u32) -> Result<Vec<f32>> {
    let sound = wav(&bytes(path)?, &path.display().to_string(), &Options { mono: false, ..Options::default() });
    let sound = sound.map_err(refused)?;
    let channels = sound.channels.len();
    if (channels, sound.rate) != (1, rate) {
        let problem = format!("holds {channels} channels at {} Hz, not one at {rate} Hz", sound.rate);
        return Err(broken(path, problem));
    }
    Ok(sound.mono())
}

#[cfg(test)]
mod tests {
    use hound::{SampleFormat, WavSpec, WavWriter};

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
        assert!(error.contains("cut short: the header promises 50 bytes, the file has 47"), "{error}");
        std::fs::write(&path, b"no sound").unwrap();
        let error = mono(&path, 8000).unwrap_err().to_string();
        assert!(error.contains("no WAV file") && error.contains("fetch or export the file again"), "{error}");
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
        let tagged = [&whole[..], b"TAG", &[7; 125]].concat();
        for file in [
            &whole,
            &noted,
            &of_a_pipe,
            &sized(u32::MAX),
            &tagged,
            &[&noted[..12], &noted[124..], &noted[12..124]].concat(),
        ] {
            std::fs::write(&path, file).unwrap();
            assert_eq!(mono(&path, 8000).unwrap().len(), 40);
        }
        for (file, message) in [
            (sized(0), "the sound has 0 bytes, behind which 80 more are no part"),
            (sized(40), "the sound has 40 bytes, behind which 40 more are no part"),
            (sized(82), "the header promises 126 bytes, the file has 124"),
            ([&whole[..40], &[0; 4]].concat(), "holds no samples"),
            (whole[..44].to_vec(), "the header promises 124 bytes, the file has 44"),
        ] {
            std::fs::write(&path, file).unwrap();
            let error = mono(&path, 8000).unwrap_err().to_string();
            assert!(error.contains("a.wav: ") && error.contains(message), "{error}");
        }
    }
}
