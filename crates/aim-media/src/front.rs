//! Audio front ends: from a waveform (mono samples in [-1, 1]) to the picture of frequency over time that a network
//! sees.
//!
//! * [`Stft`]: centred short-time Fourier transform as librosa defines it, magnitudes or their logarithm,
//!   `[bins, frames]`; [`stft_magnitude`] and [`log_spectrogram`] for one recording.
//! * [`Density`]: power density as SciPy defines it, or its logarithm, `[bins, frames]`.
//! * [`Fbank`]: Kaldi's log mel filter bank, `[frames, bins]`; [`kaldi_fbank`] for one recording. [`ast_normalise`]
//!   scales it as audio-visual recipes do, [`Spectrogram::with_rows`] cuts or pads it.
//! * [`log_mel`]: the same filter bank for short recordings, cut or padded to a fixed size, `[bins, frames]`.
//!
//! A plan ([`Stft`], [`Density`], [`Fbank`]) is made once and serves many recordings and threads.
//! All compute in f64 and give f32. A sample that is not finite stays visible in the result.

mod density;
mod fbank;
mod frames;
mod lanes;
mod log;
mod mel;
mod stft;

use crate::Error;

pub use density::Density;
pub use fbank::Fbank;
pub use mel::{ast_normalise, kaldi_fbank, log_mel};
pub use stft::{Pad, Stft, log_spectrogram, stft_magnitude};

/// Keeps the logarithm of silence finite.
const FLOOR: f64 = 1e-7;

/// Numbers over two axes, row after row.
#[derive(Clone, Debug, PartialEq)]
pub struct Spectrogram {
    /// The numbers.
    pub data: Vec<f32>,
    /// Rows and columns.
    pub shape: [usize; 2],
}

impl Spectrogram {
    /// Rows as columns.
    pub fn transposed(&self) -> Self {
        let [rows, columns] = self.shape;
        let column = |c: usize| self.data.iter().skip(c).step_by(columns).copied();
        Self { data: (0..columns).flat_map(column).collect(), shape: [columns, rows] }
    }

    /// Natural logarithm of each number + 1e-7.
    fn log(mut self) -> Self {
        self.data.iter_mut().for_each(|v| *v = (f64::from(*v) + FLOOR).ln() as f32);
        self
    }

    /// The first `rows` rows, with rows of zeros where there are fewer.
    pub fn with_rows(&self, rows: usize) -> Self {
        let columns = self.shape[1];
        let mut data = self.data[..self.data.len().min(rows * columns)].to_vec();
        data.resize(rows * columns, 0.);
        Self { data, shape: [rows, columns] }
    }

    /// Shifted and scaled to mean 0 and standard deviation 1; the deviation is that of the numbers themselves, not
    /// an estimate, and 1e-9 is added to it, so that silence stays finite.
    pub fn standardised(&self) -> Self {
        let count = self.data.len().max(1) as f64;
        let values = || self.data.iter().map(|v| f64::from(*v));
        let mean = values().sum::<f64>() / count;
        let deviation = (values().map(|v| (v - mean).powi(2)).sum::<f64>() / count).sqrt();
        let data = values().map(|v| ((v - mean) / (deviation + 1e-9)) as f32).collect();
        Self { data, shape: self.shape }
    }
}

/// An error about a front end's setting or its samples.
fn unfit(problem: impl ToString, remedy: &str) -> Error {
    Error::new("audio front end", problem, remedy)
}

/// A Hann window that is 0 at its first sample and would be 0 again at sample `period`.
fn hann(length: usize, period: usize) -> Vec<f64> {
    (0..length).map(|i| 0.5 - 0.5 * (std::f64::consts::TAU * i as f64 / period as f64).cos()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spectrograms_turn_grow_and_shrink() {
        let picture = Spectrogram { data: vec![1., 2., 3., 4., 5., 6.], shape: [2, 3] };
        assert_eq!(picture.transposed(), Spectrogram { data: vec![1., 4., 2., 5., 3., 6.], shape: [3, 2] });
        assert_eq!(picture.with_rows(1), Spectrogram { data: vec![1., 2., 3.], shape: [1, 3] });
        assert_eq!(picture.with_rows(3).data, [1., 2., 3., 4., 5., 6., 0., 0., 0.]);
    }

    #[test]
    fn standardised_by_hand() {
        // Mean 2, squared distances 1 1 1 1, deviation 1.
        let picture = Spectrogram { data: vec![1., 3., 3., 1.], shape: [2, 2] };
        let got = picture.standardised().data;
        assert!(got.iter().zip([-1., 1., 1., -1.]).all(|(got, want): (_, f32)| (got - want).abs() < 1e-6), "{got:?}");
        let silence = Spectrogram { data: vec![-16.; 4], shape: [2, 2] };
        assert_eq!(silence.standardised().data, [0.; 4]);
    }
}
