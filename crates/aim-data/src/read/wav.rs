//! Recordings as WAV files.

use std::path::Path;

use aim_core::Result;
use hound::{SampleFormat, WavReader};

use crate::files::{broken, open};

/// Samples in [-1, 1) of a recording with one channel of 16-bit samples at `rate` Hz.
pub(crate) fn mono(path: &Path, rate: u32) -> Result<Vec<f32>> {
    let fail = |e: hound::Error| broken(path, format!("is no complete WAV file ({e})"));
    let reader = WavReader::new(open(path)?).map_err(fail)?;
    let spec = reader.spec();
    let got = (spec.channels, spec.sample_rate, spec.bits_per_sample, spec.sample_format);
    if got != (1, rate, 16, SampleFormat::Int) {
        return Err(broken(path, format!("holds {spec:?}, not one channel of 16-bit samples at {rate} Hz")));
    }
    reader.into_samples::<i16>().map(|s| s.map(|s| f32::from(s) / 32768.).map_err(fail)).collect()
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
        assert!(error.contains("is no complete WAV file"), "{error}");
        std::fs::write(&path, b"no sound").unwrap();
        let error = mono(&path, 8000).unwrap_err().to_string();
        assert!(
            error.contains("is no complete WAV file") && error.contains("fetch or write the file again"),
            "{error}"
        );
        std::fs::remove_file(&path).unwrap();
        assert!(mono(&path, 8000).unwrap_err().to_string().contains("a.wav: does not exist"));
    }
}
