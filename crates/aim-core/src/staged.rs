//! Encoders that run block by block, so that something can act between the blocks of several.

use candle_core::Tensor;

use crate::{Encoder, Input, Pass, Pool, Result};

/// What an encoder has made of its input behind some of its blocks.
#[derive(Clone, Debug)]
pub struct Flow {
    /// The map that the next block reads, as it is handed over at [`Site::Stage`](crate::Site::Stage): `[rows, width]`,
    /// `[rows, width, ...]`, or `[rows, tokens, width]`; a sample has as many rows as frames.
    pub values: Tensor,
    /// How it becomes one vector a sample, by which it also says where its width and its frames are.
    pub pool: Pool,
    /// 1 where a position counts and 0 where it is padding, `[rows, positions]`, of any type; `None` where all count.
    pub seen: Option<Tensor>,
    /// Tokens of nobody's own `[rows, n, width]`, which the layers of an encoder of tokens see beside its own and
    /// change with them ([`capability::TOKENS`](crate::capability::TOKENS)).
    pub shared: Option<Tensor>,
}

impl Flow {
    /// A map of which every position counts.
    pub fn new(values: Tensor, pool: Pool) -> Self {
        Self { values, pool, seen: None, shared: None }
    }

    /// Rows of a sample.
    pub fn frames(&self) -> usize {
        match self.pool {
            Pool::None => 1,
            Pool::Mean { frames } | Pool::Token { frames } => frames,
        }
    }

    /// The mean of each channel over all positions and frames that count, `[B, width]`; of all tokens alike. Zeros
    /// where none counts.
    ///
    /// # Errors
    /// If the shape does not fit.
    pub fn squeezed(&self) -> Result<Tensor> {
        let x = match self.pool {
            Pool::Token { .. } => self.values.transpose(1, 2)?,
            _ if self.values.rank() > 2 => self.values.flatten_from(2)?,
            _ => self.values.unsqueeze(2)?,
        };
        let (rows, width, _) = x.dims3()?;
        let (frames, batch) = (self.frames(), rows / self.frames());
        let Some(seen) = &self.seen else { return Ok(x.mean(2)?.reshape((batch, frames, width))?.mean(1)?) };
        let seen = seen.to_dtype(x.dtype())?;
        let sum = x.broadcast_mul(&seen.unsqueeze(1)?)?.sum(2)?.reshape((batch, frames, width))?.sum(1)?;
        let count = seen.sum(1)?.reshape((batch, frames))?.sum_keepdim(1)?.maximum(1f32)?;
        Ok(sum.broadcast_div(&count)?)
    }

    /// Multiplies each channel by its gate, `[B, width]`, at every position and frame.
    ///
    /// # Errors
    /// If there is not one gate a channel.
    pub fn gate(&mut self, gates: &Tensor) -> Result<()> {
        let (batch, width) = gates.dims2()?;
        let frames = self.frames();
        let rows = gates.unsqueeze(1)?.broadcast_as((batch, frames, width))?.reshape((batch * frames, width))?;
        let shape = match self.pool {
            Pool::Token { .. } => vec![batch * frames, 1, width],
            _ => [&[batch * frames, width][..], &vec![1; self.values.rank() - 2]].concat(),
        };
        self.values = self.values.broadcast_mul(&rows.reshape(shape)?)?;
        Ok(())
    }
}

