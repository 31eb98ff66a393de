//! Audio front ends: from a waveform (mono samples in [-1, 1]) to the picture of frequency over time that a network
//! sees.
//!
//! * [`stft_magnitude`] and [`log_spectrogram`]: centred short-time Fourier transform as librosa defines it,
//!   `[bins, frames]`.
//! * [`kaldi_fbank`] and [`ast_normalise`]: Kaldi's log mel filter bank, `[frames, bins]`, and the scaling of the audio
//!   spectrogram transformer.
//! * [`log_density`]: power density as `scipy.signal.spectrogram` gives it, `[bins, frames]`.
//! * [`log_mel`]: the same filter bank for short recordings, cut or padded to a fixed size, `[bins, frames]`.
//!
//! All compute in f64 and give f32. A sample that is not finite stays visible in the result.

mod density;
mod mel;
mod stft;

use crate::Error;

pub use density::log_density;
pub use mel::{ast_normalise, kaldi_fbank, log_mel};
pub use stft::{Pad, log_spectrogram, stft_magnitude};

/// Numbers over two axes, row after row.
#[derive(Clone, Debug, PartialEq)]
pub struct Spectrogram {
    /// The numbers.
    pub data: Vec<f32>,
    /// Rows and columns.
    pub shape: [usize; 2],
}

impl Spectrogram {
    /// From one vector a row.
    fn from_rows(rows: &[Vec<f64>], columns: usize) -> Self {
        Self { data: rows.concat().into_iter().map(|v| v as f32).collect(), shape: [rows.len(), columns] }
    }

    /// The numbers with mean 0 and standard deviation 1; of constant ones only the mean goes.
    #[must_use]
    pub fn standardised(mut self) -> Self {
        let count = self.data.len().max(1) as f64;
        let mean = self.data.iter().map(|v| f64::from(*v)).sum::<f64>() / count;
        let variance = self.data.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / count;
        let deviation = variance.sqrt() + 1e-9;
        self.data.iter_mut().for_each(|v| *v = ((f64::from(*v) - mean) / deviation) as f32);
        self
    }

    /// Rows as columns.
    fn transposed(&self) -> Self {
        let [rows, columns] = self.shape;
        let data = (0..self.data.len()).map(|i| self.data[(i % rows) * columns + i / rows]).collect();
        Self { data, shape: [columns, rows] }
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
mod golden;
