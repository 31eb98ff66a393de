//! Vision transformer (Dosovitskiy et al. 2021) with the names of Hugging Face's checkpoints. Its layers form blocks of
//! depth of equal size; the embeddings belong to the first block, the last norm to the last. A public model's table of
//! positions is taken to be that of a square picture.

use aim_config::{above, at_least, below, by_type, choice, settings, whole};
use aim_core::{
    Capabilities, Encoder, Error, Flow, Handle, Input, Kind, Part, Pass, Pool, Result, Role, Site, Staged, capability,
    through,
};
use candle_core::Tensor;

use crate::{
    Build, Conv, ConvSize, EncoderInfo, EncoderSettings, Freeze, LayerNorm, LowRank, Tensors, Weights,
    attention::{INIT, Layer, Shape, Style, dropout, layers},
    config::{check_frozen, check_low_rank, given, token_capabilities, with_lora, with_weights},
    frames::fold,
    names::{Layout, rename},
    positions::resized,
};

choice! {
    /// What of the last layer is a picture's feature.
    pub enum VitFeature {
        /// The class token.
        Class = "class",
        /// The mean of the patches.
        Mean = "mean",
    }
}

settings! {
    /// Settings of the encoder `vit`; the defaults are ViT-Tiny/16.
    pub struct VitConfig {
        /// Side of a patch.
        pub patch: usize = 16 => at_least(1), "paper";
        /// Width of a token.
        pub width: usize = 192 => at_least(1), "paper (Tiny)";
        /// Number of layers.
        pub layers: usize = 12 => whole(1, 1000), "paper (Tiny)";
        /// Attention heads of a layer.
        pub heads: usize = 3 => whole(1, 1000), "paper (Tiny)";
        /// Blocks of depth that the layers form.
        pub blocks: usize = 4 => whole(1, 1000), "ours";
        /// Probability that dropout zeroes a value, behind the embeddings, attention and the linear maps.
        pub dropout: f64 = 0. => below(0., 1.), "paper";
        /// Feature: the class token | the mean of the patches. What methods read between blocks is the class token.
        pub feature: VitFeature = VitFeature::Class => by_type(), "paper";
        /// Constant beside the variance in norms.
        pub eps: f64 = 1e-12 => above(0.), "released (Hugging Face)";
        /// Low-rank additions to its layers.
        pub lora: Option<LowRank> = None => by_type().shown("none"), "ours";
        /// Public weights that it starts from.
        pub weights: Option<Weights> = None => by_type().shown("none"), "ours";
        /// Blocks that are not trained.
        pub freeze: Option<Freeze> = None => by_type().shown("none"), "ours";
    }
}

static INFO: EncoderInfo = EncoderInfo {
    name: "vit",
    about: "vision transformer with Hugging Face's names; its layers form 4 blocks, the embeddings in the first",
    input: "[C, H, W] that patches fill, or video [C, T, H, W] averaged over frames",
};

impl EncoderSettings for VitConfig {
    fn info(&self) -> &'static EncoderInfo {
        &INFO
    }

    fn build(&self, build: &mut Build, name: &str, modality: usize, input: &[usize]) -> Result<Box<dyn Encoder>> {
        let prefix = format!("encoders.{name}");
        let made = build.with_additions(&prefix, |build| Vit::new(build, &prefix, modality, input, self))?;
        Ok(Box::new(made))
    }

    fn capabilities(&self) -> Capabilities {
        given(offers(), self.low_rank())
    }

    fn check(&self, place: &str) -> Result<()> {
        self.shape().check(place)?;
        check_frozen(self.freeze.as_ref(), self.blocks, place)?;
        check_low_rank(self.lora.as_ref(), self.blocks, true, place)
    }

    fn translate(&self, tensors: Tensors, input: &[usize]) -> Result<Tensors> {
        let mut own = Tensors::new();
        for (name, tensor) in rename(tensors, &LAYOUTS) {
            match name.split_once(JOINED) {
                Some((layer, leaf)) if is_joined(leaf, tensor.dims()) => split(&mut own, (layer, leaf), &tensor)?,
                _ => drop(own.insert(name, tensor)),
            }
        }
        if let ([.., height, width], Some(table)) = (input, own.get(POSITIONS))
            && table.rank() == 3
            && let Some(table) = resized(table, [height / self.patch, width / self.patch])?
        {
            own.insert(POSITIONS.into(), table);
        }
        Ok(own)
    }

    fn first_conv(&self) -> Option<&'static str> {
        Some("embeddings.patch_embeddings.projection.weight")
    }

    fn feature_width(&self) -> Option<usize> {
        Some(self.width)
    }

    with_lora!(VitConfig);
    with_weights!();
}

