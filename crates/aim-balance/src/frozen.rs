//! Frozen unimodal encoders and a head: what fusion can reach when no encoder is held back.
//!
//! First each encoder is trained alone with its own head; then the encoders are frozen (evaluation mode, no gradient) and
//! only fusion and head are trained. The fused head sees no gradient in the first part, the encoders none in the second.

use aim_core::{GradFn, Grads, Idle, NetSpec, Pass, Plain, Report, Result, Stateless, Step};
use serde::{Deserialize, Serialize};

use crate::card::{About, Needs, Setting, Settings};
use crate::ensemble::unimodal_losses;
use crate::joint::cross_entropy;
use crate::stack::Built;

/// Card of [`Frozen`].
pub static ABOUT: About = About {
    name: "frozen",
    title: "frozen unimodal encoders + head",
    idea: "train each encoder alone, then only fusion and head on the frozen encoders",
    paper: "baseline",
    cost: "first part: 1 forward and 1 backward pass; then forward passes of the encoders without gradient, forward \
    and backward of fusion and head alone",
    departs: &[],
    settings: &[Setting::new(
        "encoder_epochs",
        "half of the epochs",
        "1 or more, below the number of epochs",
        "epochs in which the encoders are trained; the head has the rest",
        "ours",
    )],
    needs: Needs { unimodal: true, uni_heads: true, ..Needs::NONE },
};

/// Settings of `frozen`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Frozen {
    /// Epochs in which the encoders are trained; half of all by default.
    pub encoder_epochs: Option<usize>,
}

impl Settings for Frozen {
    fn check(&self) -> Result<()> {
        let epochs = self.encoder_epochs.unwrap_or(1) as f64;
        crate::card::within("encoder_epochs", epochs, 1., f64::MAX)
    }
    fn build(self, _: &NetSpec) -> Result<Built> {
        Ok(Built::grads(self))
    }
}

impl Stateless for Frozen {}
impl Idle for Frozen {}
impl Plain for Frozen {}

impl GradFn for Frozen {
    fn grads(&mut self, cx: &mut Step<'_>) -> Result<(Grads, Report)> {
        let mut report = Report::default();
        let loss = if cx.clock.epoch < self.encoder_epochs.unwrap_or(cx.clock.epochs / 2) {
            let out = cx.forward()?;
            unimodal_losses(cx, &out.unimodal, &mut report)?
        } else {
            head_loss(cx, &mut report)?
        };
        report.note("loss", &loss);
        Ok((Grads::of(&loss, cx.net.params())?, report))
    }
}

/// Loss of the fused logits over frozen features.
fn head_loss(cx: &Step<'_>, report: &mut Report) -> Result<candle_core::Tensor> {
    let encode = |(m, x)| Ok(cx.net.encode(m, x, &mut Pass::eval())?.detach());
    let features = cx.batch.inputs.iter().enumerate().map(encode).collect::<Result<_>>()?;
    let out = cx.net.fuse(features, cx.batch.present.as_ref(), &mut Pass::train(cx.draws()))?;
    report.note("logits", &out.logits);
    cross_entropy(&out.logits, cx.batch)
}
