//! An encoder that keeps the time axis: the same linear layers on each frame of a sequence, each followed by ReLU; a
//! block is one layer.

use aim_config::{at_least, by_type, settings};
use aim_core::{
    Capabilities, Encoder, Error, Flow, Input, Part, Pass, Pool, Result, Site, Staged, capability, through,
};
use candle_core::Tensor;

use crate::{
    Build, EncoderInfo, EncoderSettings, Freeze, Linear, LowRank,
    config::{check_frozen, check_low_rank, given, own_capabilities, with_freeze, with_lora},
};

settings! {
    /// Settings of the encoder `sequence`.
    pub struct SequenceConfig {
        /// Width of each block.
        pub widths: Vec<usize> = Vec::new() => at_least(1).required(), "ours";
        /// Low-rank additions to its layers.
        pub lora: Option<LowRank> = None => by_type().shown("none"), "ours";
        /// Blocks that are not trained.
        pub freeze: Option<Freeze> = None => by_type().shown("none"), "ours";
    }
}

static INFO: EncoderInfo = EncoderInfo {
    name: "sequence",
    about: "linear layers on each frame of a sequence, each with ReLU; keeps the time axis: frames side by side",
    input: "[C, L]",
};

impl EncoderSettings for SequenceConfig {
    fn info(&self) -> &'static EncoderInfo {
        &INFO
    }

    fn build(&self, build: &mut Build, name: &str, modality: usize, input: &[usize]) -> Result<Box<dyn Encoder>> {
        let prefix = format!("encoders.{name}");
        let made =
            build.with_additions(&prefix, |build| Sequence::new(build, &prefix, modality, input, &self.widths))?;
        Ok(Box::new(made))
    }

    fn capabilities(&self) -> Capabilities {
        given(offers(), self.low_rank())
    }

    fn check(&self, place: &str) -> Result<()> {
        check_frozen(self.freeze.as_ref(), self.widths.len(), place)?;
        check_low_rank(self.lora.as_ref(), self.widths.len(), false, place)
    }

    fn keeps_time(&self) -> bool {
        true
    }

    fn frames(&self, input: &[usize]) -> usize {
        match input {
            [_, length] => *length,
            _ => 1,
        }
    }

    with_lora!(SequenceConfig);
    with_freeze!();
}

fn offers() -> Capabilities {
    own_capabilities().with(&[capability::UNPOOLED])
}

/// Frames of a sequence `[C, L]`, each through an MLP of its own. The feature holds them side by side,
/// `[B, L * width]`: a vector to whatever reads vectors, and a sequence to a fusion that knows the number of frames.
/// Frames that are not valid are zeros behind every block. Parameters:
/// `<prefix>.blocks.<d>.weight` and `.bias`.
pub struct Sequence {
    modality: usize,
    frames: usize,
    widths: Vec<usize>,
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
        let width = widths.last().copied().unwrap_or(channels);
        Ok(Self { modality, frames, widths: widths.to_vec(), width, blocks })
    }
}

impl Encoder for Sequence {
    fn capabilities(&self) -> Capabilities {
        offers()
    }
    fn unpool(&mut self) -> Option<usize> {
        Some(self.frames)
    }
    fn forward(&self, x: &Input, pass: &mut Pass<'_>) -> Result<Tensor> {
        through(self, x, pass)
    }
    fn staged(&self) -> Option<&dyn Staged> {
        Some(self)
    }
    fn depth(&self) -> usize {
        self.blocks.len()
    }
    fn width(&self) -> usize {
        self.frames * self.width
    }
}

