//! What the layers of transformers share.

use aim_core::{Error, Flow, Part, Pass, Result};
use candle_core::Tensor;

use crate::{Build, Init, LayerNorm, Linear};

/// The reference's initialisation: normal with standard deviation 0.02 (its cut at 2 is a hundred deviations away),
/// biases 0.
pub(crate) const INIT: Init = Init::Normal(0.02);
const ZERO: Init = Init::Constant(0.);

/// What layers are made with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Width of a token.
    pub(crate) width: usize,
    /// Attention heads of a layer.
    pub(crate) heads: usize,
    /// Number of layers.
    pub(crate) layers: usize,
    /// Blocks of depth that they form.
    pub(crate) blocks: usize,
    /// Probability that dropout zeroes a value.
    pub(crate) dropout: f64,
    /// Constant beside the variance in norms.
    pub(crate) eps: f64,
}

impl Shape {
    /// Checks values that depend on each other; `place` names the section in messages.
    ///
    /// # Errors
    /// If heads do not divide the width, or layers do not form blocks of equal size.
    pub(crate) fn check(&self, place: &str) -> Result<()> {
        let Self { width, heads, layers, blocks, .. } = *self;
        let wrong = |key: &str, problem: String, remedy| Err(Error::invalid(format!("{place}.{key}"), problem, remedy));
        if width % heads.max(1) != 0 {
            return wrong("heads", format!("{heads} do not divide the width {width}"), "change heads or width");
        }
        if layers % blocks.max(1) != 0 {
            let problem = format!("{layers} do not form {blocks} blocks of equal size");
            return wrong("layers", problem, "make layers a multiple of blocks");
        }
        Ok(())
    }

    /// The layers of each block: `<prefix>.encoder.layer.<i>`.
    pub(crate) fn build(
        self,
        build: &mut Build,
        prefix: &str,
        modality: usize,
        style: Style,
    ) -> Result<Vec<Vec<Layer>>> {
        let each = self.layers / self.blocks;
        let block = |depth: usize| {
            let part = Part::Encoder { modality, depth };
            let layer = |i| Layer::new(build, format!("{prefix}.encoder.layer.{i}"), part, self, style);
            (depth * each..(depth + 1) * each).map(layer).collect()
        };
        (0..self.blocks).map(block).collect()
    }
}

/// Which model's names layers carry, and where they normalise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// Before attention and before the linear maps.
    Vit,
    /// Behind each sum.
    Bert,
}

impl Style {
    /// Names of the part that holds query, key and value, of the first and of the second norm.
    fn names(self) -> [&'static str; 3] {
        match self {
            Self::Vit => ["attention", "layernorm_before", "layernorm_after"],
            Self::Bert => ["self", "attention.output.LayerNorm", "output.LayerNorm"],
        }
    }
}

/// A linear layer that starts as the reference's.
pub(crate) fn dense(build: &mut Build, name: &str, part: Part, io: (usize, usize)) -> Result<Linear> {
    build.linear_from(name, part, io, INIT, Some(ZERO))
}

/// Dropout of a pass, whose mask belongs to `name`.
pub(crate) fn dropout(x: Tensor, p: f64, name: &str, pass: &Pass<'_>) -> Result<Tensor> {
    if !pass.train || p == 0. {
        return Ok(x);
    }
    Ok(aim_ops::dropout(&x, p, pass.rng(name).below(usize::MAX) as u64)?)
}

/// Self-attention of several heads.
struct Attention {
    query: Linear,
    key: Linear,
    value: Linear,
    output: Linear,
    heads: usize,
}

impl Attention {
    fn new(build: &mut Build, prefix: &str, inner: &str, part: Part, shape: Shape) -> Result<Self> {
        let layer =
            |build: &mut Build, name: &str| dense(build, &format!("{prefix}.{name}"), part, (shape.width, shape.width));
        let project = |build: &mut Build, name| layer(build, &format!("{inner}.{name}"));
        Ok(Self {
            query: build.projection(|build| project(build, "query"))?,
            key: project(build, "key")?,
            value: build.projection(|build| project(build, "value"))?,
            output: layer(build, "output.dense")?,
            heads: shape.heads,
        })
    }

