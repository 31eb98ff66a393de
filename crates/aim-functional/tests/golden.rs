//! Golden steps over plain candle layers: networks of [`Functional`] encoders agree with them as our own do.
//!
//! Those of the clone, and of the folder that `AIM_GOLDEN` names.
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::{Path, PathBuf};

use aim_backbones::{Build, EncoderInfo, EncoderSettings, Encoders, LowRank, card};
use aim_config::{at_least, by_type, settings};
use aim_core::{Encoder, Pool, Result, capability};
use aim_functional::{Functional, FunctionalBuilder, Roles};
use aim_ops::Pool2d;
use candle_core::{Device, Tensor};
use candle_nn::{BatchNorm, Conv2d, Conv2dConfig, Linear, Module, ModuleT, VarBuilder};

/// The encoder of the case of a builder's.
fn made<M: 'static>(
    builder: FunctionalBuilder<M>,
    low_rank: Option<&LowRank>,
    (build, name, modality, input): (&mut Build, &str, usize, &[usize]),
) -> Result<Box<dyn Encoder>> {
    let builder = match low_rank {
        Some(low_rank) => builder.low_rank(low_rank.clone()),
        None => builder,
    };
    Ok(Box::new(builder.build(build, name, modality, input)?))
}

settings! {
    /// Settings of an MLP of `candle_nn::Linear`.
    struct PlainMlp {
        /// Width of each block.
        widths: Vec<usize> = Vec::new() => at_least(1).required(), "test";
        /// Low-rank additions to its layers.
        lora: Option<LowRank> = None => by_type().shown("none"), "test";
    }
}

impl EncoderSettings for PlainMlp {
    fn info(&self) -> &'static EncoderInfo {
        &EncoderInfo { name: "mlp", about: "linear layers of candle's", input: "a vector" }
    }
    fn build(&self, build: &mut Build, name: &str, modality: usize, input: &[usize]) -> Result<Box<dyn Encoder>> {
        made(mlp(input[0], &self.widths), self.low_rank(), (build, name, modality, input))
    }
    fn low_rank(&self) -> Option<&LowRank> {
        self.lora.as_ref()
    }
}

fn mlp(input: usize, widths: &[usize]) -> FunctionalBuilder<Vec<Linear>> {
    let widths: Vec<usize> = std::iter::once(input).chain(widths.iter().copied()).collect();
    let block = |roles: Roles, depth| roles.block(depth, &format!("blocks.{depth}.*"));
    let roles = (1..widths.len()).map(|block| block - 1).fold(Roles::new(), block);
    Functional::builder(
        move |vb| {
            let layer = |(d, io): (usize, &[usize])| candle_nn::linear(io[0], io[1], vb.pp(format!("blocks.{d}")));
            widths.windows(2).enumerate().map(layer).collect()
        },
        |layers: &Vec<Linear>, x, ctx| {
            layers.iter().try_fold(x.clone(), |h, layer| ctx.block(layer.forward(&h)?.relu()?))
        },
    )
    .roles(roles)
}

settings! {
    /// Settings of a ResNet-18 of `candle_nn`'s convolutions and batch norms.
    struct PlainResNet {
        /// Channels of the first stage.
        base_width: usize = 64 => at_least(1), "test";
    }
}

impl EncoderSettings for PlainResNet {
    fn info(&self) -> &'static EncoderInfo {
        &EncoderInfo { name: "resnet18", about: "ResNet-18 of candle's layers", input: "an image or a video" }
    }
    fn build(&self, build: &mut Build, name: &str, modality: usize, input: &[usize]) -> Result<Box<dyn Encoder>> {
        made(resnet(input[0], self.base_width), None, (build, name, modality, input))
    }
}

/// A convolution with its norm.
struct ConvNorm(Conv2d, BatchNorm);

impl ConvNorm {
    fn new(vb: &VarBuilder<'_>, names: [&str; 2], io: (usize, usize), side: usize, stride: usize) -> Loaded<Self> {
        let config = Conv2dConfig { stride, padding: side / 2, ..Default::default() };
        let conv = candle_nn::conv2d_no_bias(io.0, io.1, side, config, vb.pp(names[0]))?;
        Ok(Self(conv, candle_nn::batch_norm(io.1, 1e-5, vb.pp(names[1]))?))
    }
    fn forward(&self, x: &Tensor, train: bool) -> Loaded<Tensor> {
        self.1.forward_t(&self.0.forward(x)?, train)
    }
}

type Loaded<T> = candle_core::Result<T>;

struct Basic {
    first: ConvNorm,
    second: ConvNorm,
    shortcut: Option<ConvNorm>,
}

impl Basic {
    fn new(vb: &VarBuilder<'_>, (input, output): (usize, usize), stride: usize) -> Loaded<Self> {
        let io = (input, output);
        let shortcut = (stride != 1 || input != output)
            .then(|| ConvNorm::new(vb, ["downsample.0", "downsample.1"], io, 1, stride))
            .transpose()?;
        Ok(Self {
            first: ConvNorm::new(vb, ["conv1", "bn1"], io, 3, stride)?,
            second: ConvNorm::new(vb, ["conv2", "bn2"], (output, output), 3, 1)?,
            shortcut,
        })
    }
    fn forward(&self, x: &Tensor, train: bool) -> Loaded<Tensor> {
        let h = self.second.forward(&self.first.forward(x, train)?.relu()?, train)?;
        let x = self.shortcut.as_ref().map_or(Ok(x.clone()), |shortcut| shortcut.forward(x, train))?;
        (h + x)?.relu()
    }
}

struct ResNet {
    stem: ConvNorm,
    stages: Vec<[Basic; 2]>,
}

