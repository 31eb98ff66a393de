//! Ensemble of unimodal networks: each modality is trained on its own loss, predictions are averaged at inference:
//! logits as the fusion joins them, or probabilities.
//!
//! The parameters of the members are disjoint, so one step on the sum of the losses trains each member exactly as
//! alone.

use aim_config::{by_type, choice, settings};
use aim_core::{
    Batch, Error, GradFn, Grads, Idle, Infer, Net, NetSpec, Output, Pass, Report, Result, Stateless, Step, capability,
};
use candle_core::Tensor;

use crate::{
    Built, MethodInfo, MethodSettings, Provenance, Requirements, Unimodal, joint::cross_entropy,
    util::log_mean_probability,
};

/// Card of [`Ensemble`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "ensemble",
    title: "ensemble of unimodals",
    idea: "each modality trained on its own loss, predictions averaged",
    paper: "baseline (unimodal ensemble, Du et al. 2023, arXiv 2305.01233)",
    cost: "1 forward and 1 backward pass, as joint training",
    departs: &[
        "The members share one run and one optimizer setting, since their parameters are disjoint; the source trains \
        them apart.",
        "Their logits are averaged, or summed where the fusion sums; the source averages logits or probabilities \
        (`average: probabilities`).",
    ],
    requires: Requirements {
        unimodal: Unimodal::Trained,
        capabilities: &[capability::DISJOINT_HEADS],
        ..Requirements::SEPARATE
    },
    provenance: Provenance::Faithful,
    reports: &[],
    revision: 1,
};

choice! {
    /// Outputs that are averaged.
    pub enum Average {
        /// Logits, as the fusion joins them.
        Logits = "logits",
        /// Probabilities of the modalities that a sample has.
        Probabilities = "probabilities",
    }
}

settings! {
    /// Settings of `ensemble`.
    pub struct Ensemble {
        /// Outputs that are averaged: logits as the fusion joins them | probabilities of a sample's modalities.
        pub average: Average = Average::Logits => by_type(), "ours; paper: one or the other";
    }
}

impl MethodSettings for Ensemble {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn build(&self, _: &NetSpec) -> Result<Built> {
        Ok(Built::grads(self.clone()))
    }
}

impl Stateless for Ensemble {}
impl Idle for Ensemble {}

impl Infer for Ensemble {
    fn infer(&self, net: &dyn Net, batch: &Batch) -> Result<Output> {
        let out = net.forward(batch, &mut Pass::eval())?;
        match self.average {
            Average::Logits => Ok(out),
            Average::Probabilities => Ok(Output { logits: log_mean_probability(&out.unimodal, batch)?, ..out }),
        }
    }
}

impl GradFn for Ensemble {
    fn grads(&mut self, cx: &mut Step<'_>) -> Result<(Grads, Report)> {
        let out = cx.forward()?;
        let mut report = Report::default();
        report.note("logits", &out.logits);
        report.note("prob", &mean_probability(&out.unimodal)?);
        let loss = unimodal_losses(cx, &out.unimodal, &mut report)?;
        report.note("loss", &loss);
        Ok((Grads::of(&loss, cx.net.params())?, report))
    }
}

/// Mean over modalities of their class probabilities.
fn mean_probability(unimodal: &[Tensor]) -> Result<Tensor> {
    let probs: Vec<_> = unimodal.iter().map(aim_ops::softmax).collect::<candle_core::Result<_>>()?;
    Ok(Tensor::stack(&probs, 0)?.mean(0)?)
}

/// Sum of each modality's own cross-entropy, each noted as `loss.<modality>`.
pub(crate) fn unimodal_losses(cx: &Step<'_>, unimodal: &[Tensor], report: &mut Report) -> Result<Tensor> {
    let mut total: Option<Tensor> = None;
    for (name, logits) in cx.net.spec().modalities.iter().zip(unimodal) {
        report.note(format!("unimodal.{name}"), logits);
        let loss = cross_entropy(logits, cx.batch)?;
        report.note(format!("loss.{name}"), &loss);
        total = Some(match total {
            Some(sum) => (sum + loss)?,
            None => loss,
        });
    }
    total.ok_or_else(|| Error::invalid("network", "gives no unimodal logits", "set model.uni_heads: true"))
}
