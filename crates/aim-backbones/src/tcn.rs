//! Temporal convolutional network (Bai et al. 2018): causal convolutions of growing reach over a sequence. A residual
//! block is a block of depth. Weight normalisation is left out.

use aim_config::{at_least, below, by_type, choice, settings, whole};
use aim_core::{
    Capabilities, Encoder, Error, Flow, Handle, Input, Part, Pass, Pool, Result, Site, Staged, capability, through,
};
use aim_ops::Conv1d as Windows;
use candle_core::Tensor;

use crate::{
    Build, Conv1d, ConvSize, EncoderInfo, EncoderSettings, Freeze, Layout, LowRank, Weights,
    attention::dropout,
    config::{check_frozen, check_low_rank, given, own_capabilities, with_lora, with_weights},
};

/// Most blocks: the reach of a convolution doubles with each.
const BLOCKS: usize = 24;

choice! {
    /// What of the last block is a sequence's feature.
    pub enum TcnFeature {
        /// The last position that is valid.
        Last = "last",
        /// The mean of the positions that are valid.
        Mean = "mean",
    }
}

settings! {
    /// Settings of the encoder `tcn`.
    pub struct TcnConfig {
        /// Channels of each block.
        pub widths: Vec<usize> = Vec::new() => at_least(1).required(), "ours";
        /// Positions that a convolution sees, `2^block` apart.
        pub kernel: usize = 3 => whole(2, 64), "paper";
        /// Probability that dropout zeroes a value behind each convolution.
        pub dropout: f64 = 0.2 => below(0., 1.), "released";
        /// How vectors lie in a sample.
        pub layout: Layout = Layout::ChannelsFirst => by_type(), "ours";
        /// Feature: the last position that is valid | the mean of those that are.
        pub feature: TcnFeature = TcnFeature::Last => by_type(), "paper";
        /// Low-rank additions to its layers.
        pub lora: Option<LowRank> = None => by_type().shown("none"), "ours";
        /// Public weights that it starts from.
        pub weights: Option<Weights> = None => by_type().shown("none"), "ours";
        /// Blocks that are not trained.
        pub freeze: Option<Freeze> = None => by_type().shown("none"), "ours";
    }
}

static INFO: EncoderInfo = EncoderInfo {
    name: "tcn",
    about: "temporal convolutional network: two causal convolutions a block, each block with twice the reach",
    input: "[C, T], or [T, C] by `layout`",
};

impl EncoderSettings for TcnConfig {
    fn info(&self) -> &'static EncoderInfo {
        &INFO
    }

    fn build(&self, build: &mut Build, name: &str, modality: usize, input: &[usize]) -> Result<Box<dyn Encoder>> {
        let prefix = format!("encoders.{name}");
        let made = build.with_additions(&prefix, |build| Tcn::new(build, &prefix, modality, input, self))?;
        Ok(Box::new(made))
    }

    fn capabilities(&self) -> Capabilities {
        given(offers(), self.low_rank())
    }

    fn check(&self, place: &str) -> Result<()> {
        if self.widths.len() > BLOCKS {
            let problem = format!("has {} blocks", self.widths.len());
            return Err(Error::invalid(format!("{place}.widths"), problem, format!("use at most {BLOCKS}")));
        }
        check_frozen(self.freeze.as_ref(), self.widths.len(), place)?;
        check_low_rank(self.lora.as_ref(), self.widths.len(), false, place)
    }

    fn feature_width(&self) -> Option<usize> {
        self.widths.last().copied()
    }

    with_lora!(TcnConfig);
    with_weights!();
}

fn offers() -> Capabilities {
    own_capabilities().with(&[capability::UNPOOLED])
}

/// A convolution whose output at a position sees that one and those before.
struct Causal {
    conv: Conv1d,
    bias: Handle,
    dilation: usize,
}

impl Causal {
    fn new(build: &mut Build, name: &str, part: Part, io: (usize, usize), size: (usize, usize)) -> Result<Self> {
        let (kernel, dilation) = size;
        let conv = build.conv1d(name, part, io, ConvSize { kernel, stride: 1, padding: (kernel - 1) * dilation })?;
        let bias = build.bias(name, part, (io.0 * kernel, io.1), crate::Init::Uniform)?;
        Ok(Self { conv, bias, dilation })
    }

