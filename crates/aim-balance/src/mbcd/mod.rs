//! MBCD: Modality-Balanced Collaborative Distillation (Wang et al., AAAI 2026, arXiv 2511.20258), first order.
//!
//! ```text
//! z_k = LayerNorm(encoder k);   s_k = sum over the batch of the largest probability of modality k's own head
//! r_k = mean over j != k of s_k / s_j;   modality k is left out of the fusion with chance p_k = tanh(max(r_k - 1, 0))
//! theta'_k = theta_k - alpha grad CE_k                                         inner step of each encoder
//! L = CE(fused at theta') + lambda KL(p_ema || fused at theta') + sum of CE_k + lambda KL(p_ema || p_k)
//! after the update: ema <- beta ema + (1 - beta) theta        encoders, fusion and fused head
//! ```
//! The gradient of the fused terms is taken at theta' and applied to theta (first order); the exact form needs second
//! derivatives. The teacher p_ema sees every modality and answers in evaluation, which the paper implies. The LayerNorm
//! is the network's (`model.feature_norm`) or has no weights. No code was public: alpha, beta and lambda are ours.
//! Masks are drawn for the batch or for each sample.

mod settings;

use std::sync::Arc;

use aim_core::{
    Batch, Grads, Idle, Infer, Method, Net, Norm, Output, Part, Pass, Report, Result, Role, State, Stateful, Step,
    View, capability,
};
use candle_core::{D, DType, Tensor};

pub use self::settings::{ABOUT, Mask, Mbcd};
use crate::{
    joint::cross_entropy,
    ogm::ratios,
    util::{Still, divergence, number},
};

struct Collaborative {
    settings: Mbcd,
    /// Averaged weights of encoders, fusion and fused head; none before the first step.
    teacher: View,
}

impl Idle for Collaborative {}

/// Normalised features of every modality.
fn features(net: &dyn Net, batch: &Batch, pass: &mut Pass<'_>) -> Result<Vec<Tensor>> {
    let one = |z: Tensor| {
        if net.spec().capabilities.has(capability::NORMALISED) {
            return Ok(z);
        }
        let ones = Tensor::ones(z.dim(1)?, z.dtype(), z.device())?;
        Ok(aim_ops::layer_norm(&z, &ones, &ones.zeros_like()?, 1e-5)?)
    };
    net.features(batch, pass)?.into_iter().map(one).collect()
}

fn output(net: &dyn Net, batch: &Batch, pass: &mut Pass<'_>) -> Result<Output> {
    let features = features(net, batch, pass)?;
    net.fuse(features, batch.present.as_ref(), pass)
}

impl Method for Collaborative {
    fn step(&mut self, cx: &mut Step<'_>) -> Result<Report> {
        if self.teacher.is_empty() {
            self.teacher = averaged(cx.net).map(|(k, t)| Ok((k, t.copy()?))).collect::<Result<_>>()?;
        }
        let warm = cx.clock.step >= self.settings.warmup;
        let lambda = if warm { self.settings.lambda } else { 0. };
        let (mut report, params) = (Report::default(), cx.net.params());
        // Running statistics of norm layers are the learner's, not the teacher's.
        let mut pass = Pass::eval().norm(Norm::Batch).view(&self.teacher);
        let taught = aim_ops::softmax(&output(cx.net, cx.batch, &mut pass)?.logits.detach())?;
        report.note("teacher_prob", &taught);
        let out = output(cx.net, cx.batch, &mut Pass::train(cx.draws()))?;
        let masks = self.masks(cx, &out, &mut report)?;
        let (mut grads, mut shift) = (Grads::default(), Grads::default());
        let mut total = taught.sum_all()?.affine(0., 0.)?;
        for (m, name) in cx.net.spec().modalities.iter().enumerate() {
            report.note(format!("unimodal.{name}"), &out.unimodal[m]);
            let (ce, kl) = (cross_entropy(&out.unimodal[m], cx.batch)?, divergence(&taught, &out.unimodal[m])?);
            report.note(format!("loss.{name}"), &ce);
            report.note(format!("loss.kl.{name}"), &kl);
            let inner = Grads::of(&ce, params)?.filter(params, |role| role.encoder() == Some(m));
            shift.add_scaled(&inner, -self.settings.alpha)?;
            let loss = (ce + (kl * lambda)?)?;
            grads.add_scaled(&Grads::of(&loss, params)?, 1.)?;
            total = (total + loss.detach())?;
        }
        let (fused, loss) = cx.nudged(&shift, |cx| fused_grads(cx, &taught, &masks, lambda, &mut report))?;
        grads.add_scaled(&fused, 1.)?;
        report.note("loss", &(total + loss)?);
        cx.descend(&grads)?;
        self.average(cx.net, if warm { self.settings.beta } else { 0. })?;
        Ok(report)
    }
}