/// The table of positions.
const POSITIONS: &str = "embeddings.position_embeddings";
/// Where a layer's query, key and value stand in one.
const JOINED: &str = ".attention.attention.qkv.";

/// Whether a tensor of this shape may hold a query, a key and a value of as many rows each.
fn is_joined(leaf: &str, shape: &[usize]) -> bool {
    matches!((leaf, shape), ("weight", [rows, _]) | ("bias", [rows]) if rows % 3 == 0)
}

/// Query, key and value that stand one below the other.
fn split(own: &mut Tensors, (layer, leaf): (&str, &str), joined: &Tensor) -> Result<()> {
    let rows = joined.dim(0)? / 3;
    for (i, part) in ["query", "key", "value"].into_iter().enumerate() {
        own.insert(format!("{layer}.attention.attention.{part}.{leaf}"), joined.narrow(0, i * rows, rows)?);
    }
    Ok(())
}

/// The layouts of timm, and of Hugging Face's transformers from version 5 on.
static LAYOUTS: [Layout; 2] = [
    Layout {
        layers: "blocks",
        inner: &[
            ("norm1", "layernorm_before"),
            ("attn.qkv", "attention.attention.qkv"),
            ("attn.proj", "attention.output.dense"),
            ("norm2", "layernorm_after"),
            ("mlp.fc1", "intermediate.dense"),
            ("mlp.fc2", "output.dense"),
        ],
        outer: &[
            ("cls_token", "embeddings.cls_token"),
            ("pos_embed", POSITIONS),
            ("patch_embed.proj", "embeddings.patch_embeddings.projection"),
            ("norm", "layernorm"),
        ],
    },
    Layout {
        layers: "layers",
        inner: &[
            ("layernorm_before", "layernorm_before"),
            ("attention.q_proj", "attention.attention.query"),
            ("attention.k_proj", "attention.attention.key"),
            ("attention.v_proj", "attention.attention.value"),
            ("attention.o_proj", "attention.output.dense"),
            ("layernorm_after", "layernorm_after"),
            ("mlp.fc1", "intermediate.dense"),
            ("mlp.fc2", "output.dense"),
        ],
        outer: &[],
    },
];

fn offers() -> Capabilities {
    token_capabilities().with(&[capability::UNPOOLED])
}

impl VitConfig {
    fn shape(&self) -> Shape {
        let Self { width, layers, heads, blocks, dropout, eps, .. } = *self;
        Shape { width, heads, layers, blocks, dropout, eps }
    }
}

/// The encoder: the feature is the class token behind the last norm, or the mean of the patches there. Video
/// `[B, C, T, H, W]` is folded into frames and averaged over time. Unpooled, the feature is the patches, of a video
/// those of all frames in turn.
pub struct Vit {
    modality: usize,
    /// Patches of a sample, all frames together.
    tokens: usize,
    unpooled: bool,
    class: Handle,
    position: Handle,
    patches: Conv,
    blocks: Vec<Vec<Layer>>,
    norm: LayerNorm,
    config: VitConfig,
}

