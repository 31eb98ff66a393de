//! An encoder of plain candle layers: two convolutions with batch norm over a signal, then the mean over time.

use aim_backbones::{Build, EncoderInfo, EncoderSettings};
use aim_config::{at_least, settings};
use aim_core::{Encoder, Error, Result};
use aim_functional::{Functional, Roles};
use candle_nn::{BatchNorm, Conv1d, Conv1dConfig, Module, ModuleT, VarBuilder, batch_norm, conv1d};

static ABOUT: EncoderInfo = EncoderInfo {
    name: "plain-conv",
    about: "two convolutions of stride 2, each with batch norm and ReLU, then the mean over time; a block is one of them",
    input: "[channels, time]",
};

settings! {
    /// Settings of the encoder `plain-conv`.
    pub struct PlainConv {
        /// Channels of each convolution.
        pub width: usize = 8 => at_least(1), "ours";
    }
}

impl EncoderSettings for PlainConv {
    fn info(&self) -> &'static EncoderInfo {
        &ABOUT
    }
    fn build(&self, build: &mut Build, name: &str, modality: usize, input: &[usize]) -> Result<Box<dyn Encoder>> {
        let (width, &[channels, _]) = (self.width, input) else {
            return Err(Error::shape(name, input, ABOUT.input));
        };
        let builder = Functional::builder(
            move |vb| Ok([layer(channels, width, &vb.pp("first"))?, layer(width, width, &vb.pp("second"))?]),
            |blocks, x, ctx| {
                let mut h = x.clone();
                for (conv, norm) in blocks {
                    h = ctx.block(norm.forward_t(&conv.forward(&h)?, ctx.batch_statistics())?.relu()?)?;
                }
                Ok(h.mean(2)?)
            },
        );
        let roles = Roles::new().block(0, "first.*").block(1, "second.*");
        Ok(Box::new(builder.roles(roles).build(build, name, modality, input)?))
    }
}

/// A convolution and its norm, as candle makes them.
fn layer(input: usize, output: usize, vb: &VarBuilder<'_>) -> candle_core::Result<(Conv1d, BatchNorm)> {
    let config = Conv1dConfig { padding: 1, stride: 2, ..Conv1dConfig::default() };
    Ok((conv1d(input, output, 3, config, vb.pp("conv"))?, batch_norm(output, 1e-5, vb.pp("norm"))?))
}
