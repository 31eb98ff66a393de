//! IPRM, instantaneous probe and rebalance (IJCAI 2025): features are mixed on the sphere with weights that favour the
//! modality whose prediction the mixture neglects less.
//!
//! ```text
//! mix(l) = sum over both of sin(l_m t) / sin t  phi_m / |phi_m|,   t: the angle between them
//! probe, without gradient:  l_m = 1/2 at first, else alpha l_m + (1 - alpha) w_m of the step before
//!   K_m = batch mean of KL(softmax h_m || softmax head(mix(l)));   w_m = the other's K / (K_a + K_v)
//! L = CE(head(mix(w))) + CE(h_a) + CE(h_v),  w constant, gradient through features and t
//! evaluation: h_a + h_v + head(mix(l)) with the l of the last step
//! ```
//! Equal and opposite features are mixed as if their cosine were 1e-6 from 1 or -1; a modality that a sample lacks is
//! left out of the sum in evaluation.

use aim_config::{between, settings};
use aim_core::{
    Batch, Error, GradFn, Grads, Idle, Infer, Net, NetSpec, Norm, Output, Pass, Report, Result, State, Stateful, Step,
    capability,
};
use candle_core::{D, Tensor};

use crate::{
    Built, MethodInfo, MethodSettings, Provenance, Quantity, Requirements, Unimodal,
    ensemble::unimodal_losses,
    joint::cross_entropy,
    util::{divergence, number, unit_rows},
};

/// Cosines are kept this far from 1 and -1, where the angle has no derivative.
const MARGIN: f32 = 1e-6;

/// Card of [`Iprm`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "iprm",
    title: "IPRM",
    idea: "mix two features on the sphere, with weights for the modality that the mixture neglects less",
    paper: "IJCAI 2025, by its released code",
    cost: "1 forward and 1 backward pass; the head on the mixture twice",
    departs: &[
        "Everything is read from released code, because the paper was not readable.",
        "Cosines stay 1e-6 away from 1 and -1, because the released angle has no derivative there; equal divergences \
        of 0 give both weights of a half.",
        "Three modalities are not offered: the released forms for them differ, and one reads the third modality by the \
        second's head.",
        "A modality that a sample lacks adds no logits of its own in evaluation, which released code leaves open.",
    ],
    requires: Requirements {
        modalities: (2, 2),
        unimodal: Unimodal::Trained,
        capabilities: &[capability::UNI_HEADS, capability::COMMON_HEAD],
        ..Requirements::NONE
    },
    provenance: Provenance::Faithful,
    reports: &[
        Quantity::modality("lambda", "", "weight in the probe's mixture"),
        Quantity::modality("kl", "", "divergence of its prediction from the probe's"),
        Quantity::modality("weight", "", "weight in the mixture that learns"),
    ],
    revision: 1,
};

settings! {
    /// Settings of `iprm`.
    pub struct Iprm {
        /// Share of the old weights in the probe.
        pub alpha: f64 = 0.8 => between(0., 1.), "released code (README)";
    }
}

impl MethodSettings for Iprm {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn compares_features(&self) -> Option<(&'static str, &'static str)> {
        Some(("name", "use another method"))
    }
    fn build(&self, net: &NetSpec) -> Result<Built> {
        Ok(Built::grads(Probing { settings: self.clone(), names: net.modalities.clone(), last: None }))
    }
}

struct Probing {
    settings: Iprm,
    names: Vec<String>,
    /// The weights l and w of the step before.
    last: Option<([f64; 2], [f64; 2])>,
}

/// Features of two modalities of one width.
fn pair(features: &[Tensor]) -> Result<[&Tensor; 2]> {
    match features {
        [a, b] if a.dims() == b.dims() => Ok([a, b]),
        _ => Err(Error::invalid("model.encoders", "give no two features of one width", "set the widths of both alike")),
    }
}

/// The mixture on the sphere, `[B, width]`.
fn mixed(features: &[Tensor], weights: [f64; 2]) -> Result<Tensor> {
    let [a, b] = pair(features)?.map(unit_rows);
    let (a, b) = (a?, b?);
    let angle = angle(&(&a * &b)?.sum_keepdim(D::Minus1)?)?;
    let sine = (angle.sin()? + 1e-8)?;
    let part = |x: &Tensor, weight: f64| x.broadcast_mul(&((&angle * weight)?.sin()? / &sine)?);
    Ok((part(&a, weights[0])? + part(&b, weights[1])?)?)
}

/// The angle of a cosine, with its derivative.
fn angle(cosine: &Tensor) -> Result<Tensor> {
    let end = f64::from(1. - MARGIN);
    let cosine = cosine.clamp(-end, end)?;
    let now = cosine.flatten_all()?.to_vec1::<f32>()?;
    let of = |f: fn(f64) -> f64| -> Result<Tensor> {
        let values: Vec<f32> = now.iter().map(|c| f(f64::from(*c)) as f32).collect();
        Ok(Tensor::from_vec(values, cosine.dims(), cosine.device())?)
    };
    let slope = of(|c| -1. / (1. - c * c).sqrt())?;
    Ok((of(f64::acos)? + ((&cosine - cosine.detach())? * slope)?)?)
}

