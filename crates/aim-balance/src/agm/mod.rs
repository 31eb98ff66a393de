//! AGM: Adaptive Gradient Modulation (Li et al., ICCV 2023, arXiv 2308.07686) of Shapley-style unimodal outputs.
//!
//! ```text
//! F(S)  = logits with zero INPUT for the modalities outside S, F(none) = 0
//! phi_m = Shapley value of F;  sum over m of phi_m = F(all);  L = CE(F(all))
//! s_m   = batch mean of CE(phi_m), probabilities at least 1e-8
//! r_m   = exp(mean of the others' s - s_m)         (ahead > 1)
//! tau_m = the same from running means S_m before this batch;  S_m <- S_m (t-1)/t + s_m/t
//! k_m   = exp(alpha min(tau_m - r_m, cap));   dL/dphi_m is multiplied by k_m
//! if the largest entry of the head's gradient exceeds clip_threshold, all gradients are clipped to norm 1
//! ```
//! The full pass trains normalisation layers; padded passes use their running statistics, with gradient. With all k at
//! 1 the padded passes get no gradient and the step is joint training's, clipping aside. Defaults are the official
//! CREMA-D ones.

mod settings;

use aim_core::{GradFn, Grads, Idle, Input, Output, Part, Pass, Plain, Report, Result, State, Stateful, Step};
use candle_core::{DType, Tensor};

pub use self::settings::{ABOUT, Agm};
use crate::{
    joint::cross_entropy,
    util::{log_losses, number, shapley},
};

struct Running {
    settings: Agm,
    cap: f64,
    names: Vec<String>,
    /// Steps so far.
    steps: usize,
    /// Running mean of each modality's loss.
    mean: Vec<f64>,
}

impl Idle for Running {}
impl Plain for Running {}

impl GradFn for Running {
    fn grads(&mut self, cx: &mut Step<'_>) -> Result<(Grads, Report)> {
        let mut report = Report::default();
        let full = cx.forward()?;
        report.note("logits", &full.logits);
        let loss = cross_entropy(&full.logits, cx.batch)?;
        report.note("loss", &loss);
        let phi = shapley(&padded(cx, &full)?)?;
        let k = self.coefficients(&phi, cx, &mut report)?;
        let Agm { modulation_starts, modulation_ends, .. } = self.settings;
        let active =
            (modulation_starts..=modulation_ends).contains(&(cx.clock.epoch + 1)) && k.iter().any(|k| *k != 1.);
        let loss = if active { cross_entropy(&modulated(&phi, &k)?, cx.batch)? } else { loss };
        let mut grads = Grads::of(&loss, cx.net.params())?;
        self.clip(&mut grads, cx, &mut report)?;
        Ok((grads, report))
    }
}

/// Logits of every set of modalities; those outside see zeros, as many as they have values.
fn padded(cx: &Step<'_>, full: &Output) -> Result<Vec<Tensor>> {
    let mut pass = Pass::eval();
    let mut encode = |m: usize, x: &Input| cx.net.encode(m, x, &mut pass);
    let inputs = cx.batch.inputs.iter().enumerate();
    let seen: Vec<Tensor> = inputs.clone().map(|(m, x)| encode(m, x)).collect::<Result<_>>()?;
    let blank: Vec<Tensor> = inputs.map(|(m, x)| encode(m, &x.with(x.values.zeros_like()?))).collect::<Result<_>>()?;
    let one = |s: usize| {
        let features = (0..seen.len()).map(|m| if s >> m & 1 == 1 { &seen[m] } else { &blank[m] }.clone()).collect();
        Ok(cx.net.fuse(features, cx.batch.present.as_ref(), &mut Pass::eval())?.logits)
    };
    let last = (1 << seen.len()) - 1;
    let empty = std::iter::once(Ok(full.logits.zeros_like()?.detach()));
    empty.chain((1..last).map(one)).chain(std::iter::once(Ok(full.logits.clone()))).collect()
}

