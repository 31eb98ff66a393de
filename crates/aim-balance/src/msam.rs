//! M-SAM, Modality-Aware SAM (Nowdeh et al., NeurIPS 2025, arXiv 2510.24919): a flat gradient for the dominant modality's
//! share of the loss, the plain one for the rest.
//!
//! ```text
//! V(S)  = probability of the true class with only the features of S (the others zero); V(none) is a setting
//! phi_m = Shapley value of V, clamped at 0, plus 1e-8;   v_m = phi_m / sum phi;   d = argmax v_m
//! L_d = v_d l,  L_s = (1 - v_d) l                        per-sample: v of each sample inside the mean
//! g   = grad L_d(theta + rho grad L_d / |grad L_d|) + grad L_s(theta)        perturbation sign: rho sign(grad L_d)
//! ```
//! `literal` takes v of the batch and perturbs everything, so that the method mixes SAM and SGD; `per_sample` and
//! `dominant_encoder` (perturbs that modality's encoder alone) make the modality's identity matter. Only digests of the paper
//! were available: the value function and rho (0.05) are ours.

use aim_core::{GradFn, Grads, Idle, Net, NetSpec, Norm, Output, Params, Pass, Plain, Report, Result, Stateless, Step};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::card::{About, Needs, Setting, Settings, within};
use crate::stack::Built;
use crate::util::{Still, ascent, members, number, sample_losses, set_name, shapley, true_probability, weighted_mean};

/// Card of [`MSam`].
pub static ABOUT: About = About {
    name: "msam",
    title: "M-SAM",
    idea: "SAM for the dominant modality's share of the loss, the plain gradient for the rest",
    paper: "Nowdeh et al., NeurIPS 2025 (arXiv 2510.24919); value function and rho ours",
    cost: "2 forward and 3 backward passes; 2^M passes of the fusion without gradient",
    departs: &[
        "The value function (probability of the true class, absent features at zero), its clamping and rho are ours, \
        because only digests of the paper were readable.",
        "The perturbation has the gradient's direction, as SAM's has; one digest prints the gradient's sign \
        (`perturbation: sign`).",
        "`per_sample` and `dominant_encoder` are ours: literally taken, the method mixes SAM and the plain gradient \
        whichever modality is dominant. The dominant one is that of the whole batch in either.",
    ],
    settings: &[
        Setting::new("rho", "0.05", "0 to 100", "radius; 0 is joint training", "ours"),
        Setting::new(
            "variant",
            "literal",
            "literal | per_sample | dominant_encoder",
            "shares of the batch | of each sample | of the batch, perturbing the dominant encoder alone",
            "third party (digests of the paper)",
        ),
        Setting::new(
            "perturbation",
            "l2",
            "l2 | sign",
            "gradient of length rho | rho times its signs",
            "third party (digests)",
        ),
        Setting::new("empty_value", "1 / classes", "0 to 1", "value of no modality", "ours"),
    ],
    needs: Needs::NONE,
};

/// How shares enter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// Shares of the batch.
    Literal,
    /// Shares of each sample.
    PerSample,
    /// Shares of the batch; only the dominant encoder is perturbed.
    DominantEncoder,
}

/// Which neighbour is ascended to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Perturbation {
    /// Along the gradient.
    L2,
    /// Along the signs of the gradient.
    Sign,
}

/// Settings of `msam`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MSam {
    /// Radius.
    pub rho: f64,
    /// How shares enter.
    pub variant: Variant,
    /// Which neighbour is ascended to.
    pub perturbation: Perturbation,
    /// Value of no modality; 1 / classes by default.
    pub empty_value: Option<f64>,
}

impl Default for MSam {
    fn default() -> Self {
        Self { rho: 0.05, variant: Variant::Literal, perturbation: Perturbation::L2, empty_value: None }
    }
}

impl Settings for MSam {
    fn check(&self) -> Result<()> {
        within("rho", self.rho, 0., 100.)?;
        within("empty_value", self.empty_value.unwrap_or(0.), 0., 1.)
    }
    fn build(self, _: &NetSpec) -> Result<Built> {
        Ok(Built::grads(self))
    }
}

impl Stateless for MSam {}
impl Idle for MSam {}
impl Plain for MSam {}

impl GradFn for MSam {
    fn grads(&mut self, cx: &mut Step<'_>) -> Result<(Grads, Report)> {
        let mut report = Report::default();
        let (out, params) = (cx.forward()?, cx.net.params());
        report.note("logits", &out.logits);
        for (name, logits) in cx.net.spec().modalities.iter().zip(&out.unimodal) {
            report.note(format!("unimodal.{name}"), logits);
        }
        let losses = sample_losses(&out.logits, cx.batch)?;
        report.note("loss", &losses.mean_all()?);
        let (dominant, share) = self.dominant(cx, &out, &mut report)?;
        let loss = weighted_mean(&losses, &share)?;
        let rest = weighted_mean(&losses, &(1. - &share)?)?;
        report.note("loss.dominant", &loss);
        report.note("loss.rest", &rest);
        let whole = self.variant != Variant::DominantEncoder;
        let raw = Grads::of(&loss, params)?.filter(params, |role| whole || role.encoder() == Some(dominant));
        report.scalar("perturbed_norm", raw.norm()?)?;
        if self.rho == 0. {
            report.note("loss.dominant_perturbed", &loss);
            return Ok((Grads::of(&losses.mean_all()?, params)?, report));
        }
        let (mut grads, perturbed) = cx.nudged(&self.perturbation(raw, params)?, |cx| {
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
            let mut value = true_probability(&logits.detach(), &cx.batch.labels)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use aim_core::{Kind, Part, Role};
    use candle_core::Device;

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