    /// `mask` is 0 for tokens that nobody may attend to.
    fn forward(&self, x: &Tensor, mask: Option<&Tensor>, pass: &Pass<'_>) -> Result<Tensor> {
        let (q, k, v) = (self.query.forward(x, pass)?, self.key.forward(x, pass)?, self.value.forward(x, pass)?);
        let scale = 1. / ((q.dim(2)? / self.heads) as f64).sqrt();
        self.output.forward(&aim_ops::multi_head_attention(&q, &k, &v, self.heads, mask, scale)?, pass)
    }
}

/// A layer: attention, then two linear maps that widen four times in between, each added to its input. Names are those
/// of Hugging Face's checkpoints.
pub(crate) struct Layer {
    prefix: String,
    style: Style,
    attention: Attention,
    first: LayerNorm,
    intermediate: Linear,
    output: Linear,
    second: LayerNorm,
    dropout: f64,
}

impl Layer {
    fn new(build: &mut Build, prefix: String, part: Part, shape: Shape, style: Style) -> Result<Self> {
        let (width, [inner, first, second]) = (shape.width, style.names());
        Ok(Self {
            attention: Attention::new(build, &format!("{prefix}.attention"), inner, part, shape)?,
            first: build.layer_norm(&format!("{prefix}.{first}"), part, width)?.eps(shape.eps),
            intermediate: dense(build, &format!("{prefix}.intermediate.dense"), part, (width, 4 * width))?,
            output: dense(build, &format!("{prefix}.output.dense"), part, (4 * width, width))?,
            second: build.layer_norm(&format!("{prefix}.{second}"), part, width)?.eps(shape.eps),
            dropout: shape.dropout,
            style,
            prefix,
        })
    }

    /// Applies the layer to `[B, tokens, width]`.
    pub(crate) fn forward(&self, x: &Tensor, mask: Option<&Tensor>, pass: &Pass<'_>) -> Result<Tensor> {
        let attend = |x: &Tensor| self.attention.forward(x, mask, pass);
        let x = self.residual(x, &self.first, "attention.output", attend, pass)?;
        let widen = |x: &Tensor| self.output.forward(&aim_ops::gelu(&self.intermediate.forward(x, pass)?)?, pass);
        self.residual(&x, &self.second, "output", widen, pass)
    }

    /// `x + f(norm(x))`, or `norm(x + f(x))`.
    fn residual(
        &self,
        x: &Tensor,
        norm: &LayerNorm,
        name: &str,
        f: impl Fn(&Tensor) -> Result<Tensor>,
        pass: &Pass<'_>,
    ) -> Result<Tensor> {
        let drop = |y| dropout(y, self.dropout, &format!("{}.{name}", self.prefix), pass);
        match self.style {
            Style::Vit => Ok(aim_ops::add(x, &drop(f(&norm.forward(x, pass)?)?)?)?),
            Style::Bert => norm.forward(&aim_ops::add(x, &drop(f(x)?)?)?, pass),
        }
    }
}

/// Runs layers one behind the other over an encoder's own tokens, and beside them those that it shares with others,
/// which nobody is kept from seeing.
pub(crate) fn layers(layers: &[Layer], mut flow: Flow, pass: &Pass<'_>) -> Result<Flow> {
    let own = flow.values.dim(1)?;
    let (mut h, mut seen) = (flow.values, flow.seen.clone());
    if let Some(shared) = &flow.shared {
        let (rows, count, _) = shared.dims3()?;
        let also = |seen: Tensor| Tensor::cat(&[&seen, &Tensor::ones((rows, count), seen.dtype(), seen.device())?], 1);
        (h, seen) = (Tensor::cat(&[&h, shared], 1)?, seen.map(also).transpose()?);
    }
    let count = h.dim(1)?;
    let mask = seen.map(|seen| seen.reshape(((), 1, 1, count))).transpose()?;
    for layer in layers {
        h = layer.forward(&h, mask.as_ref(), pass)?;
    }
    if flow.shared.is_some() {
        flow.shared = Some(h.narrow(1, own, count - own)?.contiguous()?);
        h = h.narrow(1, 0, own)?.contiguous()?;
    }
    Ok(Flow { values: h, ..flow })
}
