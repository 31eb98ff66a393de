//! Frames of a signal, each windowed and transformed.

use std::sync::Arc;

use realfft::{RealFftPlanner, RealToComplex, num_complex::Complex};

use super::{Spectrogram, unfit};
use crate::Result;

/// Longest frame in samples.
const LONGEST: usize = 1 << 16;

/// A plan for frames of one length at one distance.
#[derive(Clone)]
pub(super) struct Frames {
    window: Vec<f64>,
    hop: usize,
    fft: Arc<dyn RealToComplex<f64>>,
}

impl Frames {
    /// A plan for frames of `length` samples every `hop` samples.
    pub fn new(length: usize, hop: usize, window: impl FnOnce(usize) -> Vec<f64>) -> Result<Self> {
        if !(2..=LONGEST).contains(&length) || length % 2 == 1 || hop == 0 {
            let remedy = format!("choose an even length from 2 to {LONGEST} and a distance of at least 1");
            return Err(unfit(format!("frames of {length} samples every {hop}"), &remedy));
        }
        Ok(Self { window: window(length), hop, fft: RealFftPlanner::new().plan_fft_forward(length) })
    }

    pub fn window(&self) -> &[f64] {
        &self.window
    }

    /// The picture `[length / 2 + 1, frames]` of all frames that lie inside the signal, of which there must be one. A
    /// frame loses its `level` before it is windowed; `value` makes a number of a frequency's place and coefficient.
    pub fn picture(
        &self,
        signal: &[f64],
        level: impl Fn(&[f64]) -> f64,
        value: impl Fn(usize, Complex<f64>) -> f64,
    ) -> Result<Spectrogram> {
        let bins = self.window.len() / 2 + 1;
        let frames = signal.windows(self.window.len()).step_by(self.hop);
        let (mut input, mut output) = (self.fft.make_input_vec(), self.fft.make_output_vec());
        let (mut scratch, mut data) = (self.fft.make_scratch_vec(), Vec::with_capacity(frames.len() * bins));
        for frame in frames {
            let level = level(frame);
            let windowed = frame.iter().zip(&self.window).map(|(x, w)| (x - level) * w);
            input.iter_mut().zip(windowed).for_each(|(slot, v)| *slot = v);
            let done = self.fft.process_with_scratch(&mut input, &mut output, &mut scratch);
            done.map_err(|e| unfit(e, "choose another length of frames"))?;
            data.extend(output.iter().enumerate().map(|(k, z)| value(k, *z) as f32));
        }
        Ok(Spectrogram { shape: [data.len() / bins, bins], data }.transposed())
    }
}
