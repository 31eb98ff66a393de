//! Sums over eight frames side by side, which compilers turn into vectors. Each frame's numbers are those that it would
//! have alone, bit for bit: no sum is regrouped.

use std::{f64::consts::TAU, sync::Arc};

use realfft::num_complex::Complex;
use rustfft::{Fft, FftPlanner};

/// Frames side by side.
pub(super) const LANES: usize = 8;

/// One number of each frame.
pub(super) type PerFrame = [f64; LANES];

/// Power spectra of real frames of an even length that 4 divides, by a complex transform of half the length.
#[derive(Clone)]
pub(super) struct Powers {
    fft: Arc<dyn Fft<f64>>,
    /// Half of e^(-i tau k / length) for k from 1 to a quarter of the length.
    twiddles: Vec<Complex<f64>>,
}

/// Buffers of [`Powers`].
pub(super) struct Buffers {
    input: Vec<Complex<f64>>,
    output: Vec<Complex<f64>>,
    scratch: Vec<Complex<f64>>,
    /// Power of each frequency below half of the sample rate.
    pub power: Vec<PerFrame>,
}

impl Buffers {
    /// Samples of the frames, one frame after the other, to be overwritten before each [`Powers::fill`].
    #[inline(always)]
    pub fn frames(&mut self) -> &mut [f64] {
        let numbers = 2 * self.input.len();
        // SAFETY: a complex number is two f64 in a row (`repr(C)`), and the borrow of `input` goes on in the result.
        unsafe { std::slice::from_raw_parts_mut(self.input.as_mut_ptr().cast(), numbers) }
    }
}

impl Powers {
    /// A plan for frames of `length` samples.
    pub fn new(length: usize) -> Self {
        let turn = |k: usize| {
            let angle = -TAU / length as f64 * k as f64;
            Complex { re: angle.cos(), im: angle.sin() } * 0.5
        };
        Self { fft: FftPlanner::new().plan_fft_forward(length / 2), twiddles: (1..length / 4).map(turn).collect() }
    }

    /// Buffers for [`Powers::fill`].
    pub fn buffers(&self) -> Buffers {
        let (zero, half) = (Complex::default(), self.fft.len());
        let scratch = vec![zero; self.fft.get_outofplace_scratch_len()];
        let [input, output] = [0; 2].map(|_| vec![zero; LANES * half]);
        Buffers { input, output, scratch, power: vec![[0.; LANES]; half] }
    }

    /// Fills the powers of the frames in the buffers.
    #[inline(always)]
    pub fn fill(&self, buffers: &mut Buffers) {
        self.fft.process_outofplace_with_scratch(&mut buffers.input, &mut buffers.output, &mut buffers.scratch);
        self.unfold(&buffers.output, &mut buffers.power);
    }

    /// Powers of the real frames from the complex transforms of their pairs of samples.
    #[inline(always)]
    fn unfold(&self, output: &[Complex<f64>], power: &mut [PerFrame]) {
        let half = power.len();
        let mut lanes: [&[Complex<f64>]; LANES] = [&[]; LANES];
        lanes.iter_mut().zip(output.chunks_exact(half)).for_each(|(lane, z)| *lane = z);
        for lane in 0..LANES {
            power[0][lane] = (lanes[lane][0].re + lanes[lane][0].im).powi(2);
            power[half / 2][lane] = lanes[lane][half / 2].norm_sqr();
        }
        let (low, high) = power.split_at_mut(half / 2);
        let mirrored = low[1..].iter_mut().zip(high[1..].iter_mut().rev());
        for ((k, turn), (low, high)) in (1..).zip(&self.twiddles).zip(mirrored) {
            let mut parts = [[0.; LANES]; 4];
            for lane in 0..LANES {
                let (near, far) = (lanes[lane][k], lanes[lane][half - k]);
                (parts[0][lane], parts[1][lane], parts[2][lane], parts[3][lane]) = (near.re, near.im, far.re, far.im);
            }
            (*low, *high) = split(parts, *turn);
        }
    }
}