/// Gradient and value of the fused terms at the weights of the inner step.
fn fused_grads(
    cx: &mut Step<'_>,
    taught: &Tensor,
    masks: &[Tensor],
    lambda: f64,
    report: &mut Report,
) -> Result<(Grads, Tensor)> {
    let net: &dyn Net = &Still(cx.net);
    let mut pass = Pass::train(cx.draws());
    let kept = |(z, mask): (Tensor, &Tensor)| Ok(z.broadcast_mul(&mask.unsqueeze(1)?)?);
    let features = features(net, cx.batch, &mut pass)?.into_iter().zip(masks).map(kept).collect::<Result<_>>()?;
    let logits = net.fuse(features, cx.batch.present.as_ref(), &mut pass)?.logits;
    let (ce, kl) = (cross_entropy(&logits, cx.batch)?, divergence(taught, &logits)?);
    report.note("logits", &logits);
    report.note("loss.fused", &ce);
    report.note("loss.kl_fused", &kl);
    let loss = (ce + (kl * lambda)?)?;
    Ok((Grads::of(&loss, net.params())?, loss.detach()))
}

/// What the teacher averages.
fn averaged(net: &dyn Net) -> impl Iterator<Item = (Arc<str>, Tensor)> {
    let taught = |role: Role| !matches!(role.part, Part::UniHead { .. });
    let params = net.params().iter().filter(move |(_, p)| taught(p.role));
    params.map(|(k, p)| (k.clone(), p.var.as_detached_tensor()))
}

impl Collaborative {
    /// 1 where a modality stays in the fusion, `[B]` or `[1]` each.
    fn masks(&self, cx: &Step<'_>, out: &Output, report: &mut Report) -> Result<Vec<Tensor>> {
        let confidence = |logits: &Tensor| number(&aim_ops::softmax(&logits.detach())?.max(D::Minus1)?.sum_all()?);
        let confidence = out.unimodal.iter().map(confidence).collect::<Result<Vec<_>>>()?;
        let ratios = ratios(&confidence);
        let mut masks = Vec::new();
        for (m, name) in cx.net.spec().modalities.iter().enumerate() {
            let p = (ratios[m] - 1.).max(0.).tanh();
            report.scalar(format!("confidence.{name}"), confidence[m])?;
            report.scalar(format!("ratio.{name}"), ratios[m])?;
            report.scalar(format!("drop_p.{name}"), p)?;
            let draws = if self.settings.mask == Mask::PerBatch { 1 } else { cx.batch.len() };
            let mut rng = cx.draws().rng(&format!("mbcd.{m}"));
            let drawn: Vec<f32> = (0..draws).map(|_| f32::from(u8::from(rng.uniform() >= p))).collect();
            masks.push(match cx.given(&format!("keep.{name}")) {
                Some(given) => given.to_dtype(DType::F32)?,
                None => Tensor::new(drawn, out.logits.device())?,
            });
        }
        Ok(masks)
    }

    fn average(&mut self, net: &dyn Net, beta: f64) -> Result<()> {
        for (name, now) in averaged(net) {
            if let Some(old) = self.teacher.get_mut(&name) {
                *old = ((&*old * beta)? + (now * (1. - beta))?)?;
            }
        }
        Ok(())
    }
}

impl Infer for Collaborative {
    fn infer(&self, net: &dyn Net, batch: &Batch) -> Result<Output> {
        output(net, batch, &mut Pass::eval().view(&self.teacher))
    }
}

impl Stateful for Collaborative {
    fn state(&self) -> Result<State> {
        Ok(State(self.teacher.iter().map(|(k, t)| (format!("ema.{k}"), t.clone())).collect()))
    }
    fn load(&mut self, state: &State) -> Result<()> {
        self.teacher = state.part("ema").0.into_iter().map(|(k, t)| (k.into(), t)).collect();
        Ok(())
    }
}
