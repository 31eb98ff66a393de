//! A plan of Kaldi's filter bank.

use super::{
    Spectrogram, hann,
    lanes::{Buffers, LANES, PerFrame, Powers, means, weighted},
    log::ln,
    unfit,
};
use crate::Result;

/// Length of a frame in seconds.
const WINDOW: f64 = 0.025;
/// How much of the sample before is taken away, which lifts the high frequencies.
const PREEMPHASIS: f64 = 0.97;
/// Lowest frequency of the lowest filter in Hz; the highest is half of the sample rate.
const LOWEST: f64 = 20.;
/// Least energy: the f32 epsilon that Kaldi uses, so that the logarithm of silence is finite.
pub(super) const FLOOR: f64 = f32::EPSILON as f64;
/// Distance of two frames in seconds.
const SHIFT: f64 = 0.010;

/// Seconds in whole samples, rounded down.
fn steps(seconds: f64, rate: u32) -> usize {
    // A product that floating point leaves just below a whole number is that number.
    (seconds * f64::from(rate) + 1e-6) as usize
}

/// A plan of Kaldi's filter bank for recordings of one rate: windows, transforms and filters are made once.
///
/// ```
/// use aim_media::front::Fbank;
/// let fbank = Fbank::new(16_000, 128)?;
/// assert_eq!(fbank.compute(&[0.; 16_000])?.shape, [98, 128]);
/// # Ok::<(), aim_media::Error>(())
/// ```
#[derive(Clone)]
pub struct Fbank {
    pub(super) window: Vec<f64>,
    pub(super) step: usize,
    filters: Vec<(usize, Vec<f64>)>,
    powers: Powers,
}

/// What a few frames pass through.
struct Work {
    raw: Vec<f64>,
    buffers: Buffers,
    energies: Vec<PerFrame>,
    logs: Vec<[f32; LANES]>,
}

/// Writes the log energies of a few frames, row after row, as many as there is room for.
type Group = fn(&Fbank, [&[f32]; LANES], &mut Work, &mut [f32]);

impl Fbank {
    /// A plan for `bins` filters and a frame every 10 ms, see [`kaldi_fbank`](super::kaldi_fbank).
    ///
    /// # Errors
    /// If `bins` is 0 or above 4096, or the rate is below 200 Hz or above 1 MHz.
    pub fn new(rate: u32, bins: usize) -> Result<Self> {
        Self::with_shift(rate, bins, SHIFT)
    }

    /// A plan for a frame every `shift` seconds.
    ///
    /// # Errors
    /// Those of [`Fbank::new`], and if `shift` is shorter than a sample.
    pub fn with_shift(rate: u32, bins: usize, shift: f64) -> Result<Self> {
        let (length, step) = (steps(WINDOW, rate), steps(shift, rate));
        if !(1..=4096).contains(&bins) || !(200..=1_000_000).contains(&rate) || step == 0 {
            let problem = format!("{bins} filters every {shift} s at {rate} Hz");
            let remedy = "choose 1 to 4096 filters, 200 Hz to 1 MHz and at least one sample between frames";
            return Err(unfit(problem, remedy));
        }
        let n_fft = length.next_power_of_two();
        let filters = (0..bins).map(|b| filter(b, bins, rate, n_fft)).collect();
        Ok(Self { window: hann(length, length - 1), step, filters, powers: Powers::new(n_fft) })
    }

    /// The filter bank of a recording, `[frames, bins]`.
    ///
    /// # Errors
    /// If the recording is shorter than a frame.
    pub fn compute(&self, samples: &[f32]) -> Result<Spectrogram> {
        let (length, bins) = (self.window.len(), self.filters.len());
        let Some(room) = samples.len().checked_sub(length) else {
            let remedy = format!("a frame takes {length}: pad the recording");
            return Err(unfit(format!("{} samples", samples.len()), &remedy));
        };
        let count = 1 + room / self.step;
        let mut data = vec![0.; count * bins];
        let mut work = self.work();
        let group = Self::kernel();
        for (first, rows) in (0..count).step_by(LANES).zip(data.chunks_mut(LANES * bins)) {
            // The last frame stands in for those that are missing beside it.
            let start = |lane: usize| (first + lane).min(count - 1) * self.step;
            group(self, std::array::from_fn(|lane| &samples[start(lane)..][..length]), &mut work, rows);
        }
        Ok(Spectrogram { data, shape: [count, bins] })
    }

    fn work(&self) -> Work {
        let bins = self.filters.len();
        Work {
            raw: vec![0.; LANES * self.window.len()],
            buffers: self.powers.buffers(),
            energies: vec![[0.; LANES]; bins],
            logs: vec![[0.; LANES]; bins],
        }
    }

