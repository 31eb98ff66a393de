//! What fusions that attend over tokens share.

use aim_backbones::{Build, LayerNorm, Linear};
use aim_core::{Error, Part, Pass, Result};
use candle_core::Tensor;

/// Beside the variance in layer norms.
pub(crate) const EPS: f64 = 1e-5;

/// What layers are made with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Width of a token.
    pub(crate) width: usize,
    /// Heads of an attention.
    pub(crate) heads: usize,
    /// Probability that dropout zeroes a value.
    pub(crate) dropout: f64,
}

impl Sizes {
    /// Checks that heads divide the width; `place` names the section in messages.
    pub(crate) fn check(self, place: &str) -> Result<()> {
        if self.width.is_multiple_of(self.heads) {
            return Ok(());
        }
        let problem = format!("does not divide the width {}", self.width);
        Err(Error::invalid(format!("{place}.heads"), problem, "use a divisor of the width"))
    }
}

/// Two linear layers with ReLU between them.
pub(crate) struct Mlp(pub(crate) Linear, pub(crate) Linear);

impl Mlp {
    pub(crate) fn new(build: &mut Build, name: &str, part: Part, [input, hidden, output]: [usize; 3]) -> Result<Self> {
        let first = build.linear(&format!("{name}.0"), part, input, hidden, true)?;
        Ok(Self(first, build.linear(&format!("{name}.1"), part, hidden, output, true)?))
    }

    pub(crate) fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        self.1.forward(&aim_ops::relu(&self.0.forward(x, pass)?)?, pass)
    }
}

/// Dropout with a generator of its own.
pub(crate) struct Dropout {
    name: String,
    p: f64,
}

impl Dropout {
    pub(crate) fn new(name: &str, p: f64) -> Self {
        Self { name: format!("{name}.dropout"), p }
    }

    pub(crate) fn forward(&self, x: Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        Ok(if pass.train { aim_ops::dropout(&x, self.p, pass.rng(&self.name).seed())? } else { x })
    }
}

/// Attention of several heads.
pub(crate) struct Attention {
    query: Linear,
    key: Linear,
    pub(crate) value: Linear,
    pub(crate) out: Linear,
    dropout: Dropout,
    heads: usize,
}

impl Attention {
    pub(crate) fn new(build: &mut Build, name: &str, sizes: Sizes) -> Result<Self> {
        let d = sizes.width;
        let mut linear = |what: &str| build.linear(&format!("{name}.{what}"), Part::Fusion, d, d, true);
        Ok(Self {
            query: linear("query")?,
            key: linear("key")?,
            value: linear("value")?,
            out: linear("out")?,
            dropout: Dropout::new(name, sizes.dropout),
            heads: sizes.heads,
        })
    }

    /// What the tokens `x` see of the tokens `of`, `[B, T, width]` each; `mask` is 0 for those that nobody may see.
    pub(crate) fn forward(&self, x: &Tensor, of: &Tensor, mask: Option<&Tensor>, pass: &Pass<'_>) -> Result<Tensor> {
        let (q, k, v) = (self.query.forward(x, pass)?, self.key.forward(of, pass)?, self.value.forward(of, pass)?);
        let scale = 1. / ((q.dim(2)? / self.heads) as f64).sqrt();
        let seen = aim_ops::multi_head_attention(&q, &k, &v, self.heads, mask, scale)?;
        self.dropout.forward(self.out.forward(&seen, pass)?, pass)
    }
}

/// `x + PFF(LN(x))`.
pub(crate) struct Forward {
    norm: LayerNorm,
    mlp: Mlp,
    dropout: Dropout,
}

impl Forward {
    pub(crate) fn new(build: &mut Build, name: &str, sizes: Sizes) -> Result<Self> {
        let d = sizes.width;
        let norm = build.layer_norm(&format!("{name}.norm"), Part::Fusion, d)?.eps(EPS);
        let mlp = Mlp::new(build, name, Part::Fusion, [d, 4 * d, d])?;
        Ok(Self { norm, mlp, dropout: Dropout::new(name, sizes.dropout) })
    }

    pub(crate) fn forward(&self, x: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let change = self.mlp.forward(&self.norm.forward(x, pass)?, pass)?;
        Ok((x + self.dropout.forward(change, pass)?)?)
    }
}
