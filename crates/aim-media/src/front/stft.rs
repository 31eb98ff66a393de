//! The short-time Fourier transform of librosa: centred frames, periodic Hann window.

use super::{Spectrogram, frames::Frames, hann, unfit};
use crate::Result;

/// What lies before the first and after the last sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pad {
    /// Silence, the default of librosa from 0.10 on.
    #[default]
    Constant,
    /// The signal mirrored at its ends, the default before.
    Reflect,
}

/// Magnitude of the short-time Fourier transform, `[n_fft / 2 + 1, 1 + samples / hop]`: row k is the frequency
/// `k * rate / n_fft`, column t is centred on sample `t * hop`.
///
/// ```
/// use aim_media::front::{Pad, stft_magnitude};
/// let sine: Vec<f32> = (0..64).map(|i| (std::f32::consts::TAU * i as f32 / 8.).sin()).collect();
/// let picture = stft_magnitude(&sine, 16, 4, Pad::Constant)?;
/// assert_eq!(picture.shape, [9, 17]);
/// // A period of 8 samples is row 2 of 16; half of the window's sum falls there.
/// assert!((picture.data[2 * 17 + 8] - 4.).abs() < 1e-4);
/// # Ok::<(), aim_media::Error>(())
/// ```
///
/// # Errors
/// If `n_fft` is odd, 0 or above 65,536, `hop` is 0, there are no samples, or too few to be mirrored.
pub fn stft_magnitude(samples: &[f32], n_fft: usize, hop: usize, pad: Pad) -> Result<Spectrogram> {
    Stft::new(n_fft, hop, pad)?.magnitude(samples)
}

/// Natural logarithm of [`stft_magnitude`] + 1e-7, of the same shape.
///
/// # Errors
/// Those of [`stft_magnitude`].
pub fn log_spectrogram(samples: &[f32], n_fft: usize, hop: usize, pad: Pad) -> Result<Spectrogram> {
    Stft::new(n_fft, hop, pad)?.log(samples)
}

/// A plan of the short-time Fourier transform for many recordings, see [`stft_magnitude`].
///
/// ```
/// use aim_media::front::{Pad, Stft};
/// let stft = Stft::new(512, 353, Pad::Constant)?;
/// assert_eq!(stft.log(&[0.; 66_150])?.shape, [257, 188]);
/// # Ok::<(), aim_media::Error>(())
/// ```
#[derive(Clone)]
pub struct Stft {
    frames: Frames,
    pad: Pad,
}

impl Stft {
    /// A plan for frames of `n_fft` samples every `hop` samples.
    ///
    /// # Errors
    /// If `n_fft` is odd, 0 or above 65,536, or `hop` is 0.
    pub fn new(n_fft: usize, hop: usize, pad: Pad) -> Result<Self> {
        Ok(Self { frames: Frames::new(n_fft, hop, |n| hann(n, n))?, pad })
    }

    /// Magnitudes of a recording, as [`stft_magnitude`] gives them.
    ///
    /// # Errors
    /// If there are no samples, or too few to be mirrored.
    pub fn magnitude(&self, samples: &[f32]) -> Result<Spectrogram> {
        let padded = padded(samples, self.frames.window().len() / 2, self.pad)?;
        self.frames.picture(&padded, |_| 0., |_, z| z.norm())
    }

    /// Natural logarithm of the magnitudes + 1e-7.
    ///
    /// # Errors
    /// Those of [`Stft::magnitude`].
    pub fn log(&self, samples: &[f32]) -> Result<Spectrogram> {
        Ok(self.magnitude(samples)?.log())
    }
}

/// The samples with `half` more on both sides.
fn padded(samples: &[f32], half: usize, pad: Pad) -> Result<Vec<f64>> {
    let n = samples.len();
    if n == 0 || (pad == Pad::Reflect && n <= half) {
        let need = if pad == Pad::Reflect { half + 1 } else { 1 };
        return Err(unfit(format!("{n} samples"), &format!("give at least {need}")));
    }
    let at = |i: usize| f64::from(samples[i]);
    let (before, after): (Vec<f64>, Vec<f64>) = match pad {
        Pad::Constant => (vec![0.; half], vec![0.; half]),
        Pad::Reflect => ((1..=half).rev().map(at).collect(), (1..=half).map(|i| at(n - 1 - i)).collect()),
    };
    Ok([before, (0..n).map(at).collect(), after].concat())
}

#[cfg(test)]
mod tests {
    use super::{super::FLOOR, *};

    #[test]
    fn magnitude_by_hand() {
        // Window 0, 1/2, 1, 1/2. The first frame sees 0 0 1 1, which becomes 0 0 1 1/2: 3/2, |-1 + i/2|, 1/2.
        let picture = stft_magnitude(&[1.; 4], 4, 2, Pad::Constant).unwrap();
        assert_eq!(picture.shape, [3, 3]);
        let first: Vec<f32> = picture.data.chunks(3).map(|row| row[0]).collect();
        for (got, want) in first.iter().zip([1.5, 1.25f32.sqrt(), 0.5]) {
            assert!((got - want).abs() < 1e-6, "{first:?}");
        }
    }

    #[test]
    fn mirrors_without_repeating_the_ends() {
        let got = padded(&[1., 2., 3., 4.], 2, Pad::Reflect).unwrap();
        assert_eq!(got, [3., 2., 1., 2., 3., 4., 3., 2.]);
        assert!(padded(&[1., 2.], 2, Pad::Reflect).is_err());
    }

    #[test]
    fn silence_is_finite_and_nan_stays_visible() {
        let silence = log_spectrogram(&[0.; 8], 4, 2, Pad::Constant).unwrap();
        assert!(silence.data.iter().all(|v| (f64::from(*v) - FLOOR.ln()).abs() < 1e-5));
        assert!(log_spectrogram(&[f32::NAN; 8], 4, 2, Pad::Constant).unwrap().data.iter().any(|v| v.is_nan()));
    }

    #[test]
    fn refuses_sizes_that_make_no_sense() {
        for (samples, n_fft, hop) in [(8, 0, 1), (8, 5, 1), (8, 4, 0), (0, 4, 1), (8, 1 << 40, 1)] {
            assert!(stft_magnitude(&vec![0.; samples], n_fft, hop, Pad::Constant).is_err());
        }
    }
}
