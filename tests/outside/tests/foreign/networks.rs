//! Three networks of other authors' layers, as anyone writes them for candle, and the encoders that they become.

use aim_backbones::{Build, LowRank};
use aim_core::{Input, Result, Rng};
use aim_functional::{Context, Functional, Roles};
use aim_fusion::Branch;
use aim_ops::Pool2d;
use candle_core::{DType, Device, IndexOp, Tensor};
use candle_nn::{
    BatchNorm, Conv2d, Conv2dConfig, Linear, Module, ModuleT, VarBuilder, batch_norm, conv2d_no_bias, linear,
};
use candle_transformers::models::bert::{BertModel, Config};

type Loaded<T> = candle_core::Result<T>;

/// Number of tokens that there are: 0 is padding, 1 begins a text, 2 to 4 tell its class.
const WORDS: usize = 24;
/// Number of tokens of the longest text.
const LENGTH: usize = 6;

/// A modality and the network that reads it.
pub struct Modality {
    pub name: &'static str,
    /// Samples of these labels; the classes differ.
    pub samples: fn(&[u32], Rng) -> Result<Input>,
    /// Runs the network's constructor alone, without the encoder around it.
    pub declare: fn(VarBuilder<'static>) -> Loaded<()>,
    pub encoder: fn(Place<'_>) -> Result<Branch>,
}

/// Where an encoder is built.
pub struct Place<'a> {
    pub build: &'a mut Build,
    pub modality: usize,
    pub name: &'a str,
    pub low_rank: Option<LowRank>,
}

impl Place<'_> {
    fn put<M: 'static>(
        self,
        construct: fn(VarBuilder<'static>) -> Loaded<M>,
        forward: fn(&M, &Tensor, &mut Context<'_, '_>) -> Result<Tensor>,
        roles: Roles,
        input: &[usize],
    ) -> Result<Branch> {
        let builder = Functional::builder(construct, forward).roles(roles);
        let builder = match self.low_rank {
            Some(low_rank) => builder.low_rank(low_rank),
            None => builder,
        };
        Ok(Branch::new(self.name, input, builder.build(self.build, self.name, self.modality, input)?))
    }
}

pub const SOUND: Modality =
    Modality { name: "sound", samples: signals, declare: |vb| Mlp::new(vb).map(drop), encoder: Mlp::encoder };
pub const MOTION: Modality = Modality { name: "motion", ..SOUND };
pub const IMAGE: Modality =
    Modality { name: "image", samples: images, declare: |vb| Cnn::new(vb).map(drop), encoder: Cnn::encoder };
pub const TEXT: Modality =
    Modality { name: "text", samples: texts, declare: |vb| Text::new(vb).map(drop), encoder: Text::frozen };

/// An MLP.
struct Mlp {
    first: Linear,
    second: Linear,
}

impl Mlp {
    fn new(vb: VarBuilder<'_>) -> Loaded<Self> {
        Ok(Self { first: linear(6, 8, vb.pp("first"))?, second: linear(8, 5, vb.pp("second"))? })
    }

    fn forward(&self, x: &Tensor, ctx: &mut Context<'_, '_>) -> Result<Tensor> {
        let h = ctx.block(self.first.forward(x)?.relu()?)?;
        ctx.block(self.second.forward(&h)?.relu()?)
    }

    fn encoder(place: Place<'_>) -> Result<Branch> {
        let roles = Roles::new().block(0, "first.*").block(1, "second.*");
        place.put(|vb| Self::new(vb), Self::forward, roles, &[6])
    }
}

/// Two convolutions, each with batch norm and max-pooling.
struct Cnn {
    conv1: Conv2d,
    bn1: BatchNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
}

impl Cnn {
    fn new(vb: VarBuilder<'_>) -> Loaded<Self> {
        let config = Conv2dConfig { padding: 1, ..Default::default() };
        Ok(Self {
            conv1: conv2d_no_bias(1, 4, 3, config, vb.pp("conv1"))?,
            bn1: batch_norm(4, 1e-5, vb.pp("bn1"))?,
            conv2: conv2d_no_bias(4, 6, 3, config, vb.pp("conv2"))?,
            bn2: batch_norm(6, 1e-5, vb.pp("bn2"))?,
        })
    }

