//! MLA: alternating unimodal adaptation through one shared head (Zhang et al., CVPR 2024, arXiv 2311.10707).
//!
//! ```text
//! f_u = encoder u's features, all before any update;   for u in order:
//!   L_u = CE(head(f_u)) with the head as it is now; gradient of encoder u and the head
//!   gradient of the head's weight <- gradient P^T;      one optimizer step
//!   r = batch mean of f_u, k = P r,  P <- P - k k^T / (alpha + r k),  alpha = 0.1^(batch / batches + 1);  P = I at first
//! evaluation: sum over u of lambda_u head(f_u),  lambda = softmax over modalities of minus the entropy, a sample
//! ```
//! `projection: previous` projects before f_u enters P, as the paper intends (out of the span of the other modalities);
//! `current` updates P first, as the official code is written. There the projection never takes place, because the name it
//! looks for does not exist, and entropies run over the batch; neither is reproduced. Missing modalities: a sample without u
//! takes no part in step u nor, in evaluation, u in its fusion. `skip_first` leaves the run's first sub-step alone.

use aim_core::{
    Batch, Grads, Idle, Infer, Method, Net, NetSpec, Output, Part, Pass, Report, Result, State, Stateful, Step,
};
use candle_core::{D, DType, Device, Tensor};
use serde::{Deserialize, Serialize};

use crate::card::{About, Needs, Setting, Settings};
use crate::stack::Built;
use crate::util::{number, sample_losses};

/// Card of [`Mla`].
pub static ABOUT: About = About {
    name: "mla",
    title: "MLA",
    idea: "update one modality after the other through a shared head whose gradient avoids the others' features",
    paper: "Zhang et al., CVPR 2024 (arXiv 2311.10707)",
    cost: "1 forward pass; M backward passes that go through each encoder once; M + 1 passes of the head, M optimizer \
    steps, M updates of a d x d matrix",
    departs: &[
        "Gradients are projected before the own feature enters P, as the paper intends; the released code is written \
        the other way (`projection: current`), and its projection never takes place.",
        "The denominator of P's update is a number and P is not normalised, as in recursive least squares; the \
        released code divides by a matrix and by P's norm.",
        "Entropies are those of single samples; the released code normalises over the batch, so that predictions \
        depend on the other samples.",
        "A sample takes part in the sub-steps of the modalities that it has; the released code has no such path.",
        "The first sub-step enters P, since nothing speaks against it; the released code is written to leave it out \
        (`skip_first`).",
    ],
    settings: &[
        Setting::new("order", "the network's", "modalities", "who goes first", "released code"),
        Setting::new(
            "projection",
            "previous",
            "previous | current | none",
            "project with the features before, or also with the own, or not at all",
            "paper",
        ),
        Setting::new("skip_first", "false", "true | false", "first sub-step unprojected", "ours; released code: true"),
    ],
    needs: Needs { unimodal: true, shared_head: true, ..Needs::NONE },
};

/// When features enter the projector.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Projection {
    /// After the projection.
    #[default]
    Previous,
    /// Before it.
    Current,
    /// Never.
    None,
}

/// Settings of `mla`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mla {
    /// Who goes first; the network's order by default.
    pub order: Option<Vec<String>>,
    /// When features enter the projector.
    pub projection: Projection,
    /// First sub-step unprojected.
    pub skip_first: bool,
}

impl Settings for Mla {
    fn check(&self) -> Result<()> {
        Ok(())
    }
    fn build(self, net: &NetSpec) -> Result<Built> {
        let order = crate::card::order("order", self.order.as_deref(), net)?;
        let projector = Tensor::eye(net.widths[0], DType::F32, &Device::Cpu)?;
        Ok(Built::Method(Box::new(Alternating { settings: self, order, projector, started: false })))
    }
}

struct Alternating {
    settings: Mla,
    order: Vec<usize>,
    projector: Tensor,
    started: bool,
}

impl Idle for Alternating {}

impl Method for Alternating {
    fn step(&mut self, cx: &mut Step<'_>) -> Result<Report> {
        let (mut report, net) = (Report::default(), cx.net);
        let out = cx.forward()?;
        self.projector = self.projector.to_device(out.logits.device())?;
        let weights = fusion_weights(&out.unimodal, cx.batch.present.as_ref())?;
        report.note("logits", &fused(&out.unimodal, &weights)?);
        report.note("fusion_weight", &weights);
        report.scalar("alpha", alpha(cx))?;
        let names = &net.spec().modalities;
        for (name, logits) in names.iter().zip(&out.unimodal) {
            report.note(format!("unimodal.{name}"), logits);
        }
        for (i, &m) in self.order.clone().iter().enumerate() {
            if !anyone_has(m, cx.batch)? {
                continue;
            }
            let prefix = format!("substep{}", i + 1);
            let loss = unimodal_loss(cx, &out.features, m)?;
            report.note(format!("loss.{}", names[m]), &loss);
            let mut grads = Grads::of(&loss, net.params())?;
            self.project(
                &mut grads,
                &mean_present(&out.features[m].detach(), m, cx.batch)?,
                cx,
                (&prefix, &mut report),
            )?;
            cx.descend(&grads)?;
            if cx.trace {
                report.note(format!("{prefix}.P"), &self.projector);
            }
        }
        Ok(report)
    }
}