/// The sum of all outputs, with the gradient into each scaled.
fn modulated(phi: &[Tensor], k: &[f64]) -> Result<Tensor> {
    let scale = |(phi, k): (&Tensor, &f64)| Ok(((phi * *k)? + (phi.detach() * (1. - k))?)?);
    Ok(Tensor::stack(&phi.iter().zip(k).map(scale).collect::<Result<Vec<_>>>()?, 0)?.sum(0)?)
}

/// `exp(mean of the others' loss - own loss)`.
fn ratios(losses: &[f64]) -> Vec<f64> {
    let (total, others) = (losses.iter().sum::<f64>(), (losses.len() - 1) as f64);
    losses.iter().map(|s| ((total - s) / others - s).exp()).collect()
}

impl Running {
    fn coefficients(&mut self, phi: &[Tensor], cx: &Step<'_>, report: &mut Report) -> Result<Vec<f64>> {
        // Probabilities count as at least 1e-8.
        let loss = |phi: &Tensor| number(&log_losses(phi, cx.batch)?.minimum(-1e-8f64.ln())?.mean_all()?);
        let scores = phi.iter().map(loss).collect::<Result<Vec<_>>>()?;
        let (ratio, tau) = (ratios(&scores), ratios(&self.mean));
        let coefficient = |(r, tau): (&f64, &f64)| (self.settings.alpha * (tau - r).min(self.cap)).exp();
        let k: Vec<f64> = ratio.iter().zip(&tau).map(coefficient).collect();
        self.steps += 1;
        let t = self.steps as f64;
        for (m, name) in self.names.iter().enumerate() {
            self.mean[m] = self.mean[m] * (t - 1.) / t + scores[m] / t;
            report.note(format!("unimodal.{name}"), &phi[m]);
            report.scalar(format!("score.{name}"), scores[m])?;
            report.scalar(format!("ratio.{name}"), ratio[m])?;
            report.scalar(format!("tau.{name}"), tau[m])?;
            report.scalar(format!("coef.{name}"), k[m])?;
            report.scalar(format!("running_mean.{name}"), self.mean[m])?;
        }
        Ok(k)
    }

    fn clip(&self, grads: &mut Grads, cx: &Step<'_>, report: &mut Report) -> Result<()> {
        let params = cx.net.params();
        let head = |role: aim_core::Role| matches!(role.part, Part::Head { .. }) && role.is_weight();
        let mut largest = 0f64;
        for (_, grad) in grads.clone().filter(params, head).iter() {
            largest = largest.max(number(&grad.abs()?.flatten_all()?.to_dtype(DType::F64)?.max(0)?)?);
        }
        let (norm, clipped) = (grads.norm()?, largest > self.settings.clip_threshold);
        report.scalar("head_grad_max", largest)?;
        report.scalar("grad_norm", norm)?;
        report.scalar("clipped", f64::from(u8::from(clipped)))?;
        if clipped && norm + 1e-6 > 1. {
            *grads = grads.scaled(1. / (norm + 1e-6))?;
        }
        Ok(())
    }
}

impl Stateful for Running {
    fn state(&self) -> Result<State> {
        let mut state = State::default();
        state.put("steps", &[self.steps as f64])?;
        for (name, mean) in self.names.iter().zip(&self.mean) {
            state.put(format!("mean.{name}"), &[*mean])?;
        }
        Ok(state)
    }
    fn load(&mut self, state: &State) -> Result<()> {
        self.steps = state.number("steps")? as usize;
        self.mean = self.names.iter().map(|name| state.number(&format!("mean.{name}"))).collect::<Result<_>>()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_by_hand() {
        let two = ratios(&[1., 3.]);
        assert!((two[0] - 2f64.exp()).abs() < 1e-12 && (two[1] - (-2f64).exp()).abs() < 1e-12);
        // Mean of the others 2.5 against 1.
        assert!((ratios(&[1., 2., 3.])[0] - 1.5f64.exp()).abs() < 1e-12);
    }
}