    fn forward(&self, x: &Tensor, ctx: &mut Context<'_, '_>) -> Result<Tensor> {
        let train = ctx.batch_statistics();
        let mut h = x.clone();
        for (conv, norm) in [(&self.conv1, &self.bn1), (&self.conv2, &self.bn2)] {
            h = norm.forward_t(&conv.forward(&h)?, train)?.relu()?;
            // candle's own max_pool2d divides gradients by the area of its window.
            h = ctx.block(aim_ops::max_pool2d(&h, Pool2d { kernel: 2, stride: 2, padding: 0 })?)?;
        }
        Ok(h.flatten_from(2)?.mean(2)?)
    }

    fn encoder(place: Place<'_>) -> Result<Branch> {
        place.put(|vb| Self::new(vb), Self::forward, Roles::new().block(0, "*1.*").block(1, "*2.*"), &[1, 8, 8])
    }
}

/// A small BERT of candle-transformers, and a linear layer over the first token that it gives.
pub struct Text {
    bert: BertModel,
    projection: Linear,
}

impl Text {
    fn new(vb: VarBuilder<'_>) -> Loaded<Self> {
        let config = Config {
            vocab_size: WORDS,
            hidden_size: 16,
            num_hidden_layers: 2,
            num_attention_heads: 2,
            intermediate_size: 32,
            max_position_embeddings: LENGTH,
            ..Config::default()
        };
        Ok(Self { bert: BertModel::load(vb.pp("bert"), &config)?, projection: linear(16, 5, vb.pp("projection"))? })
    }

    fn forward(&self, x: &Tensor, ctx: &mut Context<'_, '_>) -> Result<Tensor> {
        let tokens = x.to_dtype(DType::U32)?;
        let h = self.bert.forward(&tokens, &tokens.zeros_like()?, ctx.valid())?;
        ctx.block(self.projection.forward(&h.i((.., 0))?.contiguous()?)?.relu()?)
    }

    /// Every layer of BERT ends in `candle_nn::LayerNorm`, which has no backward pass in candle 0.11: nothing in BERT
    /// can learn. As buffers its weights are saved and loaded, and no method takes them for trainable.
    fn frozen(place: Place<'_>) -> Result<Branch> {
        let roles = Roles::new().buffer("bert.*").block(0, "projection.*");
        place.put(|vb| Self::new(vb), Self::forward, roles, &[LENGTH])
    }

    /// With the claim that BERT is trainable.
    pub fn trainable(place: Place<'_>) -> Result<Branch> {
        let roles = Roles::whole().embedding("bert.embeddings.*_embeddings.*");
        place.put(|vb| Self::new(vb), Self::forward, roles, &[LENGTH])
    }
}

/// Noise, with the label's number higher by 2.
fn signals(labels: &[u32], mut rng: Rng) -> Result<Input> {
    let noise = rng.normal_tensor(&[labels.len(), 6], 1., &Device::Cpu)?;
    let rows = labels.iter().flat_map(|label| (0..6).map(move |i| if i == *label { 2f32 } else { 0. }));
    Ok((noise + Tensor::from_iter(rows, &Device::Cpu)?.reshape((labels.len(), 6))?)?.into())
}

/// Noise, with two of the rows brighter by 2.
fn images(labels: &[u32], mut rng: Rng) -> Result<Input> {
    let noise = rng.normal_tensor(&[labels.len(), 1, 8, 8], 1., &Device::Cpu)?;
    let rows = labels.iter().flat_map(|label| (0..8).map(move |i| if i / 2 == *label { 2f32 } else { 0. }));
    let rows = Tensor::from_iter(rows, &Device::Cpu)?.reshape((labels.len(), 1, 8, 1))?;
    Ok(noise.broadcast_add(&rows)?.into())
}

/// Texts of 4 to 6 tokens, the second of which belongs to the label.
fn texts(labels: &[u32], mut rng: Rng) -> Result<Input> {
    let (mut tokens, mut valid) = (vec![], vec![]);
    for label in labels {
        let length = LENGTH - rng.below(3);
        tokens.extend([1., 2. + *label as f32]);
        tokens.extend((2..LENGTH).map(|i| if i < length { (5 + rng.below(WORDS - 5)) as f32 } else { 0. }));
        valid.extend((0..LENGTH).map(|i| if i < length { 1f32 } else { 0. }));
    }
    let matrix = |numbers| Tensor::from_vec(numbers, (labels.len(), LENGTH), &Device::Cpu);
    Input::padded(matrix(tokens)?, matrix(valid)?)
}
