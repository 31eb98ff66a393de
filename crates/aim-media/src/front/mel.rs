//! Kaldi's log mel filter bank (without dither), and what is made of it.

use super::{Fbank, Spectrogram, unfit};
use crate::Result;

/// Most samples of a short recording.
const LONGEST: usize = 1 << 26;
/// Mean and standard deviation by which recipes for Kinetics-Sounds and CREMA-D scale a filter bank. They are said to
/// be those of the audio spectrogram transformer (Gong et al. 2021), whose own for AudioSet are -4.2677393 and
/// 4.5689974.
const AUDIOSET: (f64, f64) = (-4.503877, 5.141276);

/// Kaldi's filter bank, `[frames, bins]`: natural logarithm of the energy in `bins` triangular mel filters from 20 Hz
/// to `rate / 2`, in frames of 25 ms every 10 ms that lie wholly inside the recording.
///
/// Each frame loses its mean, so that subtracting the waveform's mean first changes nothing.
///
/// # Errors
/// If `bins` is 0, the rate is below 200 Hz, or the recording is shorter than a frame.
pub fn kaldi_fbank(samples: &[f32], rate: u32, bins: usize) -> Result<Spectrogram> {
    Fbank::new(rate, bins)?.compute(samples)
}

/// What networks of audio-visual recipes see: a filter bank `[frames, bins]` cut or padded with zeros to `frames`, then
/// (x + 4.503877) / (2 * 5.141276), hence about mean 0 and standard deviation 1/2.
pub fn ast_normalise(fbank: &Spectrogram, frames: usize) -> Spectrogram {
    let ((mean, std), mut picture) = (AUDIOSET, fbank.with_rows(frames));
    picture.data.iter_mut().for_each(|v| *v = ((f64::from(*v) - mean) / (2. * std)) as f32);
    picture
}

/// A short recording as a picture `[bins, frames]`: the filter bank of [`kaldi_fbank`] with a frame every `shift`
/// seconds. The recording is cut at the end of the last frame, or followed by silence up to there.
///
/// ```
/// use aim_media::front::log_mel;
/// let second_of_silence = log_mel(&[0.; 8000], 8000, 32, 24, 0.0125)?;
/// assert_eq!(second_of_silence.shape, [32, 24]);
/// # Ok::<(), aim_media::Error>(())
/// ```
///
/// # Errors
/// If `bins` or `frames` is 0, the rate is below 200 Hz, or `shift` is shorter than a sample.
pub fn log_mel(samples: &[f32], rate: u32, bins: usize, frames: usize, shift: f64) -> Result<Spectrogram> {
    let fbank = Fbank::with_shift(rate, bins, shift)?;
    let length = frames.checked_sub(1).and_then(|f| f.checked_mul(fbank.step)?.checked_add(fbank.window.len()));
    let Some(length) = length.filter(|length| *length <= LONGEST) else {
        return Err(unfit(
            format!("{frames} frames every {shift} s"),
            "choose at least 1 and fewer, or a shorter shift",
        ));
    };
    let mut samples = samples.to_vec();
    samples.resize(length, 0.);
    Ok(fbank.compute(&samples)?.transposed())
}

#[cfg(test)]
mod tests {
    use super::{
        super::fbank::{FLOOR, mel},
        *,
    };

    fn sine(frequency: f64, rate: u32, samples: usize) -> Vec<f32> {
        (0..samples).map(|i| (std::f64::consts::TAU * frequency * i as f64 / f64::from(rate)).sin() as f32).collect()
    }

    #[test]
    fn a_tone_lands_in_its_filter() {
        let picture = log_mel(&sine(1000., 8000, 4000), 8000, 32, 10, 0.01).unwrap();
        let column: Vec<f32> = picture.data.chunks(10).map(|row| row[5]).collect();
        let loudest = (0..32).max_by(|a, b| column[*a].total_cmp(&column[*b])).unwrap();
        let middle = (mel(1000.) - mel(20.)) / (mel(4000.) - mel(20.)) * 33. - 1.;
        assert!((loudest as f64 - middle).abs() <= 1., "{loudest} instead of {middle}");
    }

    #[test]
    fn short_recordings_end_in_silence_and_long_ones_are_cut() {
        let tone = sine(500., 8000, 800);
        let short = log_mel(&tone, 8000, 16, 20, 0.01).unwrap();
        assert_eq!(short.shape, [16, 20]);
        assert!(short.data.chunks(20).all(|row| row[10..].iter().all(|v| *v == FLOOR.ln() as f32)));
        let cut = log_mel(&tone, 8000, 16, 4, 0.01).unwrap();
        for (long, cut) in short.data.chunks(20).zip(cut.data.chunks(4)) {
            assert_eq!(long[..4], *cut);
        }
    }

    #[test]
    fn pads_with_zeros_before_scaling() {
        let fbank = Spectrogram { data: vec![-4.503877; 2], shape: [1, 2] };
        let scaled = ast_normalise(&fbank, 2);
        assert_eq!(scaled.shape, [2, 2]);
        assert!(scaled.data[..2].iter().all(|v| v.abs() < 1e-6));
        assert!((scaled.data[3] - 0.43801).abs() < 1e-5);
    }

    #[test]
    fn refuses_what_makes_no_frame() {
        assert!(kaldi_fbank(&[0.; 399], 16000, 8).is_err());
        assert!(kaldi_fbank(&[0.; 400], 16000, 0).is_err());
        assert!(log_mel(&[0.; 400], 100, 8, 4, 0.01).is_err());
        assert!(log_mel(&[0.; 400], 8000, 8, 4, 0.).is_err());
        assert!(kaldi_fbank(&[f32::NAN; 400], 16000, 8).unwrap().data.iter().all(|v| v.is_nan()));
    }
}