impl Staged for Sequence {
    fn begin(&self, x: &Input, _: &mut Pass<'_>) -> Result<Flow> {
        let (batch, channels, frames) = x.values.dims3()?;
        let seen = x.valid_of(frames)?.map(|v| v.reshape((batch * frames, 1))).transpose()?;
        let h = x.values.transpose(1, 2)?.contiguous()?.reshape((batch * frames, channels))?;
        Ok(Flow { seen, ..Flow::new(h, Pool::Mean { frames }) })
    }
    fn block(&self, depth: usize, mut flow: Flow, pass: &mut Pass<'_>) -> Result<Flow> {
        let mut h = aim_ops::relu(&self.blocks[depth].forward(&flow.values, pass)?)?;
        if let Some(seen) = &flow.seen {
            h = h.broadcast_mul(seen)?;
        }
        flow.values = pass.visit(Site::Stage { modality: self.modality, depth }, h, flow.pool)?;
        Ok(flow)
    }
    fn finish(&self, flow: Flow, _: &mut Pass<'_>) -> Result<Tensor> {
        Ok(flow.values.reshape(((), self.width()))?)
    }
    fn channels(&self, depth: usize) -> usize {
        self.widths[depth]
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
        let feature = whole.forward(&x.clone().into(), &mut pass).unwrap();
        assert_eq!((feature.dims(), whole.width(), whole.depth()), (&[2, 12][..], 12, 2));
        let frames = feature.reshape((2, 3, 4)).unwrap();
        for t in 0..3 {
            let alone = one.forward(&x.narrow(2, t, 1).unwrap().into(), &mut Pass::eval()).unwrap();
            let found = frames.narrow(1, t, 1).unwrap().squeeze(1).unwrap();
            assert_eq!(found.to_vec2::<f32>().unwrap(), alone.to_vec2::<f32>().unwrap());
        }
        let pooled = pass.into_kept().pooled(Site::Stage { modality: 0, depth: 1 }).unwrap();
        assert_eq!(pooled.to_vec2::<f32>().unwrap(), frames.mean(1).unwrap().to_vec2::<f32>().unwrap());
    }

    #[test]
    fn frames_that_are_not_valid_are_zeros_and_the_others_those_of_the_shorter_sequence() {
        let (mut long, mut short) = (Build::new(0, &Device::Cpu), Build::new(0, &Device::Cpu));
        let whole = Sequence::new(&mut long, "e", 0, &[2, 3], &[5, 4]).unwrap();
        let two = Sequence::new(&mut short, "e", 0, &[2, 2], &[5, 4]).unwrap();
        let x = Tensor::new(&[[[1f32, 2., 9.], [-1., 0., 9.]]], &Device::Cpu).unwrap();
        let valid = Tensor::new(&[[1u8, 1, 0]], &Device::Cpu).unwrap();
        let padded = Input::padded(x.clone(), valid).unwrap();
        let (mut pass, mut alone) = (Pass::eval().keep(), Pass::eval().keep());
        let feature = whole.forward(&padded, &mut pass).unwrap().to_vec2::<f32>().unwrap().remove(0);
        let want =
            two.forward(&x.narrow(2, 0, 2).unwrap().into(), &mut alone).unwrap().to_vec2::<f32>().unwrap().remove(0);
        assert_eq!((&feature[..8], &feature[8..]), (&want[..], &[0.; 4][..]));
        let unmasked = whole.forward(&x.into(), &mut Pass::eval()).unwrap().to_vec2::<f32>().unwrap().remove(0);
        assert!(unmasked[..8] == want && unmasked[8..] != [0.; 4]);
        // Behind the first block, too: the mean over three frames is two thirds of that over two.
        let site = Site::Stage { modality: 0, depth: 0 };
        let mean = |kept: aim_core::Kept| kept.pooled(site).unwrap().to_vec2::<f32>().unwrap().remove(0);
        for (of_three, of_two) in mean(pass.into_kept()).iter().zip(mean(alone.into_kept())) {
            assert!((of_three * 1.5 - of_two).abs() < 1e-6, "{of_three} and {of_two}");
        }
        let of_another_length = Input { valid: Some(Tensor::new(&[[1u8, 1]], &Device::Cpu).unwrap()), ..padded };
        assert!(whole.forward(&of_another_length, &mut Pass::eval()).is_err());
    }
}
