//! MLA: alternating unimodal adaptation through one shared head (Zhang et al., CVPR 2024, arXiv 2311.10707).
//!
//! ```text
//! f_u = encoder u's features, all before any update;   for u in order:
//!   L_u = CE(head(f_u)) with the head as it is now; gradient of encoder u and the head
//!   gradient of the head's weight <- gradient P^T;      one optimizer step
//!   r = batch mean of f_u, k = P r, P <- P - k k^T / (alpha + r k), alpha = 0.1^(batch / batches + 1);  P = I at first
//! evaluation: sum over u of lambda_u head(f_u),  lambda = softmax over modalities of minus the entropy, a sample
//! ```
//! `projection: previous` projects before f_u enters P, as the paper intends (out of the span of the other modalities);
//! `current` updates P first, as the official code is written. There the projection never takes place, because the name
//! it looks for does not exist, and entropies run over the batch, so that each modality has one weight in a batch
//! (`compat: true`). `fusion_weights` are the same for all samples. Missing modalities: a sample without u takes no
//! part in step u nor, in evaluation, u in its fusion. `skip_first` leaves the run's first sub-step alone.

mod fusion;
mod settings;

use aim_core::{Batch, Grads, Idle, Infer, Method, Net, Output, Part, Pass, Report, Result, State, Stateful, Step};
use candle_core::{DType, Tensor};

use self::fusion::Weighting;
pub use self::settings::{ABOUT, Mla, Projection};
use crate::util::{number, sample_losses, weighted_sum};

struct Alternating {
    settings: Mla,
    order: Vec<usize>,
    weighting: Weighting,
    projector: Tensor,
    started: bool,
}

impl Idle for Alternating {}

impl Method for Alternating {
    fn step(&mut self, cx: &mut Step<'_>) -> Result<Report> {
        let (mut report, net) = (Report::default(), cx.net);
        let out = cx.forward()?;
        self.projector = self.projector.to_device(out.logits.device())?;
        let weights = self.weighting.weights(&out.unimodal, cx.batch.present.as_ref())?;
        report.note("logits", &weighted_sum(&out.unimodal, &weights)?);
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

impl Infer for Alternating {
    fn infer(&self, net: &dyn Net, batch: &Batch) -> Result<Output> {
        let out = net.forward(batch, &mut Pass::eval())?;
        let weights = self.weighting.weights(&out.unimodal, batch.present.as_ref())?;
        Ok(Output { logits: weighted_sum(&out.unimodal, &weights)?, ..out })
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
