//! One layer: attention that reads a shared prefix and its own rows' positions, and a gated network.

use candle_core::{D, DType, Module, Tensor};
use candle_nn::{VarBuilder, ops, rotary_emb};
use candle_transformers::models::with_tracing::{Linear, RmsNorm, linear_b, linear_no_bias};

use super::{
    cache::Cache,
    config::{Config, Family},
    rope::Turns,
};
use crate::Result;

/// RMS norm by candle's fused operation, which has no gradient, or by one that has where a variable asks for it.
pub(super) fn norm(layer: &RmsNorm, x: &Tensor) -> candle_core::Result<Tensor> {
    if x.track_op() { layer.forward_diff(x) } else { layer.forward(x) }
}

/// Softmax over the last dimension in f32, fused likewise.
fn softmax(scores: &Tensor) -> candle_core::Result<Tensor> {
    let wide = scores.to_dtype(DType::F32)?;
    let shares = if wide.track_op() { ops::softmax(&wide, D::Minus1) } else { ops::softmax_last_dim(&wide) };
    shares?.to_dtype(scores.dtype())
}

/// Rotation of `[rows, heads, positions, width]`, fused likewise.
fn rotate(x: &Tensor, (cos, sin): &Turns) -> candle_core::Result<Tensor> {
    let x = x.contiguous()?;
    if x.track_op() { rotary_emb::rope_slow(&x, cos, sin) } else { rotary_emb::rope(&x, cos, sin) }
}

/// What all layers of a pass share.
pub(super) struct Pass<'a> {
    pub turns: Turns,
    /// Added to the scores of own positions, `[positions, own positions]`.
    pub mask: Option<Tensor>,
    /// A prefix of one row, which every row reads.
    pub shared: &'a Cache,
}

#[derive(Clone, Debug)]
struct Attention {
    queries: Linear,
    keys: Linear,
    values: Linear,
    out: Linear,
    heads: usize,
    key_heads: usize,
    width: usize,
}

impl Attention {
    fn new(config: &Config, vb: &VarBuilder<'_>) -> candle_core::Result<Self> {
        let (heads, key_heads, width) = (config.num_attention_heads, config.key_value_heads(), config.head_width());
        let bias = config.model_type == Family::Qwen2;
        let linear = |heads: usize, name: &str| linear_b(config.hidden_size, heads * width, bias, vb.pp(name));
        Ok(Self {
            queries: linear(heads, "q_proj")?,
            keys: linear(key_heads, "k_proj")?,
            values: linear(key_heads, "v_proj")?,
            out: linear_no_bias(heads * width, config.hidden_size, vb.pp("o_proj"))?,
            heads,
            key_heads,
            width,
        })
    }

    fn forward(&self, x: &Tensor, layer: usize, pass: &Pass<'_>, own: &mut Cache) -> Result<Tensor> {
        let (rows, len, _) = x.dims3()?;
        let split = |x: Tensor, heads: usize| x.reshape((rows, len, heads, self.width))?.transpose(1, 2);
        let queries = rotate(&split(self.queries.forward(x)?, self.heads)?, &pass.turns)?;
        let keys = rotate(&split(self.keys.forward(x)?, self.key_heads)?, &pass.turns)?;
        let values = split(self.values.forward(x)?, self.key_heads)?.contiguous()?;
        let (keys, values) = own.append(layer, keys, values)?;

        // The queries that read the same keys lie side by side.
        let groups = self.heads / self.key_heads;
        let queries = (queries * (self.width as f64).powf(-0.5))?;
        let queries = queries.reshape((rows, self.key_heads, groups * len, self.width))?;
        let mut scores = queries.matmul(&keys.t()?)?;
        if let Some(mask) = &pass.mask {
            let seen = keys.dim(2)?;
            let split = scores.reshape((rows, self.key_heads, groups, len, seen))?;
            scores = split.broadcast_add(mask)?.reshape((rows, self.key_heads, groups * len, seen))?;
        }
        let read = match pass.shared.layer(layer) {
            None => softmax(&scores)?.matmul(&values)?,
            Some((before, kept)) => {
                let scores = Tensor::cat(&[&across(&queries, &before.t()?)?, &scores], D::Minus1)?;
                let shares = softmax(&scores)?;
                let prefix = before.dim(2)?;
                let first = shares.narrow(3, 0, prefix)?;
                let rest = shares.narrow(3, prefix, shares.dim(3)? - prefix)?.contiguous()?;
                (across(&first, kept)? + rest.matmul(&values)?)?
            }
        };
        let read = read.reshape((rows, self.heads, len, self.width))?.transpose(1, 2)?;
        Ok(self.out.forward(&read.reshape((rows, len, self.heads * self.width))?)?)
    }
}

/// The product of `[rows, heads, n, k]` with `[1, heads, k, m]`, which is the same for all rows and is not copied:
/// `[rows, heads, n, m]`.
fn across(x: &Tensor, shared: &Tensor) -> candle_core::Result<Tensor> {
    let (rows, heads, n, k) = x.dims4()?;
    let m = shared.dim(3)?;
    let side_by_side = x.transpose(0, 1)?.reshape((heads, rows * n, k))?;
    let product = side_by_side.matmul(&shared.squeeze(0)?)?;
    product.reshape((heads, rows, n, m))?.transpose(0, 1)?.contiguous()
}

#[derive(Clone, Debug)]
struct Gated {
    gate: Linear,
    up: Linear,
    down: Linear,
}

impl Gated {
    fn new(config: &Config, vb: &VarBuilder<'_>) -> candle_core::Result<Self> {
        let (narrow, wide) = (config.hidden_size, config.intermediate_size);
        Ok(Self {
            gate: linear_no_bias(narrow, wide, vb.pp("gate_proj"))?,
            up: linear_no_bias(narrow, wide, vb.pp("up_proj"))?,
            down: linear_no_bias(wide, narrow, vb.pp("down_proj"))?,
        })
    }

    fn forward(&self, x: &Tensor) -> candle_core::Result<Tensor> {
        self.down.forward(&(self.gate.forward(x)?.silu()? * self.up.forward(x)?)?)
    }
}

#[derive(Clone, Debug)]
pub(super) struct Layer {
    before: RmsNorm,
    attention: Attention,
    between: RmsNorm,
    gated: Gated,
}

impl Layer {
    pub fn new(config: &Config, vb: &VarBuilder<'_>) -> candle_core::Result<Self> {
        let norm = |name: &str| RmsNorm::new(config.hidden_size, config.rms_norm_eps, vb.pp(name));
        Ok(Self {
            before: norm("input_layernorm")?,
            attention: Attention::new(config, &vb.pp("self_attn"))?,
            between: norm("post_attention_layernorm")?,
            gated: Gated::new(config, &vb.pp("mlp"))?,
        })
    }

    pub fn forward(&self, x: &Tensor, at: usize, pass: &Pass<'_>, own: &mut Cache) -> Result<Tensor> {
        let x = (x + self.attention.forward(&norm(&self.before, x)?, at, pass, own)?)?;
        Ok((&x + self.gated.forward(&norm(&self.between, &x)?)?)?)
    }
}
