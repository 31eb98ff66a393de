//! MASAM, multimodal adaptive sharpness-aware minimization (ICLR 2026): the dominant encoder of each step is perturbed
//! along its fused gradient, less where its unimodal gradient disagrees. Not M-SAM, which is [`crate::msam`].
//!
//! ```text
//! L = CE(z) + unimodal sum over m of CE(h_m);   f_m, u_m: gradients of the first and of m's own term in encoder m
//! A_m <- beta A_m + (1 - beta) L_m (A_m = L_m at first);   decay_m = max(0, L_m of the step before - A_m), 0 at first
//! score_m = alpha decay_m + (1 - alpha) cos(u_m, f_m);   m* = argmax, the first of equals
//! paper: encoder m* moves by rho cos f / |f|; it takes grad CE(z) there and u here, all else grad L here
//! code:  cosines are means over tensors. Each tensor of m* moves along p = f where <u, f> < 0, else <u, f> / |f|^2 f,
//!        in all by rho / |p|, times the cosine of the encoder's last bias if that is positive;
//!        every encoder takes grad L there, all else grad L here
//! ```
//! The second pass sees the same batch and draws and leaves running statistics of norm layers alone.

mod perturb;
mod settings;

use aim_core::{GradFn, Grads, Idle, Net, Output, Pass, Plain, Report, Result, State, Stateful, Step};
use candle_core::Tensor;

pub use self::settings::{ABOUT, Masam, Variant};
use crate::{
    joint::cross_entropy,
    util::{Still, number},
};

/// Losses of a modality that a run remembers.
#[derive(Clone, Copy, Debug)]
struct Course {
    /// Moving average.
    average: f64,
    /// The loss of the step before.
    last: f64,
}

struct Sharp {
    settings: Masam,
    names: Vec<String>,
    /// Nothing before the first step.
    courses: Vec<Course>,
}

impl Idle for Sharp {}
impl Plain for Sharp {}

impl Masam {
    /// The fused loss and each modality's weighted own; none where the weight is 0.
    fn losses(&self, cx: &Step<'_>, out: &Output) -> Result<(Tensor, Vec<Tensor>)> {
        let own = |logits| self.weighted(cross_entropy(logits, cx.batch)?);
        let all = if self.unimodal == 0. { &[][..] } else { &out.unimodal };
        Ok((cross_entropy(&out.logits, cx.batch)?, all.iter().map(own).collect::<Result<_>>()?))
    }

    fn weighted(&self, loss: Tensor) -> Result<Tensor> {
        Ok(if self.unimodal == 1. { loss } else { (loss * self.unimodal)? })
    }
}

/// The sum of the fused loss and the own ones.
fn total(fused: &Tensor, own: &[Tensor]) -> Result<Tensor> {
    own.iter().try_fold(fused.clone(), |sum, loss| Ok((sum + loss)?))
}

impl GradFn for Sharp {
    fn grads(&mut self, cx: &mut Step<'_>) -> Result<(Grads, Report)> {
        let (mut report, params) = (Report::default(), cx.net.params());
        let out = cx.forward()?;
        let (fused, own) = self.settings.losses(cx, &out)?;
        report.note("logits", &out.logits);
        report.note("loss.fused", &fused);
        report.note("loss", &total(&fused, &own)?);
        for (name, logits) in self.names.iter().zip(&out.unimodal) {
            report.note(format!("unimodal.{name}"), logits);
            report.note(format!("loss.{name}"), &cross_entropy(logits, cx.batch)?);
        }
        let of_fused = Grads::of(&fused, params)?;
        let of_own = own.iter().map(|loss| Grads::of(loss, params)).collect::<Result<Vec<_>>>()?;
        let cosines = self.cosines(&of_fused, &of_own, cx.net)?;
        let selected = self.select(&own, &cosines, &mut report)?;
        let Masam { rho, variant, .. } = self.settings;
        let fallback = Grads::default();
        let u = of_own.get(selected).unwrap_or(&fallback);
        let f = of_fused.clone().filter(params, |role| role.encoder() == Some(selected));
        let shift = match variant {
            Variant::Paper => perturb::along(&f, rho * cosines[selected])?,
            Variant::Code => perturb::by_tensor(&f, u, rho, params)?,
        };
        report.scalar("perturbation_norm", shift.norm()?)?;
        if rho == 0. {
            // One backward pass of the sum, so that the bits are those of joint-unimodal.
            report.note("loss.perturbed", &fused);
            return Ok((Grads::of(&total(&fused, &own)?, params)?, report));
        }
        let (there, perturbed) = cx.nudged(&shift, |cx| self.second(cx, &out, selected))?;
        report.note("loss.perturbed", &perturbed);
        let mut grads = of_fused;
        of_own.iter().try_for_each(|own| grads.add_scaled(own, 1.))?;
        for (name, grad) in there.iter() {
            let here = u.get(name).filter(|_| variant == Variant::Paper);
            grads.insert(name.clone(), here.map_or_else(|| Ok(grad.clone()), |u| grad + u)?);
        }
        Ok((grads, report))
    }
}