/// Powers of two frequencies that mirror each other, from the real and imaginary parts of both in the folded transform.
#[inline(always)]
fn split([re, im, far_re, far_im]: [PerFrame; 4], turn: Complex<f64>) -> (PerFrame, PerFrame) {
    let (mut low, mut high) = ([0.; LANES], [0.; LANES]);
    for i in 0..LANES {
        let (sum_re, sum_im) = (0.5 * (re[i] + far_re[i]), im[i] + far_im[i]);
        let (diff_re, diff_im) = (re[i] - far_re[i], 0.5 * (im[i] - far_im[i]));
        let turned_re = sum_im * turn.re + diff_re * turn.im;
        let turned_im = sum_im * turn.im - diff_re * turn.re;
        low[i] = power(sum_re + turned_re, diff_im + turned_im);
        high[i] = power(sum_re - turned_re, turned_im - diff_im);
    }
    (low, high)
}

#[inline(always)]
fn power(re: f64, im: f64) -> f64 {
    re * re + im * im
}

/// Means of the frames, whose samples are `raw`, one frame after the other.
#[allow(clippy::needless_range_loop, reason = "an index for all frames makes vectors")]
#[inline(always)]
pub(super) fn means(raw: &[f64]) -> PerFrame {
    let length = raw.len() / LANES;
    let mut frames: [&[f64]; LANES] = [&[]; LANES];
    frames.iter_mut().zip(raw.chunks_exact(length)).for_each(|(frame, raw)| *frame = &raw[..length]);
    let mut sums = [0.; LANES];
    for i in 0..length {
        for lane in 0..LANES {
            sums[lane] += frames[lane][i];
        }
    }
    sums.iter_mut().for_each(|sum| *sum /= length as f64);
    sums
}

/// Weighted sums, at least `floor`.
#[inline(always)]
pub(super) fn weighted(power: &[PerFrame], weights: &[f64], floor: f64) -> PerFrame {
    let mut sums = [0.; LANES];
    for (power, weight) in power.iter().zip(weights) {
        sums.iter_mut().zip(power).for_each(|(sum, p)| *sum += p * weight);
    }
    // Not `max`, which would hide NaN.
    sums.map(|sum| if sum < floor { floor } else { sum })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_by_hand() {
        // 1 0 0 0 0 0 0 0 has power 1 everywhere; eight times 1 has 64 at frequency 0; 1 -1 1 -1 ... has all of it at
        // half of the rate, which is left out; a cosine of two periods has (8 / 2)^2 = 16 at frequency 2.
        let plan = Powers::new(8);
        let mut buffers = plan.buffers();
        let frames = buffers.frames();
        frames.fill(0.);
        frames[0] = 1.;
        frames[8..16].fill(1.);
        frames[16..24].iter_mut().enumerate().for_each(|(i, v)| *v = if i % 2 == 0 { 1. } else { -1. });
        frames[56..64].copy_from_slice(&[1., 0., -1., 0., 1., 0., -1., 0.]);
        plan.fill(&mut buffers);
        for (lane, want) in [(0, [1.; 4]), (1, [64., 0., 0., 0.]), (2, [0.; 4]), (7, [0., 0., 16., 0.])] {
            let got: Vec<f64> = buffers.power.iter().map(|power| power[lane]).collect();
            assert!(got.iter().zip(want).all(|(got, want)| (got - want).abs() < 1e-12), "frame {lane}: {got:?}");
        }
    }

    #[test]
    fn sums_by_hand() {
        let raw: Vec<f64> = (0..2 * LANES).map(|i| i as f64).collect();
        assert_eq!(means(&raw), std::array::from_fn(|lane| 2. * lane as f64 + 0.5));
        let powers = [std::array::from_fn(|lane| lane as f64), [1.; LANES], [99.; LANES]];
        let sums = weighted(&powers, &[2., 0.5], 3.);
        assert_eq!(sums[..4], [3., 3., 4.5, 6.5]);
        assert!(weighted(&[[f64::NAN; LANES]], &[1.], 3.)[0].is_nan());
    }
}
