//! Kaldi's log mel filter bank (without dither), and what is made of it.

use realfft::RealFftPlanner;

use super::{Spectrogram, hann, unfit};
use crate::Result;

/// Length of a frame in seconds.
const WINDOW: f64 = 0.025;
/// Distance of two frames in seconds.
const SHIFT: f64 = 0.010;
/// How much of the sample before is taken away, which lifts the high frequencies.
const PREEMPHASIS: f64 = 0.97;
/// Lowest frequency of the lowest filter in Hz; the highest is half of the sample rate.
const LOWEST: f64 = 20.;
/// Least energy: the f32 epsilon that Kaldi uses, so that the logarithm of silence is finite.
const FLOOR: f64 = f32::EPSILON as f64;
/// Mean and standard deviation of AudioSet's filter bank, as the audio spectrogram transformer uses them.
const AUDIOSET: (f64, f64) = (-4.503877, 5.141276);

/// Kaldi's filter bank, `[frames, bins]`: natural logarithm of the energy in `bins` triangular mel filters from 20 Hz
/// to `rate / 2`, in frames of 25 ms every 10 ms that lie wholly inside the recording.
///
/// Each frame loses its mean, which makes it superfluous to take the waveform's mean away before.
///
/// # Errors
/// If `bins` is 0, the rate is below 200 Hz, or the recording is shorter than a frame.
pub fn kaldi_fbank(samples: &[f32], rate: u32, bins: usize) -> Result<Spectrogram> {
    filter_bank(samples, rate, bins, SHIFT)
}

/// What the audio spectrogram transformer (Gong et al. 2021) sees: a filter bank `[frames, bins]` cut or padded with
/// zeros to `frames`, then (x + 4.503877) / (2 * 5.141276), hence about mean 0 and standard deviation 1/2.
pub fn ast_normalise(fbank: &Spectrogram, frames: usize) -> Spectrogram {
    let (bins, (mean, std)) = (fbank.shape[1], AUDIOSET);
    let mut data = fbank.data.clone();
    data.resize(frames * bins, 0.);
    data.iter_mut().for_each(|v| *v = ((f64::from(*v) - mean) / (2. * std)) as f32);
    Spectrogram { data, shape: [frames, bins] }
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
    let (window, step) = (steps(WINDOW, rate), steps(shift, rate));
    let mut samples = samples.to_vec();
    samples.resize(window + step * frames.saturating_sub(1), 0.);
    Ok(filter_bank(&samples, rate, bins, shift)?.transposed())
}

/// Seconds in whole samples, rounded down.
fn steps(seconds: f64, rate: u32) -> usize {
    (seconds * f64::from(rate)) as usize
}

fn filter_bank(samples: &[f32], rate: u32, bins: usize, shift: f64) -> Result<Spectrogram> {
    let (length, step) = (steps(WINDOW, rate), steps(shift, rate));
    if bins == 0 || rate < 200 || step == 0 {
        let problem = format!("{bins} filters every {shift} s at {rate} Hz");
        return Err(unfit(problem, "choose at least 1 filter, 200 Hz and one sample between frames"));
    }
    if samples.len() < length {
        return Err(unfit(format!("{} samples", samples.len()), &format!("a frame takes {length}: pad the recording")));
    }
    let n_fft = length.next_power_of_two();
    let filters: Vec<_> = (0..bins).map(|b| filter(b, bins, rate, n_fft)).collect();
    let window = hann(length, length - 1);
    let fft = RealFftPlanner::<f64>::new().plan_fft_forward(n_fft);
    let (mut input, mut output) = (fft.make_input_vec(), fft.make_output_vec());
    let mut rows = Vec::with_capacity(1 + (samples.len() - length) / step);
    for frame in samples.windows(length).step_by(step) {
        input.fill(0.);
        emphasise(frame, &window, &mut input);
        fft.process(&mut input, &mut output).map_err(|e| unfit(e, "choose another rate"))?;
        let power: Vec<f64> = output.iter().map(|z| z.norm_sqr()).collect();
        rows.push(filters.iter().map(|(first, weights)| log_energy(&power[*first..], weights)).collect());
    }
    Ok(Spectrogram::from_rows(&rows, bins))
}

/// Takes the frame's mean away, then part of the sample before (the first sample stands before itself), then windows
/// it.
fn emphasise(frame: &[f32], window: &[f64], out: &mut [f64]) {
    let mean = frame.iter().map(|v| f64::from(*v)).sum::<f64>() / frame.len() as f64;
    let at = |i: usize| f64::from(frame[i]) - mean;
    for (i, w) in window.iter().enumerate() {
        out[i] = (at(i) - PREEMPHASIS * at(i.saturating_sub(1))) * w;
    }
}

fn log_energy(power: &[f64], weights: &[f64]) -> f64 {
    let energy: f64 = power.iter().zip(weights).map(|(p, w)| p * w).sum();
    // Not `max`, which would hide NaN.
    if energy < FLOOR { FLOOR.ln() } else { energy.ln() }
}

fn mel(frequency: f64) -> f64 {
    1127. * (frequency / 700.).ln_1p()
}

/// Filter `b` of `bins`: the first bin of the transform that it weighs, and the weights from there on. It may weigh
/// none, and never the last bin.
fn filter(b: usize, bins: usize, rate: u32, n_fft: usize) -> (usize, Vec<f64>) {
    let rate = f64::from(rate);
    let width = (mel(rate / 2.) - mel(LOWEST)) / (bins + 1) as f64;
    let left = mel(LOWEST) + b as f64 * width;
    let weight = |k: usize| 1. - ((mel(k as f64 * rate / n_fft as f64) - left) / width - 1.).abs();
    let first = (0..n_fft / 2).find(|&k| weight(k) > 0.).unwrap_or(0);
    (first, (first..n_fft / 2).map(weight).take_while(|w| *w > 0.).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(frequency: f64, rate: u32, samples: usize) -> Vec<f32> {
        (0..samples).map(|i| (std::f64::consts::TAU * frequency * i as f64 / f64::from(rate)).sin() as f32).collect()
    }

    #[test]
    fn emphasis_by_hand() {
        // Without the mean -1, 0, 1; minus 0.97 of the sample before -0.03, 0.97, 1.
        let mut out = [0.; 3];
        emphasise(&[1., 2., 3.], &[1.; 3], &mut out);
        for (got, want) in out.iter().zip([-0.03, 0.97, 1.]) {
            assert!((got - want).abs() < 1e-12, "{out:?}");
        }
        assert_eq!(hann(3, 2), [0., 1., 0.]);
    }

    #[test]
    fn neighbouring_filters_share_each_frequency() {
        let filters: Vec<_> = (0..20).map(|b| filter(b, 20, 8000, 256)).collect();
        let sum_at = |k: usize| -> f64 {
            filters.iter().filter_map(|(first, w)| k.checked_sub(*first).and_then(|i| w.get(i))).sum()
        };
        // From the middle of the first filter to the middle of the last, two triangles always add up to 1.
        for k in 4..110 {
            assert!((sum_at(k) - 1.).abs() < 1e-9, "{k}: {}", sum_at(k));
        }
        assert_eq!((sum_at(0), sum_at(128)), (0., 0.));
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
