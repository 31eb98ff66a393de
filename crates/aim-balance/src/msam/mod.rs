//! M-SAM, Modality-Aware SAM (Nowdeh et al., NeurIPS 2025, arXiv 2510.24919): a flat gradient for the dominant
//! modality's share of the loss, the plain one for the rest.
//!
//! ```text
//! V(S)  = probability of the true class with only the features of S (the others zero), or 1 where it is predicted;
//!         V(none) is a setting
//! phi_m = Shapley value of V, clamped at 0, plus 1e-8;   v_m = phi_m / sum phi;   d = argmax v_m
//! L_d = v_d l,  L_s = (1 - v_d) l                        per-sample: v of each sample inside the mean
//! g   = grad L_d(theta + rho grad L_d / |grad L_d|) + grad L_s(theta)        perturbation sign: rho sign(grad L_d)
//! ```
//! `literal` takes v of the batch and perturbs everything, so that the method mixes SAM and SGD; `per_sample` and
//! `dominant_encoder` (perturbs that modality's encoder alone) make the modality's identity matter. Only digests of the
//! paper were available: the value function and rho (0.05) are ours.

mod settings;

use aim_core::{
    Error, GradFn, Grads, Idle, Net, Norm, Output, Params, Pass, Plain, Report, Result, State, Stateful, Step,
};
use candle_core::{D, DType, Tensor};

pub use self::settings::{ABOUT, MSam, Perturbation, Value, Variant};
use crate::util::{Still, ascent, members, number, sample_losses, set_name, shapley, true_probability, weighted_mean};

struct Aware {
    settings: MSam,
    /// The dominant modality and its share at the last measurement, where it holds for several steps.
    measured: Option<(usize, f64)>,
}

impl Idle for Aware {}
impl Plain for Aware {}

impl GradFn for Aware {
    fn grads(&mut self, cx: &mut Step<'_>) -> Result<(Grads, Report)> {
        let mut report = Report::default();
        let (out, params) = (cx.forward()?, cx.net.params());
        report.note("logits", &out.logits);
        for (name, logits) in cx.net.spec().modalities.iter().zip(&out.unimodal) {
            report.note(format!("unimodal.{name}"), logits);
        }
        let losses = sample_losses(&out.logits, cx.batch)?;
        report.note("loss", &losses.mean_all()?);
        let (dominant, share) = self.shares(cx, &out, &mut report)?;
        let loss = weighted_mean(&losses, &share)?;
        let rest = weighted_mean(&losses, &(1. - &share)?)?;
        report.note("loss.dominant", &loss);
        report.note("loss.rest", &rest);
        let whole = self.settings.variant != Variant::DominantEncoder;
        let raw = Grads::of(&loss, params)?.filter(params, |role| whole || role.encoder() == Some(dominant));
        report.scalar("perturbed_norm", raw.norm()?)?;
        if self.settings.rho == 0. {
            report.note("loss.dominant_perturbed", &loss);
            return Ok((Grads::of(&losses.mean_all()?, params)?, report));
        }
        let (mut grads, perturbed) = cx.nudged(&self.settings.perturbation(raw, params)?, |cx| {
            let net: &dyn Net = &Still(cx.net);
            let out = net.forward(cx.batch, &mut Pass::train(cx.draws()))?;
            let loss = weighted_mean(&sample_losses(&out.logits, cx.batch)?, &share)?;
            Ok((Grads::of(&loss, params)?, loss))
        })?;
        report.note("loss.dominant_perturbed", &perturbed);
        grads.add_scaled(&Grads::of(&rest, params)?, 1.)?;
        Ok((grads, report))
    }
}

impl Aware {
    /// The dominant modality and its share, `[B]`, measured now or at one of the steps before.
    fn shares(&mut self, cx: &Step<'_>, out: &Output, report: &mut Report) -> Result<(usize, Tensor)> {
        let every = self.settings.every;
        if let Some((dominant, share)) = self.measured.filter(|_| !cx.clock.step.is_multiple_of(every)) {
            let share = Tensor::full(share as f32, cx.batch.len(), out.logits.device())?;
            return Ok((dominant, share));
        }
        let (dominant, share) = self.settings.dominant(cx, out, report)?;
        if every > 1 {
            self.measured = Some((dominant, number(&share.get(0)?)?));
        }
        Ok((dominant, share))
    }
}

impl MSam {
    fn perturbation(&self, mut grads: Grads, params: &Params) -> Result<Grads> {
        if self.perturbation == Perturbation::L2 {
            return ascent(&grads, self.rho);
        }
        grads.map(params, |_, _, grad| Ok(Some((grad.sign()? * self.rho)?)))?;
        Ok(grads)
    }

