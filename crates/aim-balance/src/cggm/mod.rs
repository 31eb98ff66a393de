//! CGGM, classifier-guided gradient modulation (Guo et al., NeurIPS 2024, arXiv 2411.01409): classifiers on each
//! encoder's features watch how fast it improves, and steer size and direction of the gradients.
//!
//! ```text
//! v_m = cls_m(stop(phi_m));   e_m = accuracy of v_m in the batch;   g_m = e_m - that in the batch before (0 at first)
//! D   = sum over m of g_m + 1e-8;   c_m = (D - g_m) / D
//! L   = CE(z) + lambda mean over m of (|c_m| - c_m cos_m);   classifiers: CE(v_m) at a rate of their own
//! gradients of encoder m *= rho c_m;   all but the classifiers' are clipped to one norm
//! ```
//! `direction: gradient`: cos_m is that of the gradients of CE(z) and CE(v_m) at the last layers, m's part of the head
//! and the classifier; features, c and the classifier are constants there, so that the term trains fusion and head.
//! `direction: weight`, as released: cos_m is that of the weights themselves, and the term is that of the step before,
//! with its coefficients and weights.

mod direction;
mod settings;

use aim_core::{
    Batch, Factors, GradFn, Grads, Idle, Norm, Output, Part, Pass, Plain, Report, Result, Role, State, Stateful, Step,
};
use candle_core::{D, DType, Tensor};

use self::direction::Pending;
pub use self::settings::{ABOUT, Cggm, Direction};
use crate::{
    joint::cross_entropy,
    util::{clip, number},
};

struct Guided {
    settings: Cggm,
    names: Vec<String>,
    /// Accuracy of each classifier in the batch before.
    accuracy: Vec<f64>,
    /// The term of the step before.
    pending: Option<Pending>,
}

impl Idle for Guided {}
impl Plain for Guided {}

impl GradFn for Guided {
    fn grads(&mut self, cx: &mut Step<'_>) -> Result<(Grads, Report)> {
        let mut report = Report::default();
        let out = cx.forward()?;
        let loss = cross_entropy(&out.logits, cx.batch)?;
        report.note("logits", &out.logits);
        report.note("loss.fused", &loss);
        // What heads make of constant features: neither a classifier nor the direction reaches an encoder.
        let constant = out.features.iter().map(Tensor::detach).collect();
        let mut pass = Pass::train(cx.draws()).norm(Norm::Batch);
        let seen = cx.net.fuse(constant, cx.batch.present.as_ref(), &mut pass)?;
        let coefficients = self.coefficients(&seen, cx.batch, &mut report)?;
        let (term, guide) = self.direction(&coefficients, &seen, cx, &mut report)?;
        let lambda = self.settings.lambda;
        let mut total = if lambda == 0. { loss } else { term.map_or(Ok(loss.clone()), |t| loss + (t * lambda)?)? };
        report.note("loss", &total);
        for (name, logits) in self.names.iter().zip(&seen.unimodal) {
            let own = cross_entropy(logits, cx.batch)?;
            report.note(format!("unimodal.{name}"), logits);
            report.note(format!("loss.{name}"), &own);
            total = (total + own)?;
        }
        let mut grads = Grads::of(&total, cx.net.params())?;
        grads.add_scaled(&guide, lambda)?;
        self.modulate(&mut grads, &coefficients, cx, &mut report)?;
        Ok((grads, report))
    }
}

/// Share of the samples with the modality that its classifier gets right; `None` if no sample has it.
fn accuracy(logits: &Tensor, m: usize, batch: &Batch) -> Result<Option<f64>> {
    let right = logits.argmax(D::Minus1)?.eq(&batch.labels)?.to_dtype(DType::F64)?;
    let Some(present) = &batch.present else { return Ok(Some(number(&right.mean_all()?)?)) };
    let present = present.narrow(1, m, 1)?.squeeze(1)?.to_dtype(DType::F64)?;
    let count = number(&present.sum_all()?)?;
    Ok(if count > 0. { Some(number(&(right * present)?.sum_all()?)? / count) } else { None })
}

/// `(D - g) / D` of gains g, D their sum, kept within a bound if there is one.
fn shares(gains: &[f64], bound: Option<f64>) -> Vec<f64> {
    let total = gains.iter().sum::<f64>() + 1e-8;
    let bound = bound.unwrap_or(f64::INFINITY);
    gains.iter().map(|gain| ((total - gain) / total).clamp(-bound, bound)).collect()
}