/// Cross-entropy of modality m through the head as it is now, over the samples that have it.
fn unimodal_loss(cx: &Step<'_>, features: &[Tensor], m: usize) -> Result<Tensor> {
    let features: Vec<Tensor> =
        features.iter().enumerate().map(|(j, x)| if j == m { x.clone() } else { x.detach() }).collect();
    let out = cx.net.fuse(features, None, &mut Pass::train(cx.draws()))?;
    Ok(mean_present(&sample_losses(&out.unimodal[m], cx.batch)?.unsqueeze(1)?, m, cx.batch)?.sum_all()?)
}

/// Mean `[1, width]` of rows over the samples that have modality m; 0 if none has.
fn mean_present(rows: &Tensor, m: usize, batch: &Batch) -> Result<Tensor> {
    let Some(present) = &batch.present else { return Ok(rows.mean_keepdim(0)?) };
    let present = present.narrow(1, m, 1)?.to_dtype(rows.dtype())?;
    let count = number(&present.sum_all()?)?.max(1.);
    Ok((rows.broadcast_mul(&present)?.sum_keepdim(0)? / count)?)
}

/// Whether any sample of the batch has modality m.
fn anyone_has(m: usize, batch: &Batch) -> Result<bool> {
    let Some(present) = &batch.present else { return Ok(true) };
    Ok(number(&present.narrow(1, m, 1)?.to_dtype(DType::F64)?.sum_all()?)? > 0.)
}

/// Regulariser of the projector's update: from 0.1 to 0.01 along the epoch.
fn alpha(cx: &Step<'_>) -> f64 {
    0.1f64.powf(cx.clock.batch as f64 / cx.clock.steps_per_epoch.max(1) as f64 + 1.)
}

impl Alternating {
    fn project(
        &mut self,
        grads: &mut Grads,
        mean: &Tensor,
        cx: &Step<'_>,
        (prefix, report): (&str, &mut Report),
    ) -> Result<()> {
        let skip = (self.settings.skip_first && !self.started) || self.settings.projection == Projection::None;
        self.started = true;
        if self.settings.projection == Projection::Current && !skip {
            self.learn(mean, alpha(cx))?;
        }
        let projector = self.projector.clone();
        grads.map(cx.net.params(), |name, role, grad| {
            if !(matches!(role.part, Part::Head { .. }) && role.is_weight()) {
                return Ok(None);
            }
            if cx.trace {
                report.note(format!("{prefix}.grad_raw.{name}"), grad);
            }
            Ok(if skip { None } else { Some(grad.matmul(&projector.t()?)?) })
        })?;
        if self.settings.projection == Projection::Previous && !skip {
            self.learn(mean, alpha(cx))?;
        }
        Ok(())
    }

    /// Takes the direction of a mean feature `[1, width]` out of the projector.
    fn learn(&mut self, mean: &Tensor, alpha: f64) -> Result<()> {
        let r = mean.t()?;
        let k = self.projector.matmul(&r)?;
        let scale = (r.t()?.matmul(&k)? + alpha)?;
        self.projector = (&self.projector - k.matmul(&k.t()?)?.broadcast_div(&scale)?)?;
        Ok(())
    }
}

/// Softmax over modalities of minus the entropy of each sample's prediction, `[B, M]`; 0 for a missing modality.
fn fusion_weights(unimodal: &[Tensor], present: Option<&Tensor>) -> Result<Tensor> {
    let certainty = |logits: &Tensor| {
        let log_p = aim_ops::log_softmax(&logits.detach())?;
        (log_p.exp()? * log_p)?.sum(D::Minus1)
    };
    let certainty = unimodal.iter().map(certainty).collect::<candle_core::Result<Vec<_>>>()?;
    let certainty = Tensor::stack(&certainty, 1)?;
    let certainty = match present {
        None => certainty,
        Some(present) => (certainty + ((present.to_dtype(DType::F32)? - 1.)? * 1e9)?)?,
    };
    Ok(aim_ops::softmax(&certainty)?)
}

fn fused(unimodal: &[Tensor], weights: &Tensor) -> Result<Tensor> {
    let weigh = |(m, x): (usize, &Tensor)| Ok(x.broadcast_mul(&weights.narrow(1, m, 1)?)?);
    let parts = unimodal.iter().enumerate().map(weigh).collect::<Result<Vec<_>>>()?;
    Ok(Tensor::stack(&parts, 0)?.sum(0)?)
}

impl Infer for Alternating {
    fn infer(&self, net: &dyn Net, batch: &Batch) -> Result<Output> {
        let out = net.forward(batch, &mut Pass::eval())?;
        let weights = fusion_weights(&out.unimodal, batch.present.as_ref())?;
        Ok(Output { logits: fused(&out.unimodal, &weights)?, ..out })
    }
}

impl Stateful for Alternating {
    fn state(&self) -> Result<State> {
        let mut state = State::default();
        state.0.insert("P".into(), self.projector.clone());
        state.put("started", &[f64::from(u8::from(self.started))])?;
        Ok(state)
    }
    fn load(&mut self, state: &State) -> Result<()> {
        self.projector = state.tensor("P")?.clone();
        self.started = state.number("started")? != 0.;
        Ok(())
    }
}
