//! Rotary position embedding (Su et al. 2021): position p turns a pair of numbers by p times the pair's frequency.

use std::f32::consts::TAU;

use candle_core::{DType, Device, Tensor};

use super::config::{Config, Stretch};
use crate::{Error, Result};

/// Cosines and sines for every position, `[positions, head / 2]`.
#[derive(Clone, Debug)]
pub(super) struct Rope {
    cos: Tensor,
    sin: Tensor,
}

/// Cosines and sines of consecutive positions.
pub(super) type Turns = (Tensor, Tensor);

impl Rope {
    pub fn new(config: &Config, dtype: DType, device: &Device) -> Result<Self> {
        let (width, positions, stretch) = (config.head_width(), config.max_position_embeddings, config.stretch()?);
        let pair = |at: usize| 1. / config.theta().powf(at as f32 / width as f32);
        let stretched = |frequency: f32| stretch.map_or(frequency, |stretch| stretch.of(frequency));
        let frequencies: Vec<f32> = (0..width).step_by(2).map(pair).map(stretched).collect();
        let frequencies = Tensor::from_vec(frequencies, (1, width / 2), device)?;
        let positions = Tensor::arange(0u32, positions as u32, device)?.to_dtype(DType::F32)?.unsqueeze(1)?;
        let angles = positions.matmul(&frequencies)?;
        Ok(Self { cos: angles.cos()?.to_dtype(dtype)?, sin: angles.sin()?.to_dtype(dtype)? })
    }

    /// Positions held.
    pub fn positions(&self) -> usize {
        self.cos.dims()[0]
    }

    /// For `len` positions from `start`.
    pub fn at(&self, start: usize, len: usize) -> Result<Turns> {
        let positions = self.positions();
        if start + len > positions {
            return Err(Error::Full { tokens: start + len, positions });
        }
        Ok((self.cos.narrow(0, start, len)?, self.sin.narrow(0, start, len)?))
    }
}

impl Stretch {
    /// Waves longer than the original context are stretched whole, short ones not at all, those between partly.
    fn of(self, frequency: f32) -> f32 {
        let waves = self.original * frequency / TAU;
        let kept = ((waves - self.low) / (self.high - self.low)).clamp(0., 1.);
        frequency * (kept + (1. - kept) / self.factor)
    }
}
