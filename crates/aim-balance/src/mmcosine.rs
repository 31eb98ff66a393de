//! MMCosine: logits from cosines (Xu et al., ICASSP 2023, arXiv 2303.05338).
//!
//! Neither the norm of a feature nor that of its weights can make a modality dominate:
//!
//! ```text
//! logit_m = s  phi_m/|phi_m| (W_m/|W_m|)^T     rows of W_m normalised, no bias;   logits = sum over m of logit_m
//! ```
//! `W_m` is the part of the linear head that reads modality m. The head's bias takes no part and is left alone. The same
//! logits are used in evaluation; the official code evaluates the head as it is. `s` is 10 as in the official example.

use aim_core::{Batch, Extras, Fuse, Fused, Idle, Infer, Net, NetSpec, Output, Pass, Report, Result, Stateless, Step};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::card::{About, Needs, Setting, Settings, within};
use crate::stack::Built;
use crate::util::{head_weights, unit_rows};

/// Card of [`MmCosine`].
pub static ABOUT: About = About {
    name: "mmcosine",
    title: "MMCosine",
    idea: "logits from cosines between features and head weights, so that no norm can dominate",
    paper: "Xu et al., ICASSP 2023 (arXiv 2303.05338)",
    cost: "1 forward and 1 backward pass; the head is evaluated twice",
    departs: &[
        "Evaluation uses the cosine logits of training; the released code evaluates the plain head, norms and bias \
        included.",
        "Fusions without linear heads are refused, because the network is a choice of its own; the released code \
        rewrites film and gated so that a concat head follows.",
        "The contrastive loss of the supplement is left out, since it is off in the released code.",
    ],
    settings: &[Setting::new("scale", "10", "above 0", "s: factor on the cosines", "released code (its example run)")],
    needs: Needs { linear_heads: true, ..Needs::NONE },
};

/// Settings of `mmcosine`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MmCosine {
    /// Factor on the cosines.
    pub scale: f64,
}

impl Default for MmCosine {
    fn default() -> Self {
        Self { scale: 10. }
    }
}

impl Settings for MmCosine {
    fn check(&self) -> Result<()> {
        within("scale", self.scale, f64::MIN_POSITIVE, f64::MAX)
    }
    fn build(self, _: &NetSpec) -> Result<Built> {
        Ok(Built::fuse(self))
    }
}

impl Stateless for MmCosine {}
impl Idle for MmCosine {}

impl MmCosine {
    fn output(&self, features: Vec<Tensor>, net: &dyn Net) -> Result<Output> {
        let cosine = |(x, w): (&Tensor, Tensor)| Ok((unit_rows(x)?.matmul(&unit_rows(&w)?.t()?)? * self.scale)?);
        let unimodal: Vec<Tensor> = features.iter().zip(head_weights(net)?).map(cosine).collect::<Result<_>>()?;
        let logits = Tensor::stack(&unimodal, 0)?.sum(0)?;
        Ok(Output { logits, unimodal, features, extras: Extras::new() })
    }
}

impl Fuse for MmCosine {
    fn fuse(&mut self, features: Vec<Tensor>, cx: &Step<'_>, _: &mut Report) -> Result<Fused> {
        // The network's own fusion is asked for the features alone: it zeroes those of missing modalities.
        let features = cx.net.fuse(features, cx.batch.present.as_ref(), &mut Pass::train(cx.draws()))?.features;
        Ok(Fused { out: self.output(features, cx.net)?, kept: None })
    }
}

impl Infer for MmCosine {
    fn infer(&self, net: &dyn Net, batch: &Batch) -> Result<Output> {
        self.output(net.forward(batch, &mut Pass::eval())?.features, net)
    }
}