/// An encoder that runs one block at a time. Its [`forward`](Encoder::forward) is [`through`].
pub trait Staged: Encoder {
    /// What comes before the first block.
    ///
    /// # Errors
    /// If the input does not fit.
    fn begin(&self, x: &Input, pass: &mut Pass<'_>) -> Result<Flow>;
    /// Runs block `depth` and visits its [`Site::Stage`](crate::Site::Stage).
    ///
    /// # Errors
    /// If the map does not fit.
    fn block(&self, depth: usize, flow: Flow, pass: &mut Pass<'_>) -> Result<Flow>;
    /// The feature `[B, width]` of what is behind the last block.
    ///
    /// # Errors
    /// If the map does not fit.
    fn finish(&self, flow: Flow, pass: &mut Pass<'_>) -> Result<Tensor>;
    /// Width of the map behind block `depth`.
    fn channels(&self, depth: usize) -> usize;
}

/// The feature of an input through all blocks in turn.
///
/// # Errors
/// If the input does not fit.
pub fn through(encoder: &impl Staged, x: &Input, pass: &mut Pass<'_>) -> Result<Tensor> {
    let flow = encoder.begin(x, pass)?;
    let flow = (0..encoder.depth()).try_fold(flow, |flow, depth| encoder.block(depth, flow, pass))?;
    encoder.finish(flow, pass)
}

/// The part of a fusion that acts between the blocks of all encoders.
pub trait Inner {
    /// What happens where every encoder has run `done` blocks, 0 before the first one, or has ended with fewer, behind
    /// what passes do at the sites of blocks: it may change the maps. One is `None` where the modality does not take
    /// part, and 0 in `present` `[B, M]` says that a sample lacks it: neither may have an influence on the others.
    ///
    /// # Errors
    /// If the maps do not fit.
    fn meet(
        &self,
        done: usize,
        flows: &mut [Option<Flow>],
        present: Option<&Tensor>,
        pass: &mut Pass<'_>,
    ) -> Result<()>;
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn tensor(values: &[f32], shape: &[usize]) -> Tensor {
        Tensor::from_slice(values, shape, &Device::Cpu).unwrap()
    }

    fn squeezed(flow: &Flow) -> Vec<Vec<f32>> {
        flow.squeezed().unwrap().to_vec2().unwrap()
    }

    #[test]
    fn maps_of_every_kind_are_squeezed_by_hand() {
        let vector = Flow::new(tensor(&[1., 2., 3., 4.], &[2, 2]), Pool::None);
        assert_eq!(squeezed(&vector), [[1., 2.], [3., 4.]]);
        // One sample of two frames, two channels at two positions.
        let video = tensor(&[1., 3., 10., 30., 5., 7., 50., 70.], &[2, 2, 2, 1]);
        assert_eq!(squeezed(&Flow::new(video, Pool::Mean { frames: 2 })), [[4., 40.]]);
        let tokens = Flow::new(tensor(&[1., 10., 3., 30., 8., 80.], &[1, 3, 2]), Pool::Token { frames: 1 });
        assert_eq!(squeezed(&tokens), [[4., 40.]]);
        let padded = Flow { seen: Some(tensor(&[1., 1., 0.], &[1, 3])), ..tokens.clone() };
        assert_eq!(squeezed(&padded), [[2., 20.]]);
        let nothing = Flow { seen: Some(tensor(&[0.; 3], &[1, 3])), ..tokens };
        assert_eq!(squeezed(&nothing), [[0., 0.]]);
        // A sample of three frames side by side, of which two count.
        let frames = tensor(&[1., 2., 3., 4., 0., 0.], &[3, 2]);
        let seen = Some(tensor(&[1., 1., 0.], &[3, 1]));
        assert_eq!(squeezed(&Flow { seen, ..Flow::new(frames, Pool::Mean { frames: 3 }) }), [[2., 3.]]);
    }

    #[test]
    fn gates_reach_each_channel_wherever_it_is() {
        let gates = tensor(&[2., 0.5], &[1, 2]);
        let gated = |values: Tensor, pool| {
            let mut flow = Flow::new(values, pool);
            flow.gate(&gates).unwrap();
            flow.values.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        assert_eq!(gated(tensor(&[1., 2.], &[1, 2]), Pool::None), [2., 1.]);
        let map = tensor(&[1., 2., 3., 4.], &[1, 2, 1, 2]);
        assert_eq!(gated(map, Pool::Mean { frames: 1 }), [2., 4., 1.5, 2.]);
        assert_eq!(gated(tensor(&[1., 2., 3., 4.], &[1, 2, 2]), Pool::Token { frames: 1 }), [2., 1., 6., 2.]);
        assert_eq!(gated(tensor(&[1., 2., 3., 4.], &[2, 2]), Pool::Mean { frames: 2 }), [2., 1., 6., 2.]);
    }
}