    /// Applies it to `[B, C, T]`: as many positions come out.
    fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let windows = Windows { padding: self.conv.padding, dilation: self.dilation, ..Windows::default() };
        let (weight, bias) = (self.conv.weight(pass)?, pass.weight(&self.bias));
        let y = aim_ops::conv1d(x, &weight, Some(&bias), windows)?;
        Ok(if self.conv.padding == 0 { y } else { y.narrow(2, 0, x.dim(2)?)?.contiguous()? })
    }
}

/// Two convolutions beside a shortcut.
struct Block {
    name: String,
    convs: [Causal; 2],
    downsample: Option<Causal>,
}

impl Block {
    fn forward(&self, x: &Tensor, p: f64, pass: &Pass<'_>) -> Result<Tensor> {
        let mut h = x.clone();
        for (i, conv) in self.convs.iter().enumerate() {
            h = dropout(aim_ops::relu(&conv.forward(&h, pass)?)?, p, &format!("{}.dropout{}", self.name, i + 1), pass)?;
        }
        let shortcut = self.downsample.as_ref().map_or_else(|| Ok(x.clone()), |conv| conv.forward(x, pass))?;
        Ok(aim_ops::relu(&aim_ops::add(&h, &shortcut)?)?)
    }
}

/// The encoder. Positions that are not valid are zeros before and behind every block. Unpooled, the feature is every
/// position behind the last block. Parameters: `<prefix>.network.<d>.conv1`, `.conv2` and, where channels change,
/// `.downsample`, each with `.weight` and `.bias`.
pub struct Tcn {
    modality: usize,
    length: usize,
    width: usize,
    unpooled: bool,
    blocks: Vec<Block>,
    config: TcnConfig,
}

impl Tcn {
    /// Blocks of the configured widths over `[C, T]` or `[T, C]`.
    ///
    /// # Errors
    /// If the input is no sequence.
    pub fn new(build: &mut Build, prefix: &str, modality: usize, input: &[usize], config: &TcnConfig) -> Result<Self> {
        let (mut channels, length) = match (input, config.layout) {
            ([channels, length], Layout::ChannelsFirst) | ([length, channels], Layout::TimeFirst) => {
                (*channels, *length)
            }
            _ => return Err(Error::shape(prefix, input, "[C, T], or [T, C] with `layout: time-first`")),
        };
        let mut blocks = Vec::with_capacity(config.widths.len());
        for (depth, width) in config.widths.iter().enumerate() {
            let (name, part, size) =
                (format!("{prefix}.network.{depth}"), Part::Encoder { modality, depth }, (config.kernel, 1 << depth));
            let convs = [
                Causal::new(build, &format!("{name}.conv1"), part, (channels, *width), size)?,
                Causal::new(build, &format!("{name}.conv2"), part, (*width, *width), size)?,
            ];
            let mut shortcut = || Causal::new(build, &format!("{name}.downsample"), part, (channels, *width), (1, 1));
            let downsample = (channels != *width).then(&mut shortcut).transpose()?;
            blocks.push(Block { name, convs, downsample });
            channels = *width;
        }
        Ok(Self { modality, length, width: channels, unpooled: false, blocks, config: config.clone() })
    }

    /// What each position counts for in the feature, `[B, T]` where masks are told.
    fn shares(&self, valid: &Tensor) -> Result<Tensor> {
        let (_, length) = valid.dims2()?;
        match self.config.feature {
            TcnFeature::Mean => Ok(valid.broadcast_div(&valid.sum_keepdim(1)?.maximum(1f32)?)?),
            TcnFeature::Last => {
                let places = Tensor::arange(1f32, length as f32 + 1., valid.device())?;
                let places = valid.broadcast_mul(&places)?;
                Ok((places.broadcast_eq(&places.max_keepdim(1)?)?.to_dtype(valid.dtype())? * valid)?)
            }
        }
    }
}

/// Zeros at the positions that are not valid.
fn masked(h: Tensor, valid: Option<&Tensor>) -> Result<Tensor> {
    valid.map_or(Ok(h.clone()), |valid| Ok(h.broadcast_mul(&valid.unsqueeze(1)?)?))
}

impl Encoder for Tcn {
    fn capabilities(&self) -> Capabilities {
        offers()
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
        if self.unpooled { self.length * self.width } else { self.width }
    }
    fn unpool(&mut self) -> Option<usize> {
        self.unpooled = true;
        Some(self.length)
    }
}

