//! MMCosine: logits from cosines (Xu et al., ICASSP 2023, arXiv 2303.05338).
//!
//! Neither the norm of a feature nor that of its weights can make a modality dominate:
//!
//! ```text
//! logit_m = s  phi_m/|phi_m| (W_m/|W_m|)^T     rows of W_m normalised, no bias;   logits = sum over m of logit_m
//! ```
//! `W_m` is the part of the linear head that reads modality m; where modalities condition each other before it
//! (`symmetric-film`, `symmetric-gated`), `phi_m` is what becomes of m there. The head's bias takes no part and is left
//! alone. The same logits are used in evaluation; the official code evaluates the head as it is (`compat: true`). A
//! modality that a sample lacks adds nothing. `nce` adds a contrast of the encoders' features z (off, as in the
//! official code), for each ordered pair of modalities:
//!
//! ```text
//! p_ij = softmax over j of cos(z_a of sample i, z_b of sample j) / 0.1;
//! L += nce mean of - ln sum over j with y_j = y_i of p_ij
//! ```
//! `s` is 10 as in the official example.

mod nce;

use aim_config::{above, between, by_type, settings};
use aim_core::{
    Batch, Extras, Fuse, Fused, Idle, Infer, Net, NetSpec, Output, PARTS, Pass, Report, Result, Stateless, Step,
    capability,
};
use candle_core::Tensor;

use self::nce::Nce;
use crate::{
    Built, MethodInfo, MethodSettings, Provenance, Requirements,
    util::{columns, head_weights, unit_rows},
};

/// Card of [`MmCosine`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "mmcosine",
    title: "MMCosine",
    idea: "logits from cosines between features and head weights, so that no norm can dominate",
    paper: "Xu et al., ICASSP 2023 (arXiv 2303.05338)",
    cost: "1 forward and 1 backward pass; the head is evaluated twice",
    departs: &[
        "Evaluation uses the cosine logits of training; the released code evaluates the plain head, norms and bias \
        included (`compat: true`).",
        "Film and gated are refused, because the network is a choice of its own; the forms with which the released \
        code replaces them, each modality conditioning the other before a linear head, are the fusions symmetric-film \
        and symmetric-gated; a modality's own cosines have then seen the other.",
        "The contrastive loss of the supplement is off, as in the released code; that samples of one class share one \
        probability and that both directions of every pair of modalities count is inferred.",
    ],
    requires: Requirements { capabilities: &[capability::LINEAR_PARTS], ..Requirements::NONE },
    provenance: Provenance::Faithful,
    reports: &[],
    revision: 1,
};

settings! {
    /// Settings of `mmcosine`.
    pub struct MmCosine {
        /// Factor s on the cosines.
        pub scale: f64 = 10. => above(0.), "released code (its example run)";
        /// Weight of the contrast of features.
        pub nce: f64 = 0. => between(0., 100.), "released code";
        /// Evaluate the plain head, as the released code does it.
        pub compat: bool = false => by_type(), "ours; released code: true";
    }
}

impl MethodSettings for MmCosine {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn compat(&self) -> bool {
        self.compat
    }
    fn compares_features(&self) -> Option<(&'static str, &'static str)> {
        (self.nce != 0.).then_some(("nce", "use 0"))
    }
    fn build(&self, _: &NetSpec) -> Result<Built> {
        let (weight, fuse) = (self.nce, Built::fuse(self.clone()));
        if weight == 0. {
            // Without the contrast another method of a stack may decide the losses.
            return Ok(fuse);
        }
        Ok(fuse.with_objective(Nce { weight }))
    }
}

impl Stateless for MmCosine {}
impl Idle for MmCosine {}

impl MmCosine {
    fn output(&self, plain: Output, net: &dyn Net, batch: &Batch) -> Result<Output> {
        let cosine = |(m, (x, w)): (usize, (&Tensor, Tensor))| {
            let cosines = (unit_rows(x)?.matmul(&unit_rows(&w)?.t()?)? * self.scale)?;
            match &batch.present {
                // What becomes of a missing modality in a symmetric fusion is not zero, and any length would be made 1.
                Some(present) => Ok(cosines.broadcast_mul(&present.narrow(1, m, 1)?.to_dtype(cosines.dtype())?)?),
                None => Ok(cosines),
            }
        };
        let parts = match plain.extras.get(PARTS) {
            Some(joined) => columns(joined, &net.spec().widths)?,
            None => plain.features.clone(),
        };
        let unimodal: Vec<Tensor> =
            parts.iter().zip(head_weights(net)?).enumerate().map(cosine).collect::<Result<_>>()?;
        let logits = Tensor::stack(&unimodal, 0)?.sum(0)?;
        Ok(Output { logits, unimodal, features: plain.features, extras: Extras::new() })
    }
}

impl Fuse for MmCosine {
    fn fuse(&mut self, features: Vec<Tensor>, cx: &Step<'_>, _: &mut Report) -> Result<Fused> {
        // The network's own fusion is asked for what its head reads: it zeroes features of missing modalities.
        let plain = cx.net.fuse(features, cx.batch.present.as_ref(), &mut Pass::train(cx.draws()))?;
        Ok(Fused { out: self.output(plain, cx.net, cx.batch)?, kept: None })
    }
}

impl Infer for MmCosine {
    fn infer(&self, net: &dyn Net, batch: &Batch) -> Result<Output> {
        let plain = net.forward(batch, &mut Pass::eval())?;
        let logits = plain.logits.clone();
        let cosines = self.output(plain, net, batch)?;
        // The released validation reads modalities alone from cosines.
        Ok(if self.compat { Output { logits, ..cosines } } else { cosines })
    }
}
