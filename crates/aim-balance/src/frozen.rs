//! Frozen unimodal encoders and a head: what fusion can reach when no encoder is held back.
//!
//! Each encoder is trained alone before the run; then the encoders are frozen (evaluation mode, no gradient) and only
//! fusion and head are trained, from their ordinary start.

use aim_config::settings;
use aim_core::{
    EpochStart, EpochWork, GradFn, Grads, NetSpec, Pass, Plain, Preparation, Report, Result, Stateless, Step,
};

use crate::{Built, MethodInfo, MethodSettings, Provenance, Requirements, joint::cross_entropy, teacher::adopt};

/// Card of [`Frozen`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "frozen",
    title: "frozen unimodal encoders + head",
    idea: "train each encoder alone, then only fusion and head on the frozen encoders",
    paper: "baseline",
    cost: "forward passes of the encoders without gradient, forward and backward of fusion and head alone; each \
    modality trained alone before",
    departs: &[],
    requires: Requirements::SEPARATE,
    provenance: Provenance::Faithful,
    reports: &[],
    revision: 1,
};

settings! {
    /// Settings of `frozen`.
    pub struct Frozen {
    }
}

impl MethodSettings for Frozen {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn build(&self, _: &NetSpec) -> Result<Built> {
        Ok(Built::grads(self.clone()))
    }
    fn prepares(&self, modalities: &[String]) -> Vec<Preparation> {
        Preparation::each(modalities)
    }
}

impl Stateless for Frozen {}
impl Plain for Frozen {}

impl EpochWork for Frozen {
    fn before_epoch(&mut self, cx: &mut EpochStart<'_>) -> Result<()> {
        if cx.clock.epoch == 0 { adopt(cx, false) } else { Ok(()) }
    }
}

impl GradFn for Frozen {
    fn grads(&mut self, cx: &mut Step<'_>) -> Result<(Grads, Report)> {
        let mut report = Report::default();
        let encode = |(m, x)| Ok(cx.net.encode(m, x, &mut Pass::eval())?.detach());
        let features = cx.batch.inputs.iter().enumerate().map(encode).collect::<Result<_>>()?;
        let out = cx.net.fuse(features, cx.batch.present.as_ref(), &mut Pass::train(cx.draws()))?;
        report.note("logits", &out.logits);
        let loss = cross_entropy(&out.logits, cx.batch)?;
        report.note("loss", &loss);
        Ok((Grads::of(&loss, cx.net.params())?, report))
    }
}
