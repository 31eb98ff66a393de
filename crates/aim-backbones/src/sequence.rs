//! An encoder that keeps the time axis: the same linear layers on each frame of a sequence, each followed by ReLU; a block is
//! one layer.

use aim_core::{Encoder, Error, Part, Pass, Pool, Result, Site};
use candle_core::Tensor;

use crate::{Build, Linear};

/// Frames of a sequence `[C, L]`, each through an MLP of its own. The feature holds them side by side, `[B, L * width]`: a
/// vector to whatever reads vectors, and a sequence to a fusion that knows the number of frames. Parameters:
/// `<prefix>.blocks.<d>.weight` and `.bias`.
pub struct Sequence {
    modality: usize,
    frames: usize,
    width: usize,
    blocks: Vec<Linear>,
}

impl Sequence {
    /// Blocks of the given widths.
    ///
    /// # Errors
    /// If the input is no sequence.
    pub fn new(build: &mut Build, prefix: &str, modality: usize, input: &[usize], widths: &[usize]) -> Result<Self> {
        let [channels, frames] = *input else { return Err(Error::shape(prefix, input, "[C, L]")) };
        let inputs = std::iter::once(&channels).chain(widths);
        let block = |(depth, (i, o)): (usize, (&usize, &usize))| {
            build.linear(&format!("{prefix}.blocks.{depth}"), Part::Encoder { modality, depth }, *i, *o, true)
        };
        let blocks = inputs.zip(widths).enumerate().map(block).collect::<Result<_>>()?;
        Ok(Self { modality, frames, width: widths.last().copied().unwrap_or(channels), blocks })
    }
}

impl Encoder for Sequence {
    fn forward(&self, x: &Tensor, pass: &mut Pass<'_>) -> Result<Tensor> {
        let (batch, channels, frames) = x.dims3()?;
        let mut h = x.transpose(1, 2)?.contiguous()?.reshape((batch * frames, channels))?;
        for (depth, block) in self.blocks.iter().enumerate() {
            h = aim_ops::relu(&block.forward(&h, pass)?)?;
            h = pass.visit(Site::Stage { modality: self.modality, depth }, h, Pool::Mean { frames })?;
        }
        Ok(h.reshape((batch, self.width()))?)
    }
    fn depth(&self) -> usize {
        self.blocks.len()
    }
    fn width(&self) -> usize {
        self.frames * self.width
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn each_frame_is_encoded_as_if_it_were_alone() {
        let (mut long, mut short) = (Build::new(0, &Device::Cpu), Build::new(0, &Device::Cpu));
        let whole = Sequence::new(&mut long, "e", 0, &[2, 3], &[5, 4]).unwrap();
        let one = Sequence::new(&mut short, "e", 0, &[2, 1], &[5, 4]).unwrap();
        let x = Tensor::new(&[[[1f32, 2., 3.], [-1., 0., 4.]], [[0., 7., 1.], [2., 2., -3.]]], &Device::Cpu).unwrap();
        let mut pass = Pass::eval().keep();
        let feature = whole.forward(&x, &mut pass).unwrap();
        assert_eq!((feature.dims(), whole.width(), whole.depth()), (&[2, 12][..], 12, 2));
        let frames = feature.reshape((2, 3, 4)).unwrap();
        for t in 0..3 {
            let alone = one.forward(&x.narrow(2, t, 1).unwrap(), &mut Pass::eval()).unwrap();
            let found = frames.narrow(1, t, 1).unwrap().squeeze(1).unwrap();
            assert_eq!(found.to_vec2::<f32>().unwrap(), alone.to_vec2::<f32>().unwrap());
        }
        let pooled = pass.into_kept().pooled(Site::Stage { modality: 0, depth: 1 }).unwrap();
        assert_eq!(pooled.to_vec2::<f32>().unwrap(), frames.mean(1).unwrap().to_vec2::<f32>().unwrap());
    }
}
