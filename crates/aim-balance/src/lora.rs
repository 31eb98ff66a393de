//! MMLoRA: unimodal training, then joint training of low-rank additions alone (Du et al. 2023, arXiv 2310.05193).
//!
//! ```text
//! before: each modality alone: W, and a head
//! then:   W + scale B A with W frozen (biases and norm layers too, their statistics unless they are to follow the
//!         joint part); A, B, fusion and head learn from CE(fused). B starts at 0 and a linear head at the heads of the
//!         modalities alone, so that the run begins at their ensemble
//! ```
//! Rank, scale and the layers that have additions are the encoder's settings.

use aim_config::{by_type, choice, settings};
use aim_core::{
    EpochStart, EpochWork, Factors, GradFn, Grads, NetSpec, Norm, Part, Pass, Plain, Preparation, Report, Result, Role,
    Stateless, Step, capability,
};

use crate::{
    Built, MethodInfo, MethodSettings, Provenance, Requirements,
    joint::cross_entropy,
    teacher::{adopt, is_adapter},
};

/// Card of [`Lora`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "lora",
    title: "MMLoRA",
    idea: "train each modality alone, freeze it, then learn what they share in low-rank additions",
    paper: "Du et al. 2023 (arXiv 2310.05193); abstract and reviews only",
    cost: "1 forward and 1 backward pass; gradients of frozen weights are computed and dropped; each modality trained \
    alone before",
    departs: &[
        "Abstract and reviews alone were readable: ranks, layers, learning rates and whether heads learn are open \
        there; here rank, scale and layers belong to the encoder (`lora: {rank: 4, scale: 1, targets: all, \
        first_block: 0}`; `targets: attention` are queries and values), every layer of which has an addition by \
        default, and the head learns.",
        "Additions decay with the optimizer's other parameters; usual practice for them is no decay (`decay: false`).",
        "Encoders are trained from scratch before the run; the paper fine-tunes pre-trained models.",
        "Biases, norm layers and their statistics are frozen with the weights, because the joint part must begin at \
        the unimodal networks; whether statistics are is open in the text (`statistics: train`).",
        "A linear head starts as the heads of the modalities alone, so that the logits are their sum (concat, sum) or \
        their mean (mean, separate), since the paper's start is an ensemble; any other head starts as usual.",
    ],
    requires: Requirements { capabilities: &[capability::ADAPTERS], ..Requirements::NONE },
    provenance: Provenance::Reconstruction,
    reports: &[],
    revision: 1,
};

choice! {
    /// Statistics of norm layers in the joint part.
    pub enum Statistics {
        /// Those of the unimodal networks.
        Frozen = "frozen",
        /// Those of the batch, which running ones follow.
        Train = "train",
    }
}

settings! {
    /// Settings of `lora`.
    pub struct Lora {
        /// Statistics of norm layers in the joint part.
        pub statistics: Statistics = Statistics::Frozen => by_type(), "ours";
        /// Whether the optimizer's weight decay acts on the additions.
        pub decay: bool = true => by_type(), "ours";
    }
}

impl MethodSettings for Lora {
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

impl Stateless for Lora {}
impl Plain for Lora {}

impl EpochWork for Lora {
    fn before_epoch(&mut self, cx: &mut EpochStart<'_>) -> Result<()> {
        if cx.clock.epoch == 0 { adopt(cx, true) } else { Ok(()) }
    }
}

impl GradFn for Lora {
    fn grads(&mut self, cx: &mut Step<'_>) -> Result<(Grads, Report)> {
        let (mut report, params) = (Report::default(), cx.net.params());
        let norm = if self.statistics == Statistics::Frozen { Norm::Running } else { Norm::Update };
        let out = cx.net.forward(cx.batch, &mut Pass::train(cx.draws()).norm(norm))?;
        report.note("logits", &out.logits);
        for (name, logits) in cx.net.spec().modalities.iter().zip(&out.unimodal) {
            report.note(format!("unimodal.{name}"), logits);
        }
        let loss = cross_entropy(&out.logits, cx.batch)?;
        report.note("loss", &loss);
        let joins = |role: Role| matches!(role.part, Part::Fusion | Part::Gate { .. } | Part::Head { .. });
        let learns = |role: Role| is_adapter(role) || joins(role);
        let mut grads = Grads::of(&loss, params)?.filter(params, learns);
        if !self.decay {
            let still = Factors { decay: 0., ..Factors::default() };
            grads.adjust(params, |role| is_adapter(role).then_some(still));
        }
        Ok((grads, report))
    }
}
