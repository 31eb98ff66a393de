//! DGL, Disentangled Gradient Learning (Wei et al., ICCV 2025, arXiv 2507.10213): encoders learn from unimodal losses
//! through the fusion, the fusion from the fused loss, and neither reaches the other.
//!
//! ```text
//! z     = fuse(stop(phi_1), .., stop(phi_M))          CE(z): gradient of fusion and head
//! u_m   = fuse(0, .., phi_m, .., 0)                   alpha sum over m of CE(u_m): gradient of the encoders
//! g    <- g min(1, clip_norm / (|g| + 1e-6))          one norm over all parameters
//! ```
//! With one head over all features u_m has its whole bias; with a head for each modality u_m is that head's logits
//! (as in the released code). `cut_fused: false` lets the fused loss reach the encoders as well, `cut_unimodal: false`
//! the unimodal losses fusion and head.

use aim_config::{above, between, by_type, settings};
use aim_core::{
    Combine, Error, Fuse, Fused, GradOp, Grads, Idle, Loss, Net, NetSpec, Norm, Objective, Pass, Plain, Report, Result,
    Seen, Stateless, Step, capability,
};
use candle_core::Tensor;

use crate::{
    Built, MethodInfo, MethodSettings, Parts, Provenance, Quantity, Requirements,
    joint::cross_entropy,
    util::{clip, members},
};

/// Card of [`Dgl`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "dgl",
    title: "DGL",
    idea: "encoders learn from unimodal losses alone, the fusion from the fused loss alone",
    paper: "Wei et al., ICCV 2025 (arXiv 2507.10213)",
    cost: "1 forward pass with M + 1 passes of the fusion, 1 backward pass of each encoder",
    departs: &[
        "Any number of modalities has one more unimodal loss each, because the released code has two.",
        "Where the head is no linear one the others' features are zero; the released film and gated fusions are other \
        networks, and layers of its gated one never learn.",
        "Heads of the fusion `mean` count whole in unimodal losses, as those of `sum` do; with `shared` the unimodal \
        logits come from the head that is cut off.",
        "The released clipping by one norm over all gradients stands between the losses and the optimizer, and is \
        never reached in small networks.",
    ],
    requires: Requirements::SEPARATE,
    provenance: Provenance::Faithful,
    reports: &[
        Quantity::step("grad_norm", "", "norm of all gradients before clipping"),
        Quantity::step("clipped", "", "1 where gradients are clipped, else 0"),
    ],
    revision: 1,
};

settings! {
    /// Settings of `dgl`.
    pub struct Dgl {
        /// Weight of the unimodal losses.
        pub alpha: f64 = 4. => between(0., 100.), "released code (CREMA-D: 4 and 5)";
        /// Largest norm of all gradients together; null is none.
        pub clip_norm: Option<f64> = Some(40.) => above(0.), "released code";
        /// The fused loss does not reach the encoders.
        pub cut_fused: bool = true => by_type(), "paper";
        /// The unimodal losses do not reach fusion and head.
        pub cut_unimodal: bool = true => by_type(), "paper";
    }
}

impl MethodSettings for Dgl {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn build(&self, net: &NetSpec) -> Result<Built> {
        if net.capabilities.has(capability::UNI_HEADS) {
            let problem = "gives heads that `dgl` does not train, and hides those of the fusion that it does";
            return Err(Error::invalid("model.uni_heads", problem, "leave it out"));
        }
        Ok(Built::Parts(Parts {
            fuse: Some(Box::new(self.clone())),
            objective: Some(Box::new(self.clone())),
            combine: Some(Box::new(self.clone())),
            ops: vec![Box::new(self.clone())],
        }))
    }
}

impl Stateless for Dgl {}
impl Idle for Dgl {}
impl Plain for Dgl {}

impl Fuse for Dgl {
    fn fuse(&mut self, features: Vec<Tensor>, cx: &Step<'_>, _: &mut Report) -> Result<Fused> {
        let seen = if self.cut_fused { features.iter().map(Tensor::detach).collect() } else { features.clone() };
        let out = cx.net.fuse(seen, cx.batch.present.as_ref(), &mut Pass::train(cx.draws()))?;
        let features = if self.cut_fused { features } else { out.features.clone() };
        Ok(Fused { out: aim_core::Output { features, ..out }, kept: None })
    }
}

impl Objective for Dgl {
    fn losses(&mut self, seen: &Seen<'_>, report: &mut Report) -> Result<Vec<Loss>> {
        let mut losses = vec![Loss::new("loss.fused", cross_entropy(&seen.out.logits, seen.batch)?)];
        for (m, name) in seen.net.spec().modalities.iter().enumerate() {
            let alone = alone(m, seen)?;
            report.note(format!("alone.{name}"), &alone);
            losses.push(Loss::new(format!("loss.{name}"), cross_entropy(&alone, seen.batch)?).times(self.alpha));
        }
        Ok(losses)
    }
}

/// Logits of modality m with the others absent: the fused ones, or those of its own head.
fn alone(m: usize, seen: &Seen<'_>) -> Result<Tensor> {
    let spec = seen.net.spec();
    let set = members(1 << m, spec.modalities.len());
    let mut pass = Pass::train(seen.draws).norm(Norm::Batch).subset(&set);
    let mut out = seen.net.fuse(seen.out.features.clone(), seen.batch.present.as_ref(), &mut pass)?;
    let own = spec.capabilities.has(capability::DISJOINT_HEADS);
    Ok(if own { out.unimodal.swap_remove(m) } else { out.logits })
}

impl Combine for Dgl {
    fn combine(&mut self, losses: Vec<Tensor>, net: &dyn Net, _: &mut Report) -> Result<Grads> {
        let params = net.params();
        let cut = if self.cut_unimodal { losses.len().min(1) } else { losses.len() };
        let (reaching, encoders) = losses.split_at(cut);
        let sum =
            |losses: &[Tensor]| losses.iter().cloned().map(Ok).reduce(|a: Result<_>, b| Ok((a? + b?)?)).transpose();
        let mut grads = sum(reaching)?.map(|loss| Grads::of(&loss, params)).transpose()?.unwrap_or_default();
        if let Some(loss) = sum(encoders)? {
            let own = Grads::of(&loss, params)?.filter(params, |role| role.encoder().is_some());
            grads.add_scaled(&own, 1.)?;
        }
        Ok(grads)
    }
}

impl GradOp for Dgl {
    fn apply(&mut self, grads: &mut Grads, _: &Seen<'_>, report: &mut Report) -> Result<()> {
        let norm = grads.norm()?;
        let factor = clip(norm, self.clip_norm);
        report.scalar("grad_norm", norm)?;
        report.scalar("clipped", f64::from(u8::from(factor < 1.)))?;
        if factor < 1. {
            *grads = grads.scaled(factor)?;
        }
        Ok(())
    }
}
