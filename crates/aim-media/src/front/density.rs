//! The power density of `scipy.signal.spectrogram` with its defaults.

use realfft::RealFftPlanner;

use super::{Spectrogram, unfit};
use crate::Result;

/// Keeps the logarithm of silence finite.
const FLOOR: f64 = 1e-7;
/// Share of the window that rises and falls.
const TAPER: f64 = 0.25;

/// Natural logarithm of the power density + 1e-7, `[length / 2 + 1, frames]`: frames of `length` samples that share
/// `overlap` with the next, each without its mean, in a Tukey window with a quarter of taper; nothing is padded.
///
/// # Errors
/// If `length` is odd or 0, `overlap` is not below it, the rate is 0, or there are fewer samples than a frame has.
pub fn log_density(samples: &[f32], rate: u32, length: usize, overlap: usize) -> Result<Spectrogram> {
    if length < 2 || length % 2 == 1 || overlap >= length || rate == 0 {
        let problem = format!("frames of {length} samples with {overlap} shared, at {rate} Hz");
        return Err(unfit(problem, "choose an even length, a smaller overlap and a rate of at least 1 Hz"));
    }
    if samples.len() < length {
        return Err(unfit(format!("{} samples", samples.len()), &format!("a frame takes {length}: pad the recording")));
    }
    let window = tukey(length);
    let scale = 1. / (f64::from(rate) * window.iter().map(|w| w * w).sum::<f64>());
    let fft = RealFftPlanner::<f64>::new().plan_fft_forward(length);
    let (mut input, mut output) = (fft.make_input_vec(), fft.make_output_vec());
    let mut frames = Vec::with_capacity((samples.len() - overlap) / (length - overlap));
    for frame in samples.windows(length).step_by(length - overlap) {
        let mean = frame.iter().map(|v| f64::from(*v)).sum::<f64>() / length as f64;
        let windowed = frame.iter().zip(&window).map(|(x, w)| (f64::from(*x) - mean) * w);
        input.iter_mut().zip(windowed).for_each(|(slot, v)| *slot = v);
        fft.process(&mut input, &mut output).map_err(|e| unfit(e, "choose another length"))?;
        // Both halves of the spectrum, but for the constant part and the highest frequency, which have no twin.
        let twice = |k: usize| if k == 0 || k == length / 2 { scale } else { 2. * scale };
        frames.push(output.iter().enumerate().map(|(k, z)| (z.norm_sqr() * twice(k) + FLOOR).ln()).collect());
    }
    Ok(Spectrogram::from_rows(&frames, length / 2 + 1).transposed())
}

/// Tukey's window for `length` samples of a period: a cosine's rise over an eighth, 1, and the fall.
fn tukey(length: usize) -> Vec<f64> {
    let (rise, last) = ((TAPER * length as f64 / 2.).floor() as usize, length as f64);
    let at = |i: usize| {
        let x = 2. * i as f64 / TAPER / last;
        match i {
            i if i <= rise => 0.5 * (1. + (std::f64::consts::PI * (x - 1.)).cos()),
            i if i < length - rise => 1.,
            _ => 0.5 * (1. + (std::f64::consts::PI * (x - 2. / TAPER + 1.)).cos()),
        }
    };
    (0..length).map(at).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_rises_over_an_eighth() {
        // Rise over 2 of 16 samples: 0, 1/2, 1; the fall begins at sample 14.
        let window = tukey(16);
        let near = |a: f64, b: f64| (a - b).abs() < 1e-12;
        assert!(near(window[0], 0.) && near(window[1], 0.5) && near(window[2], 1.) && near(window[13], 1.));
        assert!(near(window[14], 1.) && near(window[15], 0.5), "{window:?}");
    }

    #[test]
    fn a_constant_sound_has_the_density_of_silence() {
        let picture = log_density(&[0.5; 40], 8, 16, 8).unwrap();
        assert_eq!(picture.shape, [9, 4]);
        assert!(picture.data.iter().all(|v| (f64::from(*v) - FLOOR.ln()).abs() < 1e-5));
    }

    #[test]
    fn refuses_what_makes_no_frame() {
        for (samples, rate, length, overlap) in
            [(40, 8, 0, 0), (40, 8, 15, 3), (40, 8, 16, 16), (40, 0, 16, 8), (15, 8, 16, 8)]
        {
            assert!(log_density(&vec![0.; samples], rate, length, overlap).is_err());
        }
    }
}
