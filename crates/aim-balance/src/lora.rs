//! MMLoRA: unimodal training, then joint training of low-rank additions alone (Du et al. 2023, arXiv 2310.05193).
//!
//! ```text
//! first epochs: each encoder and what of the head reads it, on its own loss; the additions are 0 and stay so
//! then:         W + scale B A with W frozen (biases, norm layers and their statistics too); A, B, fusion and head learn
//!               from CE(fused). B starts at 0, so that this begins at the ensemble of the unimodal networks
//! ```
//! Neither code nor the paper's body was available: ranks, learning rates and whether heads are trained are open there; rank
//! and scale are the encoder's settings here. Unimodal losses go through the fused head's own logits where it has them, so
//! that the head needs no new start.

use aim_core::{GradFn, Grads, Idle, NetSpec, Norm, Part, Pass, Plain, Report, Result, Role, Stateless, Step};
use serde::{Deserialize, Serialize};

use crate::card::{About, Needs, Setting, Settings, within};
use crate::ensemble::unimodal_losses;
use crate::joint::cross_entropy;
use crate::stack::Built;

/// Card of [`Lora`].
pub static ABOUT: About = About {
    name: "lora",
    title: "MMLoRA",
    idea: "train each modality alone, freeze it, then learn what they share in low-rank additions",
    paper: "Du et al. 2023 (arXiv 2310.05193); abstract and reviews only",
    cost: "1 forward and 1 backward pass in both parts; gradients of frozen weights are computed and dropped",
    departs: &[
        "Abstract and reviews alone were readable: ranks, layers, learning rates and whether heads learn are open \
        there; here rank and scale belong to the encoder and the head learns.",
        "Unimodal and joint training are parts of one run, so that its budget compares with others; the paper \
        fine-tunes pre-trained models first.",
        "Biases, norm layers and their statistics are frozen with the weights, because the joint part must begin at \
        the unimodal networks.",
    ],
    settings: &[Setting::new(
        "encoder_epochs",
        "half of the epochs",
        "0 or more",
        "epochs of unimodal training",
        "ours",
    )],
    needs: Needs { unimodal: true, adapters: true, ..Needs::NONE },
};

/// Settings of `lora`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lora {
    /// Epochs of unimodal training; half of all by default.
    pub encoder_epochs: Option<usize>,
}

impl Settings for Lora {
    fn check(&self) -> Result<()> {
        within("encoder_epochs", self.encoder_epochs.unwrap_or(0) as f64, 0., f64::MAX)
    }
    fn build(self, _: &NetSpec) -> Result<Built> {
        Ok(Built::grads(self))
    }
}

impl Stateless for Lora {}
impl Idle for Lora {}
impl Plain for Lora {}

impl GradFn for Lora {
    fn grads(&mut self, cx: &mut Step<'_>) -> Result<(Grads, Report)> {
        let mut report = Report::default();
        let adapter = |role: Role| matches!(role.part, Part::Adapter { .. });
        let params = cx.net.params();
        if cx.clock.epoch < self.encoder_epochs.unwrap_or(cx.clock.epochs / 2) {
            let loss = unimodal_losses(cx, &cx.forward()?.unimodal, &mut report)?;
            report.note("loss", &loss);
            return Ok((Grads::of(&loss, params)?.filter(params, |role| !adapter(role)), report));
        }
        let out = cx.net.forward(cx.batch, &mut Pass::train(cx.draws()).norm(Norm::Running))?;
        report.note("logits", &out.logits);
        for (name, logits) in cx.net.spec().modalities.iter().zip(&out.unimodal) {
            report.note(format!("unimodal.{name}"), logits);
        }
        let loss = cross_entropy(&out.logits, cx.batch)?;
        report.note("loss", &loss);
        let learns = |role: Role| adapter(role) || matches!(role.part, Part::Fusion | Part::Head { .. });
        Ok((Grads::of(&loss, params)?.filter(params, learns), report))
    }
}