    /// [`Fbank::group`] compiled for this processor. No instruction set changes its results.
    fn kernel() -> Group {
        #[cfg(target_arch = "x86_64")]
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512vl") {
            // SAFETY: the processor has AVX-512.
            return |fbank, frames, work, rows| unsafe { fbank.group_avx512(frames, work, rows) };
        } else if is_x86_feature_detected!("avx2") {
            // SAFETY: the processor has AVX2.
            return |fbank, frames, work, rows| unsafe { fbank.group_avx2(frames, work, rows) };
        }
        Self::group
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx512f,avx512vl,avx2")]
    fn group_avx512(&self, frames: [&[f32]; LANES], work: &mut Work, rows: &mut [f32]) {
        self.group(frames, work, rows);
    }

    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    fn group_avx2(&self, frames: [&[f32]; LANES], work: &mut Work, rows: &mut [f32]) {
        self.group(frames, work, rows);
    }

    /// Log energies of as many frames as `rows` has room for.
    #[inline(always)]
    fn group(&self, frames: [&[f32]; LANES], work: &mut Work, rows: &mut [f32]) {
        for (raw, frame) in work.raw.chunks_exact_mut(self.window.len()).zip(frames) {
            raw.iter_mut().zip(frame).for_each(|(slot, x)| *slot = f64::from(*x));
        }
        emphasise(&work.raw, &self.window, work.buffers.frames());
        self.powers.fill(&mut work.buffers);
        for ((first, weights), energy) in self.filters.iter().zip(&mut work.energies) {
            *energy = weighted(&work.buffers.power[*first..], weights, FLOOR);
        }
        ln(work.energies.as_flattened(), work.logs.as_flattened_mut());
        for (lane, row) in rows.chunks_exact_mut(self.filters.len()).enumerate() {
            row.iter_mut().zip(&work.logs).for_each(|(slot, log)| *slot = log[lane]);
        }
    }
}

/// Takes each frame's mean away, then part of the sample before (the first sample stands before itself), then windows
/// it.
#[inline(always)]
fn emphasise(raw: &[f64], window: &[f64], out: &mut [f64]) {
    let (length, n_fft) = (raw.len() / LANES, out.len() / LANES);
    let frames = raw.chunks_exact(length).zip(means(raw)).zip(out.chunks_exact_mut(n_fft));
    for ((frame, mean), out) in frames {
        let (out, rest) = out.split_at_mut(length);
        rest.fill(0.);
        let emphasised = |x: f64, before: f64| (x - mean) - PREEMPHASIS * (before - mean);
        out[0] = emphasised(frame[0], frame[0]) * window[0];
        for (((out, x), before), w) in out[1..].iter_mut().zip(&frame[1..]).zip(frame).zip(&window[1..]) {
            *out = emphasised(*x, *before) * w;
        }
    }
}

/// Place of a frequency in Hz on the mel scale.
pub(super) fn mel(frequency: f64) -> f64 {
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

    #[test]
    fn steps_are_whole_where_seconds_are() {
        assert_eq!([steps(0.018, 24_000), steps(0.0045, 8000), steps(0.025, 16_000)], [432, 36, 400]);
        assert_eq!(steps(0.0101, 8000), 80);
    }

    #[test]
    fn emphasis_by_hand() {
        // Without the mean -1, 0, 1; minus 0.97 of the sample before -0.03, 0.97, 1.
        let (mut raw, mut out) = (vec![0.; 3 * LANES], vec![9.; 4 * LANES]);
        raw[3..6].copy_from_slice(&[1., 2., 3.]);
        emphasise(&raw, &[1.; 3], &mut out);
        for (got, want) in out[4..8].iter().zip([-0.03, 0.97, 1., 0.]) {
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
    fn frames_do_not_see_each_other() {
        let noise: Vec<f32> = (0..4000i64).map(|i| ((i * i * 7919) % 2003) as f32 / 2003. - 0.5).collect();
        let plan = Fbank::with_shift(8000, 24, 0.01).unwrap();
        let whole = plan.compute(&noise).unwrap();
        for (t, row) in whole.data.chunks(24).enumerate() {
            assert_eq!(plan.compute(&noise[t * 80..][..200]).unwrap().data, row, "frame {t}");
        }
    }

    #[test]
    fn instruction_sets_agree_bit_for_bit() {
        let plan = Fbank::new(16_000, 40).unwrap();
        let noise: Vec<f32> = (0..400i64).map(|i| ((i * i * 7919) % 2003) as f32 / 2003. - 0.5).collect();
        let logs = |group: Group| {
            let mut rows = vec![0.; 40 * LANES];
            group(&plan, [&noise; LANES], &mut plan.work(), &mut rows);
            rows
        };
        assert_eq!(logs(Fbank::group), logs(Fbank::kernel()));
    }
}