/// Logits of the head on one feature in place of all.
fn read(net: &dyn Net, feature: &Tensor, pass: &mut Pass<'_>) -> Result<Tensor> {
    Ok(net.fuse(vec![feature.clone(); net.modalities()], None, pass)?.logits)
}

/// Each one's share of the other's.
fn exchanged([a, b]: [f64; 2]) -> [f64; 2] {
    if a + b > 0. { [b / (a + b), a / (a + b)] } else { [0.5; 2] }
}

impl Probing {
    /// Weights of the probe in the next step.
    fn lambda(&self) -> [f64; 2] {
        let alpha = self.settings.alpha;
        let next = |(l, w): ([f64; 2], [f64; 2])| [0, 1].map(|m| alpha * l[m] + (1. - alpha) * w[m]);
        self.last.map_or([0.5; 2], next)
    }
}

impl Idle for Probing {}

impl GradFn for Probing {
    fn grads(&mut self, cx: &mut Step<'_>) -> Result<(Grads, Report)> {
        let (mut report, lambda) = (Report::default(), self.lambda());
        let out = cx.forward()?;
        let pass = || Pass::train(cx.draws()).norm(Norm::Batch);
        let constant: Vec<Tensor> = out.features.iter().map(Tensor::detach).collect();
        let probe = read(cx.net, &mixed(&constant, lambda)?, &mut pass())?.detach();
        let mut kl = [0.; 2];
        for (kl, logits) in kl.iter_mut().zip(&out.unimodal) {
            *kl = number(&divergence(&aim_ops::softmax(&logits.detach())?, &probe)?)?;
        }
        let weights = exchanged(kl);
        for (m, name) in self.names.iter().enumerate() {
            report.scalar(format!("lambda.{name}"), lambda[m])?;
            report.scalar(format!("kl.{name}"), kl[m])?;
            report.scalar(format!("weight.{name}"), weights[m])?;
        }
        self.last = Some((lambda, weights));
        let logits = read(cx.net, &mixed(&out.features, weights)?, &mut pass())?;
        report.note("logits", &logits);
        let fused = cross_entropy(&logits, cx.batch)?;
        report.note("loss.fused", &fused);
        let loss = (fused + unimodal_losses(cx, &out.unimodal, &mut report)?)?;
        report.note("loss", &loss);
        Ok((Grads::of(&loss, cx.net.params())?, report))
    }
}

impl Infer for Probing {
    fn infer(&self, net: &dyn Net, batch: &Batch) -> Result<Output> {
        let out = net.forward(batch, &mut Pass::eval())?;
        let lambda = self.last.map_or([0.5; 2], |(lambda, _)| lambda);
        let mut logits = read(net, &mixed(&out.features, lambda)?, &mut Pass::eval())?;
        for (m, own) in out.unimodal.iter().enumerate() {
            let own = match &batch.present {
                Some(present) => own.broadcast_mul(&present.narrow(1, m, 1)?.to_dtype(own.dtype())?)?,
                None => own.clone(),
            };
            logits = (logits + own)?;
        }
        Ok(Output { logits, ..out })
    }
}

impl Stateful for Probing {
    fn state(&self) -> Result<State> {
        let mut state = State::default();
        if let Some((lambda, weights)) = self.last {
            state.put("lambda", &lambda)?;
            state.put("weight", &weights)?;
        }
        Ok(state)
    }
    fn load(&mut self, state: &State) -> Result<()> {
        let two = |key: &str| {
            let numbers = state.numbers(key)?;
            <[f64; 2]>::try_from(numbers).map_err(|n| Error::shape(format!("state `{key}`"), &[n.len()], "two numbers"))
        };
        self.last = if state.0.contains_key("lambda") { Some((two("lambda")?, two("weight")?)) } else { None };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn mixtures_by_hand() {
        let of = |values: [f32; 2]| Tensor::new(&[values], &Device::Cpu).unwrap();
        let mix = |a, b, l| mixed(&[of(a), of(b)], [l, 1. - l]).unwrap().to_vec2::<f32>().unwrap()[0].clone();
        let near = |found: Vec<f32>, wanted: [f64; 2]| {
            let off = found.iter().zip(wanted).map(|(a, b)| (f64::from(*a) - b).abs()).fold(0., f64::max);
            assert!(off < 1e-3, "{found:?} and not {wanted:?}");
        };
        // A third of the right angle towards the second feature.
        near(mix([3., 0.], [0., 2.], 2. / 3.), [60f64.to_radians().sin(), 30f64.to_radians().sin()]);
        near(mix([3., 0.], [2., 0.], 0.3), [1., 0.]);
        assert!(mix([3., 0.], [-2., 0.], 0.3).iter().chain(&mix([0., 0.], [0., 0.], 0.5)).all(|x| x.is_finite()));
    }

    #[test]
    fn the_less_neglected_gains_the_larger_weight() {
        assert_eq!(exchanged([3., 1.]), [0.25, 0.75]);
        assert_eq!(exchanged([0., 0.]), [0.5, 0.5]);
    }
}