impl Guided {
    fn coefficients(&mut self, seen: &Output, batch: &Batch, report: &mut Report) -> Result<Vec<f64>> {
        let mut gains = Vec::with_capacity(self.names.len());
        for (m, logits) in seen.unimodal.iter().enumerate() {
            let now = accuracy(logits, m, batch)?.unwrap_or(self.accuracy[m]);
            gains.push(now - self.accuracy[m]);
            self.accuracy[m] = now;
        }
        let coefficients = shares(&gains, self.settings.bound);
        for (m, name) in self.names.iter().enumerate() {
            report.scalar(format!("accuracy.{name}"), self.accuracy[m])?;
            report.scalar(format!("gain.{name}"), gains[m])?;
            report.scalar(format!("coef.{name}"), coefficients[m])?;
        }
        Ok(coefficients)
    }

    /// The term of the loss where it has a gradient of its own, and a gradient that stands for one.
    fn direction(
        &mut self,
        coefficients: &[f64],
        seen: &Output,
        cx: &Step<'_>,
        report: &mut Report,
    ) -> Result<(Option<Tensor>, Grads)> {
        match self.settings.direction {
            Direction::None => Ok((None, Grads::default())),
            Direction::Gradient => {
                let cosines = direction::of_gradients(seen, cx.batch)?;
                self.tell(&cosines, report);
                let term = direction::term(&cosines, coefficients)?;
                report.note("loss.direction", &term);
                Ok((Some(term), Grads::default()))
            }
            Direction::Weight => {
                let (cosines, next) = direction::of_weights(cx.net, coefficients)?;
                self.tell(&cosines, report);
                let before = self.pending.replace(next).unwrap_or_default();
                report.scalar("loss.direction", before.loss)?;
                Ok((None, direction::at_heads(&before.grads, cx.net, cx.batch.labels.device())?))
            }
        }
    }

    fn tell(&self, cosines: &[Tensor], report: &mut Report) {
        self.names.iter().zip(cosines).for_each(|(name, cos)| report.note(format!("cos.{name}"), cos));
    }

    /// Size of the encoders' gradients, clipping, and the classifiers' own learning rate.
    fn modulate(&self, grads: &mut Grads, coefficients: &[f64], cx: &Step<'_>, report: &mut Report) -> Result<()> {
        let (params, settings) = (cx.net.params(), &self.settings);
        if settings.magnitude {
            grads.map(params, |_, role, grad| {
                role.encoder().map(|m| Ok((grad * (settings.rho * coefficients[m]))?)).transpose()
            })?;
        }
        let classifier = |role: Role| matches!(role.part, Part::UniHead { .. });
        let norm = grads.clone().filter(params, |role| !classifier(role)).norm()?;
        let factor = clip(norm, settings.clip_norm);
        report.scalar("grad_norm", norm)?;
        report.scalar("clipped", f64::from(u8::from(factor < 1.)))?;
        if factor < 1. {
            grads.map(params, |_, role, grad| Ok(if classifier(role) { None } else { Some((grad * factor)?) }))?;
        }
        let rate = cx.opt.lr();
        report.scalar("classifier_lr", if rate > 0. { settings.classifier_lr } else { 0. })?;
        // At a rate of 0 nothing moves, whatever the factor.
        let lr = if rate > 0. { settings.classifier_lr / rate } else { 1. };
        grads.adjust(params, |role| classifier(role).then_some(Factors { lr, decay: 1. }));
        Ok(())
    }
}

impl Stateful for Guided {
    fn state(&self) -> Result<State> {
        let mut state = State::default();
        for (name, accuracy) in self.names.iter().zip(&self.accuracy) {
            state.put(format!("accuracy.{name}"), &[*accuracy])?;
        }
        if let Some(pending) = &self.pending {
            state.put("pending.loss", &[pending.loss])?;
            for (name, grad) in self.names.iter().zip(&pending.grads) {
                state.0.insert(format!("pending.grad.{name}"), grad.clone());
            }
        }
        Ok(state)
    }
    fn load(&mut self, state: &State) -> Result<()> {
        let accuracy = |name: &String| state.number(&format!("accuracy.{name}"));
        self.accuracy = self.names.iter().map(accuracy).collect::<Result<_>>()?;
        self.pending = None;
        if state.0.contains_key("pending.loss") {
            let grad = |name: &String| Ok(state.tensor(&format!("pending.grad.{name}"))?.clone());
            let grads = self.names.iter().map(grad).collect::<Result<_>>()?;
            self.pending = Some(Pending { loss: state.number("pending.loss")?, grads });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_by_hand() {
        let near = |found: &[f64], wanted: &[f64]| found.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-6);
        // D is 0.5: 0.4 of it are not the first's gain, 0.6 not the second's.
        assert!(near(&shares(&[0.3, 0.2], None), &[0.4, 0.6]));
        assert_eq!(shares(&[0., 0., 0.], None), [1.; 3]);
        // Gains that cancel leave 1e-8, so that shares have no end; a bound is one.
        assert!(shares(&[0.25, -0.25], None)[1] > 1e7);
        assert_eq!(shares(&[0.25, -0.25], Some(3.)), [-3., 3.]);
    }
}