impl Sharp {
    /// Cosines of each encoder's gradients of its own and of the fused loss.
    fn cosines(&self, fused: &Grads, own: &[Grads], net: &dyn Net) -> Result<Vec<f64>> {
        let params = net.params();
        let one = |m: usize| {
            let Some(own) = own.get(m) else { return Ok(0.) };
            let f = fused.clone().filter(params, |role| role.encoder() == Some(m));
            match self.settings.variant {
                Variant::Paper => perturb::cosine(own, &f),
                Variant::Code => perturb::mean_cosine(own, &f),
            }
        };
        (0..self.names.len()).map(one).collect()
    }

    /// Index of the dominant modality, and what led to it.
    fn select(&mut self, own: &[Tensor], cosines: &[f64], report: &mut Report) -> Result<usize> {
        let Masam { alpha, beta, .. } = self.settings;
        let (mut scores, mut courses) = (Vec::new(), Vec::new());
        for (m, name) in self.names.iter().enumerate() {
            let loss = own.get(m).map_or(Ok(0.), number)?;
            let before = self.courses.get(m);
            let average = before.map_or(loss, |course| beta * course.average + (1. - beta) * loss);
            let decay = before.map_or(0., |course| (course.last - average).max(0.));
            courses.push(Course { average, last: loss });
            scores.push(alpha * decay + (1. - alpha) * cosines[m]);
            report.scalar(format!("average.{name}"), average)?;
            report.scalar(format!("decay.{name}"), decay)?;
            report.scalar(format!("cos.{name}"), cosines[m])?;
            report.scalar(format!("score.{name}"), scores[m])?;
        }
        self.courses = courses;
        let selected = (1..scores.len()).fold(0, |best, m| if scores[m] > scores[best] { m } else { best });
        report.note("selected", &Tensor::new(selected as i64, &candle_core::Device::Cpu)?);
        Ok(selected)
    }

    /// Gradients of encoders at the perturbed weights, and the fused loss there.
    fn second(&self, cx: &mut Step<'_>, out: &Output, selected: usize) -> Result<(Grads, Tensor)> {
        let (net, params): (&dyn Net, _) = (&Still(cx.net), cx.net.params());
        let mut pass = Pass::train(cx.draws());
        if self.settings.variant == Variant::Code {
            let out = net.forward(cx.batch, &mut pass)?;
            let (fused, own) = self.settings.losses(cx, &out)?;
            let grads = Grads::of(&total(&fused, &own)?, params)?;
            return Ok((grads.filter(params, |role| role.encoder().is_some()), fused));
        }
        // The other encoders stand where they stood.
        let mut features: Vec<Tensor> = out.features.iter().map(Tensor::detach).collect();
        features[selected] = net.encode(selected, &cx.batch.inputs[selected], &mut pass)?;
        let out = net.fuse(features, cx.batch.present.as_ref(), &mut pass)?;
        let fused = cross_entropy(&out.logits, cx.batch)?;
        Ok((Grads::of(&fused, params)?.filter(params, |role| role.encoder() == Some(selected)), fused))
    }
}

impl Stateful for Sharp {
    fn state(&self) -> Result<State> {
        let mut state = State::default();
        for (name, course) in self.names.iter().zip(&self.courses) {
            state.put(format!("course.{name}"), &[course.average, course.last])?;
        }
        Ok(state)
    }
    fn load(&mut self, state: &State) -> Result<()> {
        let known = self.names.iter().filter(|name| state.0.contains_key(&format!("course.{name}")));
        let course = |name: &String| match state.numbers(&format!("course.{name}"))?[..] {
            [average, last] => Ok(Course { average, last }),
            ref other => Err(aim_core::Error::shape(format!("course.{name}"), &[other.len()], "two numbers")),
        };
        self.courses = known.map(course).collect::<Result<_>>()?;
        Ok(())
    }
}
