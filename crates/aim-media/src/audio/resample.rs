//! Sound at another rate.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler};

use super::Sound;
use crate::{Error, Result};

/// Taps of the low-pass filter at the lower of the two rates, at least.
const TAPS: u32 = 1024;
/// Longest transform that is accepted: rates without a common factor of use need a long one.
const LONGEST: u64 = 1 << 22;

/// Largest sample whose sums within a transform are finite by far; full scale is 1.
const LOUDEST: f32 = 1e24;

impl Sound {
    /// The sound at another rate; `place` names the file in errors.
    ///
    /// # Errors
    /// As [`resample`].
    pub fn at(self, rate: u32, place: &str) -> Result<Self> {
        if rate == self.rate {
            return Ok(self);
        }
        let channels = self.channels.iter().map(|channel| resample(channel, self.rate, rate)).collect::<Result<_>>();
        let channels = channels.map_err(|error| Error { place: place.into(), ..error })?;
        Ok(Self { rate, channels })
    }
}

/// Samples at rate `to` of `samples` at rate `from`, band-limited by a windowed sinc.
///
/// Output sample `i` stands at the time of input sample `i * from / to`; there are `n * to / from` of them, rounded.
/// Before and behind the input is silence.
///
/// # Errors
/// A rate of zero, rates with no common factor that are too far apart, or a sample that no recording holds.
pub fn resample(samples: &[f32], from: u32, to: u32) -> Result<Vec<f32>> {
    let fault = |problem: String| Error::new("rate", problem, "choose a rate such as 16,000 or 22,050");
    if from == 0 || to == 0 {
        return Err(fault(format!("from {from} to {to} samples a second is no change of rate")));
    }
    if from == to || samples.is_empty() {
        return Ok(samples.to_vec());
    }
    let wrong = |sample: &&f32| !sample.is_finite() || sample.abs() > LOUDEST;
    if let Some(sample) = samples.iter().find(wrong) {
        let problem = format!("a sample of {sample:e} is none of a recording, whose full scale is 1");
        return Err(Error::new("sound", problem, "export the recording again"));
    }
    let divisor = divisor(from, to);
    let (step_in, step_out) = (from / divisor, to / divisor);
    // An even number of steps makes half a transform, the delay, a whole number of samples on both sides.
    let steps = TAPS.div_ceil(step_in.min(step_out)).next_multiple_of(2);
    if u64::from(steps) * u64::from(step_in.max(step_out)) > LONGEST {
        return Err(fault(format!("from {from} to {to} samples a second is too far")));
    }
    let rates = (step_in as usize, step_out as usize);
    let count = (samples.len() as u128 * u128::from(to) + u128::from(from) / 2) / u128::from(from);
    let mut out = convert(samples, rates, steps as usize * rates.0).map_err(fault)?;
    out.resize(count as usize, 0.0);
    Ok(out)
}

fn convert(samples: &[f32], rates: (usize, usize), chunk: usize) -> Result<Vec<f32>, String> {
    let input = InterleavedSlice::new(samples, 1, samples.len()).map_err(|error| error.to_string())?;
    let mut filter = Fft::<f32>::new(rates.0, rates.1, chunk, 1, FixedSync::Both).map_err(|error| error.to_string())?;
    let output = filter.process_all(&input, samples.len(), None).map_err(|error| error.to_string())?;
    Ok(output.take_data())
}

fn divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::resample;

    fn sine(frequency: f64, rate: u32, count: usize) -> Vec<f32> {
        let step = std::f64::consts::TAU * frequency / f64::from(rate);
        (0..count).map(|i| (step * i as f64).sin() as f32).collect()
    }

    #[test]
    fn a_sine_stays_the_same_sine() {
        for (from, to) in [(44_100, 16_000), (48_000, 22_050), (16_000, 44_100), (22_050, 16_000), (8000, 48_000)] {
            let frequency = 0.35 * f64::from(from.min(to));
            let out = resample(&sine(frequency, from, from as usize), from, to).unwrap();
            assert_eq!(out.len(), to as usize);
            let wanted = sine(frequency, to, out.len());
            // The ends are left out: there the filter meets silence.
            let inner = 2048..out.len() - 2048;
            let noise: f64 = inner.clone().map(|i| f64::from(out[i] - wanted[i]).powi(2)).sum();
            let signal: f64 = inner.map(|i| f64::from(wanted[i]).powi(2)).sum();
            let decibels = 10.0 * (signal / noise).log10();
            assert!(decibels > 80.0, "{from} -> {to}: {decibels} dB");
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_hold_is_silenced() {
        // 9 kHz is above half of 16 kHz, and would be heard at 7 kHz.
        let out = resample(&sine(9000.0, 44_100, 44_100), 44_100, 16_000).unwrap();
        let loudest = out[1024..out.len() - 1024].iter().fold(0.0f32, |most, x| most.max(x.abs()));
        assert!(loudest < 1e-4, "{loudest}");
    }

    #[test]
    fn an_impulse_keeps_its_time() {
        for (from, to) in [(44_100, 22_050), (44_100, 16_000), (16_000, 48_000), (44_101, 22_050), (11_025, 8000)] {
            // At a multiple of the reduced step of the input, so that it falls on a sample of the output.
            let divisor = super::divisor(from, to);
            let at = (from / divisor) as usize * 6000usize.div_ceil((from / divisor) as usize);
            let mut input = vec![0.0; at + 5000];
            input[at] = 1.0;
            let out = resample(&input, from, to).unwrap();
            let (loudest, _) = out.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
            assert_eq!(loudest, at * to as usize / from as usize, "{from} -> {to}");
            // The filter is symmetric about it.
            for k in 1..20 {
                assert!((out[loudest - k] - out[loudest + k]).abs() < 1e-4, "{from} -> {to}, {k} away");
            }
        }
    }

    #[test]
    fn the_number_of_samples_is_rounded() {
        // 5 * 16,000 / 44,100 = 1.81, 3 -> 1.09, 1 -> 0.36; 7 * 44,100 / 16,000 = 19.29.
        for (count, from, to, wanted) in
            [(5, 44_100, 16_000, 2), (3, 44_100, 16_000, 1), (1, 44_100, 16_000, 0), (7, 16_000, 44_100, 19)]
        {
            assert_eq!(resample(&vec![0.5; count], from, to).unwrap().len(), wanted);
        }
        assert_eq!(resample(&[], 8000, 16_000).unwrap(), Vec::<f32>::new());
        assert_eq!(resample(&[0.25, -1.0], 8000, 8000).unwrap(), [0.25, -1.0]);
    }

    #[test]
    fn a_constant_keeps_its_value() {
        let out = resample(&vec![0.5; 20_000], 44_100, 22_050).unwrap();
        assert!(out[2000..8000].iter().all(|x| (x - 0.5).abs() < 1e-5));
    }

    #[test]
    fn samples_that_overflow_in_sums_are_refused() {
        assert!(resample(&[1e20; 3000], 44_100, 16_000).unwrap().iter().all(|sample| sample.is_finite()));
        for sample in [f32::MAX, -1e30, f32::NAN] {
            let mut samples = vec![0.0; 3000];
            samples[1000] = sample;
            let error = resample(&samples, 44_100, 16_000).unwrap_err().to_string();
            assert!(error.starts_with("sound: a sample of ") && error.contains("none of a recording"), "{error}");
        }
    }

    #[test]
    fn impossible_rates_are_refused() {
        for (from, to) in [(0, 16_000), (16_000, 0), (4_294_967_291, 7)] {
            assert!(resample(&[0.0; 4], from, to).unwrap_err().to_string().starts_with("rate: "));
        }
    }
}