    /// The dominant modality and its share, `[B]`.
    fn dominant(&self, cx: &Step<'_>, out: &Output, report: &mut Report) -> Result<(usize, Tensor)> {
        let values = self.values(cx, out, report)?;
        let positive = |phi: Tensor| Ok((phi.relu()? + 1e-8)?);
        let phi: Vec<Tensor> = shapley(&values)?.into_iter().map(positive).collect::<Result<_>>()?;
        let total = Tensor::stack(&phi, 0)?.sum(0)?;
        let shares: Vec<Tensor> = phi.iter().map(|phi| phi / &total).collect::<candle_core::Result<_>>()?;
        let means = shares.iter().map(|share| number(&share.mean_all()?)).collect::<Result<Vec<_>>>()?;
        for (name, share) in cx.net.spec().modalities.iter().zip(&shares) {
            report.note(format!("share.{name}"), share);
        }
        let larger = |best: usize, m: usize| if means[m] > means[best] { m } else { best };
        let dominant = (1..means.len()).fold(0, larger);
        report.note("dominant", &Tensor::new(dominant as i64, total.device())?);
        Ok((dominant, shares[dominant].broadcast_as(cx.batch.len())?.contiguous()?))
    }

    /// Value of each set of modalities: of the batch, or of each sample.
    fn values(&self, cx: &Step<'_>, out: &Output, report: &mut Report) -> Result<Vec<Tensor>> {
        let spec = cx.net.spec();
        let features: Vec<Tensor> = out.features.iter().map(Tensor::detach).collect();
        let one = |s: usize| {
            let set = members(s, spec.modalities.len());
            let mut pass = Pass::train(cx.draws()).norm(Norm::Batch).subset(&set);
            let logits = cx.net.fuse(features.clone(), cx.batch.present.as_ref(), &mut pass)?.logits;
            let mut value = self.value.of(&logits.detach(), &cx.batch.labels)?;
            if s == 0 {
                let empty = self.empty_value.unwrap_or(1. / spec.classes as f64);
                value = value.affine(0., empty)?;
            }
            let value = if self.variant == Variant::PerSample { value } else { value.mean_all()? };
            report.note(format!("value.{}", set_name(s, &spec.modalities)), &value);
            Ok(value)
        };
        (0..1 << spec.modalities.len()).map(one).collect()
    }
}

impl Value {
    /// The value of each sample's logits.
    fn of(self, logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
        match self {
            Self::Probability => true_probability(logits, labels),
            Self::Accuracy => Ok(logits.argmax(D::Minus1)?.eq(labels)?.to_dtype(DType::F32)?),
        }
    }
}

impl Stateful for Aware {
    fn state(&self) -> Result<State> {
        let mut state = State::default();
        if let Some((dominant, share)) = self.measured {
            state.put("dominant", &[dominant as f64])?;
            state.put("share", &[share])?;
        }
        Ok(state)
    }
    fn load(&mut self, state: &State) -> Result<()> {
        let measured = || Ok::<_, Error>((state.number("dominant")? as usize, state.number("share")?));
        self.measured = state.0.contains_key("dominant").then(measured).transpose()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aim_core::{Kind, Part, Role};
    use candle_core::Device;

    #[test]
    fn values_by_hand() {
        // The first class has 3/4 for the first sample and 1/4 for the second; it is the first one's alone.
        let logits = Tensor::new(&[[3f32.ln(), 0.], [0., 3f32.ln()]], &Device::Cpu).unwrap();
        let labels = Tensor::new(&[0u32, 0], &Device::Cpu).unwrap();
        let of = |value: Value| value.of(&logits, &labels).unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(of(Value::Accuracy), [1., 0.]);
        assert!(of(Value::Probability).iter().zip([0.75, 0.25]).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-6));
    }

    #[test]
    fn perturbations_by_hand() {
        let mut params = Params::default();
        let role = Role { part: Part::Fusion, kind: Kind::Linear };
        let w = params.add("w", role, &Tensor::new(&[3f32, 0., -4.], &Device::Cpu).unwrap()).unwrap().var;
        let grads = Grads::of(&(w.sqr().unwrap().sum_all().unwrap() / 2.).unwrap(), &params).unwrap();
        let found = |perturbation| {
            let msam = MSam { rho: 0.5, perturbation, ..MSam::default() };
            let shift = msam.perturbation(grads.clone(), &params).unwrap();
            shift.get("w").unwrap().to_vec1::<f32>().unwrap()
        };
        assert_eq!(found(Perturbation::Sign), [0.5, 0., -0.5]);
        assert!(found(Perturbation::L2).iter().zip([0.3, 0., -0.4]).all(|(a, b): (&f32, f32)| (a - b).abs() < 1e-6));
    }
}
