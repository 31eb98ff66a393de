//! The spectrogram of SciPy with its defaults: power density, Tukey window, each frame without its mean.

use std::f64::consts::PI;

use super::{Spectrogram, frames::Frames, unfit};
use crate::Result;

/// Share of the Tukey window that rises or falls.
const TAPER: f64 = 0.25;

/// A plan of power densities for recordings of one rate, as `scipy.signal.spectrogram` gives them.
///
/// ```
/// use aim_media::front::Density;
/// let density = Density::new(22_050, 512, 353)?;
/// let picture = density.log(&[0.; 160_000])?.standardised();
/// assert_eq!(picture.shape, [257, 1004]);
/// # Ok::<(), aim_media::Error>(())
/// ```
#[derive(Clone)]
pub struct Density {
    frames: Frames,
    /// Density of a coefficient of magnitude 1 at a frequency without its mirror image.
    scale: f64,
}

impl Density {
    /// A plan for frames of `length` samples of which two neighbours share `overlap`, at `rate` Hz.
    ///
    /// # Errors
    /// If `length` is odd, 0 or above 65,536, `overlap` is not below it, or `rate` is 0.
    pub fn new(rate: u32, length: usize, overlap: usize) -> Result<Self> {
        let hop = length.saturating_sub(overlap);
        let frames = Frames::new(length, hop, tukey)?;
        if rate == 0 {
            return Err(unfit("a rate of 0 Hz", "give the recording's sample rate"));
        }
        let energy: f64 = frames.window().iter().map(|w| w * w).sum();
        Ok(Self { frames, scale: 1. / (f64::from(rate) * energy) })
    }

    /// Power densities of a recording, `[length / 2 + 1, frames]`, of the frames that lie wholly inside it. All
    /// frequencies but the first and the last count twice, for their mirror images.
    ///
    /// # Errors
    /// If the recording is shorter than a frame.
    pub fn power(&self, samples: &[f32]) -> Result<Spectrogram> {
        let length = self.frames.window().len();
        if samples.len() < length {
            let remedy = format!("a frame takes {length}: pad the recording");
            return Err(unfit(format!("{} samples", samples.len()), &remedy));
        }
        let signal: Vec<f64> = samples.iter().map(|v| f64::from(*v)).collect();
        let mean = |frame: &[f64]| frame.iter().sum::<f64>() / length as f64;
        let sides = |k: usize| if k == 0 || k == length / 2 { 1. } else { 2. };
        self.frames.picture(&signal, mean, |k, z| z.norm_sqr() * self.scale * sides(k))
    }

    /// Natural logarithm of the power densities + 1e-7.
    ///
    /// # Errors
    /// Those of [`Density::power`].
    pub fn log(&self, samples: &[f32]) -> Result<Spectrogram> {
        Ok(self.power(samples)?.log())
    }
}

/// The periodic Tukey window: half a cosine up from 0, ones, half a cosine down.
fn tukey(length: usize) -> Vec<f64> {
    let rise = (TAPER * length as f64 / 2.).floor() as usize;
    let ramp = |i: usize| 0.5 - 0.5 * (2. * PI * i as f64 / (TAPER * length as f64)).cos();
    (0..length).map(|i| i.min(length - i)).map(|i| if i <= rise { ramp(i) } else { 1. }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn density_by_hand() {
        // 8 samples: the window rises in one step, 0 1 1 1 1 1 1 1, energy 7. Samples 4 -4 4 -4 ... have mean 0 and,
        // windowed, -4 4 -4 4 -4 4 -4: at half of the rate 28 in magnitude, at frequency 0 4, elsewhere 4: only the
        // zero of the first sample is missing from a pure oscillation. With a rate of 2 Hz the scale is 1 / 14.
        let wave: Vec<f32> = (0..8).map(|i| if i % 2 == 0 { 4. } else { -4. }).collect();
        let power = Density::new(2, 8, 4).unwrap().power(&wave).unwrap();
        assert_eq!(power.shape, [5, 1]);
        let want = [16. / 14., 32. / 14., 32. / 14., 32. / 14., 784. / 14.];
        assert!(power.data.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-5), "{:?}", power.data);
    }

    #[test]
    fn a_constant_is_silence() {
        let density = Density::new(8000, 16, 0).unwrap();
        assert!(density.power(&[0.75; 40]).unwrap().data.iter().all(|v| *v < 1e-30));
        assert_eq!(density.log(&[0.75; 40]).unwrap().data, [(1e-7f64).ln() as f32; 18]);
    }

    #[test]
    fn the_window_by_hand() {
        // A quarter of 16 samples rises and falls: two steps of half a cosine.
        let window = tukey(16);
        assert!((window[1] - 0.5).abs() < 1e-12 && (window[15] - 0.5).abs() < 1e-12);
        assert_eq!(window[0], 0.);
        assert!(window[2..15].iter().all(|w| *w == 1.));
    }

    #[test]
    fn refuses_what_makes_no_frame() {
        for (rate, length, overlap) in [(0, 8, 4), (8, 7, 4), (8, 8, 8), (8, 8, 9), (8, 1 << 40, 4), (8, 0, 0)] {
            assert!(Density::new(rate, length, overlap).is_err(), "{rate} {length} {overlap}");
        }
        assert!(Density::new(8, 8, 4).unwrap().power(&[0.; 7]).is_err());
    }
}