impl Vit {
    /// `input` is `[C, H, W]` or `[C, T, H, W]`; height and width are cut into patches.
    ///
    /// # Errors
    /// If the input is neither image nor video, or patches do not fill it.
    pub fn new(build: &mut Build, prefix: &str, modality: usize, input: &[usize], config: &VitConfig) -> Result<Self> {
        let VitConfig { patch, width, blocks, .. } = *config;
        let (channels, tokens) = tokens(input, patch).ok_or_else(|| {
            Error::shape(prefix, input, format!("[C, H, W] or [C, T, H, W], H and W multiples of the patch {patch}"))
        })?;
        let part = |depth| Part::Encoder { modality, depth };
        let embeddings = format!("{prefix}.embeddings");
        let role = Role { part: part(0), kind: Kind::Embedding };
        let mut embed = |name, tokens| {
            build.param(&format!("{embeddings}.{name}"), role, &[1, tokens, width], INIT, (width, width))
        };
        let (class, position) = (embed("cls_token", 1)?, embed("position_embeddings", tokens + 1)?);
        let size = ConvSize { kernel: patch, stride: patch, padding: 0 };
        let projection = format!("{embeddings}.patch_embeddings.projection");
        let patches = build.conv2d_bias(&projection, part(0), (channels, width), size, INIT)?;
        let layers = config.shape().build(build, prefix, modality, Style::Vit)?;
        let norm =
            build.layer_norm(&format!("{prefix}.layernorm"), part(blocks.saturating_sub(1)), width)?.eps(config.eps);
        let frames = if let [_, frames, _, _] = input { *frames } else { 1 };
        let tokens = frames * tokens;
        let (config, unpooled) = (config.clone(), false);
        Ok(Self { modality, tokens, unpooled, class, position, patches, blocks: layers, norm, config })
    }

    /// Tokens of patches behind the class token, each with its position: `[B, 1 + patches, width]`.
    fn embed(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let patches = self.patches.forward(x, pass)?.flatten_from(2)?.transpose(1, 2)?;
        let (batch, _, width) = patches.dims3()?;
        let class = pass.weight(&self.class).broadcast_as((batch, 1, width))?;
        let tokens = Tensor::cat(&[class, patches], 1)?.broadcast_add(&pass.weight(&self.position))?;
        dropout(tokens, self.config.dropout, &format!("{}.dropout", self.position.name), pass)
    }
}

/// Channels of an input and patches of an image of it.
fn tokens(input: &[usize], patch: usize) -> Option<(usize, usize)> {
    let ([c, h, w] | [c, _, h, w]) = input else { return None };
    let whole = *h > 0 && *w > 0 && h % patch == 0 && w % patch == 0;
    whole.then(|| (*c, (h / patch) * (w / patch)))
}

impl Encoder for Vit {
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
        if self.unpooled { self.tokens * self.config.width } else { self.config.width }
    }
    fn unpool(&mut self) -> Option<usize> {
        self.unpooled = true;
        Some(self.tokens)
    }
}

impl Staged for Vit {
    fn begin(&self, x: &Input, pass: &mut Pass<'_>) -> Result<Flow> {
        let (x, frames) = fold(&x.values)?;
        Ok(Flow::new(self.embed(&x, pass)?, Pool::Token { frames }))
    }
    fn block(&self, depth: usize, flow: Flow, pass: &mut Pass<'_>) -> Result<Flow> {
        let mut flow = layers(&self.blocks[depth], flow, pass)?;
        if depth + 1 == self.blocks.len() {
            flow.values = self.norm.forward(&flow.values, pass)?;
        }
        flow.values = pass.visit(Site::Stage { modality: self.modality, depth }, flow.values, flow.pool)?;
        Ok(flow)
    }
    fn finish(&self, flow: Flow, _: &mut Pass<'_>) -> Result<Tensor> {
        let Flow { values: h, pool, .. } = &flow;
        let patches = || h.narrow(1, 1, h.dim(1)? - 1);
        if self.unpooled {
            return Ok(patches()?.contiguous()?.reshape(((), self.width()))?);
        }
        match self.config.feature {
            VitFeature::Class => pool.apply(h),
            VitFeature::Mean => Pool::Mean { frames: flow.frames() }.apply(&patches()?.transpose(1, 2)?),
        }
    }
    fn channels(&self, _: usize) -> usize {
        self.config.width
    }
}

#[cfg(test)]
mod tests;
