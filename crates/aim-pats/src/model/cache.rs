//! Keys and values of positions that were seen.

use candle_core::Tensor;

use crate::Result;

/// Keys and values of every layer, each `[rows, heads, positions, head width]`; empty at first.
#[derive(Clone, Debug, Default)]
pub struct Cache {
    layers: Vec<(Tensor, Tensor)>,
}

impl Cache {
    /// Positions held.
    pub fn positions(&self) -> usize {
        self.layers.first().map_or(0, |(keys, _)| keys.dims()[2])
    }

    /// Bytes of its keys and values.
    pub fn bytes(&self) -> usize {
        let bytes = |tensor: &Tensor| tensor.elem_count() * tensor.dtype().size_in_bytes();
        self.layers.iter().map(|(keys, values)| bytes(keys) + bytes(values)).sum()
    }

    /// Keys and values of a layer, if any are held.
    pub(super) fn layer(&self, at: usize) -> Option<&(Tensor, Tensor)> {
        self.layers.get(at)
    }

    /// Adds positions to a layer and returns all that it holds now.
    pub(super) fn append(&mut self, at: usize, keys: Tensor, values: Tensor) -> Result<(Tensor, Tensor)> {
        let Some(held) = self.layers.get_mut(at) else {
            self.layers.push((keys.clone(), values.clone()));
            return Ok((keys, values));
        };
        *held = (Tensor::cat(&[&held.0, &keys], 2)?, Tensor::cat(&[&held.1, &values], 2)?);
        Ok(held.clone())
    }

    /// Forgets all positions from this one on.
    pub(crate) fn truncate(&mut self, positions: usize) -> Result<()> {
        if positions == 0 {
            self.layers.clear();
        } else if positions < self.positions() {
            self.each(|tensor| tensor.narrow(2, 0, positions)?.contiguous())?;
        }
        Ok(())
    }

    /// Keeps these rows.
    pub(crate) fn select(&mut self, rows: &[u32]) -> Result<()> {
        self.each(|tensor| tensor.index_select(&Tensor::new(rows, tensor.device())?, 0))
    }

    fn each(&mut self, change: impl Fn(&Tensor) -> candle_core::Result<Tensor>) -> Result<()> {
        for (keys, values) in &mut self.layers {
            (*keys, *values) = (change(keys)?, change(values)?);
        }
        Ok(())
    }
}