impl ResNet {
    fn new(vb: &VarBuilder<'_>, channels: usize, base: usize) -> Loaded<Self> {
        let stage = |depth: usize| {
            let (vb, width) = (vb.pp(format!("layer{}", depth + 1)), base << depth);
            let (input, stride) = if depth == 0 { (base, 1) } else { (width / 2, 2) };
            Ok([Basic::new(&vb.pp("0"), (input, width), stride)?, Basic::new(&vb.pp("1"), (width, width), 1)?])
        };
        let stem = ConvNorm::new(vb, ["conv1", "bn1"], (channels, base), 7, 2)?;
        Ok(Self { stem, stages: (0..4).map(stage).collect::<Loaded<_>>()? })
    }
}

fn resnet(channels: usize, base: usize) -> FunctionalBuilder<ResNet> {
    let roles = Roles::new().block(0, "conv1.*").block(0, "bn1.*");
    let roles = (0..4).fold(roles, |roles, depth| roles.block(depth, &format!("layer{}.*", depth + 1)));
    Functional::builder(
        move |vb| ResNet::new(&vb, channels, base),
        |net: &ResNet, x, ctx| {
            // The frames of a video are images of the batch.
            let (x, frames) = match *x.dims() {
                [b, c, t, h, w] => (x.transpose(1, 2)?.reshape((b * t, c, h, w))?, t),
                _ => (x.clone(), 1),
            };
            let train = ctx.batch_statistics();
            let h = net.stem.forward(&x, train)?.relu()?;
            // candle's own has no padding, and divides gradients by the area of its window.
            let mut h = aim_ops::max_pool2d(&h, Pool2d { kernel: 3, stride: 2, padding: 1 })?;
            for stage in &net.stages {
                h = stage.iter().try_fold(h, |h, block| block.forward(&h, train))?;
                h = ctx.block_pooled(h, Pool::Mean { frames })?;
            }
            Ok(h.flatten_from(2)?.mean(2)?.reshape(((), frames, h.dim(1)?))?.mean(1)?)
        },
    )
    .roles(roles)
}

/// The encoders of golden cases, of plain candle layers.
fn plain() -> Encoders {
    let mut encoders = Encoders::new("encoder", "test");
    encoders.add(card::<PlainMlp>()).unwrap();
    encoders.add(card::<PlainResNet>()).unwrap();
    encoders
}

/// Whether a folder holds a case with a network, for a method that is known here.
fn has_network(dir: &Path) -> bool {
    let Ok(text) = std::fs::read_to_string(dir.join("case.json")) else { return false };
    let training = serde_json::from_str::<serde_json::Value>(&text).unwrap()["kind"] == "training";
    training && aim_golden::check(dir, &Device::Cpu).is_ok()
}

#[test]
fn golden_steps_hold_over_plain_layers() {
    let clone = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden");
    let further = std::env::var_os("AIM_GOLDEN").map(PathBuf::from);
    let roots = [Some(&clone), further.as_ref()];
    let (encoders, mut failed, mut passed) = (plain(), Vec::new(), Vec::new());
    for case in roots.into_iter().flatten().flat_map(|root| std::fs::read_dir(root).unwrap()) {
        let dir = case.unwrap().path();
        let name = dir.file_name().unwrap().to_string_lossy().into_owned();
        match has_network(&dir).then(|| aim_golden::check_with(&dir, &Device::Cpu, &encoders)) {
            Some(Ok(verdict)) if verdict.passed() => passed.push(name),
            Some(Ok(verdict)) => failed.push(format!("{name}:\n{verdict}")),
            Some(Err(e)) => failed.push(format!("{name}: {e}")),
            None => {}
        }
    }
    assert!(failed.is_empty(), "{} passed\n{}", passed.len(), failed.join("\n"));
    // The cases of a ResNet are too large for the clone.
    let kinds = ["aim-mlp-", "lora-mlp-", "aim-resnet18-"];
    for kind in &kinds[..if further.is_some() { 3 } else { 2 }] {
        assert!(passed.iter().any(|name| name.starts_with(kind)), "no case `{kind}..` in {passed:?}");
    }
}

settings! {
    /// Settings of a layer whose block is not handed over.
    struct Blind {}
}

impl EncoderSettings for Blind {
    fn info(&self) -> &'static EncoderInfo {
        &EncoderInfo { name: "blind", about: "a layer without sites", input: "a vector" }
    }
    fn build(&self, build: &mut Build, name: &str, modality: usize, input: &[usize]) -> Result<Box<dyn Encoder>> {
        let width = input[0];
        let layer = move |vb: VarBuilder<'_>| candle_nn::linear(width, 4, vb.pp("layer"));
        let builder = Functional::builder(layer, |layer, x, _| layer.forward(x)?.relu().map_err(Into::into));
        Ok(Box::new(builder.roles(Roles::new().block(0, "layer.*")).build(build, name, modality, input)?))
    }
}

#[test]
fn an_entry_has_the_sites_of_its_encoder_as_built() {
    let encoders = ["a", "b"].map(|name| (name.to_owned(), aim_backbones::encoder(Blind {})));
    let model = aim_fusion::ModelConfig::new(encoders, aim_fusion::fusion(aim_fusion::ConcatConfig {}));
    let modalities = ["a", "b"].map(|name| (name.to_owned(), vec![3]));
    let net = aim_fusion::LateFusion::new(&model, &modalities, 2, 0, &Device::Cpu).unwrap();
    let capabilities = &aim_core::Net::spec(&net).capabilities;
    assert!(capabilities.has(capability::VIEWS) && !capabilities.has(capability::SITES));
}