impl Staged for Tcn {
    fn begin(&self, x: &Input, _: &mut Pass<'_>) -> Result<Flow> {
        let h = match self.config.layout {
            Layout::ChannelsFirst => x.values.clone(),
            Layout::TimeFirst => x.values.transpose(1, 2)?.contiguous()?,
        };
        let seen = x.valid_of(h.dim(2)?)?;
        let values = masked(h, seen.as_ref())?;
        Ok(Flow { seen, ..Flow::new(values, Pool::Mean { frames: 1 }) })
    }
    fn block(&self, depth: usize, mut flow: Flow, pass: &mut Pass<'_>) -> Result<Flow> {
        let h = self.blocks[depth].forward(&flow.values, self.config.dropout, pass)?;
        let h = masked(h, flow.seen.as_ref())?;
        flow.values = pass.visit(Site::Stage { modality: self.modality, depth }, h, flow.pool)?;
        Ok(flow)
    }
    fn finish(&self, flow: Flow, _: &mut Pass<'_>) -> Result<Tensor> {
        let h = flow.values;
        if self.unpooled {
            // Blocks leave zeros where positions are not valid.
            return Ok(h.transpose(1, 2)?.contiguous()?.reshape(((), self.width()))?);
        }
        match (&flow.seen, self.config.feature) {
            (Some(seen), _) => Ok(h.broadcast_mul(&self.shares(seen)?.unsqueeze(1)?)?.sum(2)?),
            (None, TcnFeature::Mean) => Ok(h.mean(2)?),
            (None, TcnFeature::Last) => Ok(h.narrow(2, h.dim(2)? - 1, 1)?.squeeze(2)?),
        }
    }
    fn channels(&self, depth: usize) -> usize {
        self.config.widths[depth]
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::reference::{random, values};

    fn encoder(feature: TcnFeature, layout: Layout) -> Tcn {
        let config = TcnConfig { widths: vec![3, 4], feature, layout, ..TcnConfig::default() };
        let input = if layout == Layout::TimeFirst { [6, 2] } else { [2, 6] };
        Tcn::new(&mut Build::new(0, &Device::Cpu), "encoders.m", 0, &input, &config).unwrap()
    }

    fn feature(tcn: &Tcn, input: Input) -> Vec<f64> {
        values(&tcn.forward(&input, &mut Pass::eval()).unwrap())
    }

    #[test]
    fn padding_changes_nothing_whatever_stands_there() {
        let x = random(&[1, 2, 6], "batch");
        let short = x.narrow(2, 0, 4).unwrap().contiguous().unwrap();
        let wild = (x.narrow(2, 4, 2).unwrap() * 100.).unwrap();
        let padded = Tensor::cat(&[short.clone(), wild], 2).unwrap();
        let valid = Tensor::new(&[[1f32, 1., 1., 1., 0., 0.]], &Device::Cpu).unwrap();
        for kind in [TcnFeature::Last, TcnFeature::Mean] {
            let tcn = encoder(kind, Layout::ChannelsFirst);
            let want = feature(&tcn, short.clone().into());
            let got = feature(&tcn, Input::padded(padded.clone(), valid.clone()).unwrap());
            assert!(want.iter().zip(&got).all(|(a, b)| (a - b).abs() < 1e-6), "{want:?} {got:?}");
            assert_ne!(want, feature(&tcn, padded.clone().into()));
        }
        let nothing = Tensor::zeros((1, 6), candle_core::DType::F32, &Device::Cpu).unwrap();
        let tcn = encoder(TcnFeature::Mean, Layout::ChannelsFirst);
        assert!(feature(&tcn, Input::padded(padded, nothing).unwrap()).iter().all(|x| *x == 0.));
    }

    #[test]
    fn time_first_is_the_same_sequence_turned() {
        let x = random(&[3, 2, 6], "batch");
        let turned = x.transpose(1, 2).unwrap().contiguous().unwrap();
        let [first, turned] = [(Layout::ChannelsFirst, x), (Layout::TimeFirst, turned)]
            .map(|(layout, x)| feature(&encoder(TcnFeature::Last, layout), x.into()));
        assert_eq!(first, turned);
    }
}
