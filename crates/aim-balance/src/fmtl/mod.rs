//! F-MTL: aggregated gradients plus aggregated flat directions (Phan et al., ICCV 2025, arXiv 2211.13723), with the
//! fused loss and each modality's own as tasks.
//!
//! ```text
//! g_i = grad L_i(theta); s_i = grad L_i(theta + e_i),   e_i = rho g_i / |g_i|, one norm over what encoders of the task
//!                                                         share (rho_shared) and one over its head (rho_head)
//! encoder m:  AGG(G, g_m) + AGG(S - G, s_m - g_m)         G, S of the fused loss, g_m, s_m of the modality's own
//! heads, fusion: s_i
//! ```
//! The fused task perturbs all encoders, task m encoder m; as encoders are disjoint, one perturbed pass serves all
//! modalities. AGG: `mgda` (exact, of gradients divided by 1, |g_i|, L_i or L_i |g_i|; not multiplied by the number of
//! tasks), `pcgrad` (sum), `cagrad`, `imtl`, `nash`, `fairgrad`. `adaptive`: e_i = rho theta^2 g_i / | |theta| g_i |.
//! `imtl_l`: task i has the loss exp(s_i) L_i - s_i, where s_i starts at 0 and descends with the weights. What the
//! tasks share in a multimodal network is our reading; the paper treats tasks of one input. Defaults: rho 0.05 and c
//! 0.4 of the official code's plain runs. `rho_*: 0` leaves the aggregation of the losses' gradients alone.

mod combine;
mod settings;

use aim_core::{GradFn, Grads, Idle, Net, Output, Part, Pass, Plain, Report, Result, Role, State, Stateful, Step};
use candle_core::Tensor;

pub use self::settings::{ABOUT, Aggregation, Fmtl, Normalise};
use crate::{
    joint::cross_entropy,
    util::{Still, adaptive_ascent, ascent, number},
};

struct Tasks {
    settings: Fmtl,
    /// Logarithm of the scale of each task's loss (IMTL-L).
    scales: Vec<f64>,
}

/// A task's loss and its gradient.
struct Task {
    loss: f64,
    grads: Grads,
}

impl Idle for Tasks {}
impl Plain for Tasks {}

impl GradFn for Tasks {
    fn grads(&mut self, cx: &mut Step<'_>) -> Result<(Grads, Report)> {
        let mut report = Report::default();
        let out = cx.forward()?;
        report.note("logits", &out.logits);
        let plain = self.tasks(cx, &out, "loss", |_| true, &mut report)?;
        for (name, logits) in cx.net.spec().modalities.iter().zip(&out.unimodal) {
            report.note(format!("unimodal.{name}"), logits);
        }
        let params = cx.net.params();
        let fused = self.shift(&plain[0].grads, cx.net, |role| role.encoder().is_some())?;
        let mut own = Grads::default();
        for (m, task) in plain.iter().skip(1).enumerate() {
            own.add_scaled(&self.shift(&task.grads, cx.net, |role| role.encoder() == Some(m))?, 1.)?;
        }
        let mut perturbed = self.perturbed(cx, &fused, |task| task == 0, &mut report)?;
        perturbed.extend(self.perturbed(cx, &own, |task| task > 0, &mut report)?);
        let mut total = Grads::default();
        for task in &perturbed {
            total.add_scaled(&task.grads.clone().filter(params, |role| role.encoder().is_none()), 1.)?;
        }
        for (m, name) in cx.net.spec().modalities.iter().enumerate() {
            let of = |task: &Task| task.grads.clone().filter(params, |role| role.encoder() == Some(m));
            let loss = [of(&plain[0]), of(&plain[m + 1])];
            let mut flat = [of(&perturbed[0]), of(&perturbed[m + 1])];
            flat.iter_mut().zip(&loss).try_for_each(|(flat, loss)| flat.add_scaled(loss, -1.))?;
            let losses = [plain[0].loss, plain[m + 1].loss];
            total.add_scaled(&self.settings.aggregate(&loss, losses, &format!("cos_loss.{name}"), &mut report)?, 1.)?;
            total.add_scaled(&self.settings.aggregate(&flat, losses, &format!("cos_flat.{name}"), &mut report)?, 1.)?;
        }
        if self.settings.imtl_l {
            report.list("scale", &self.scales)?;
            let step = |(s, task): (&mut f64, &Task)| *s = learnt(*s, task.loss, cx.opt.lr());
            self.scales.iter_mut().zip(&plain).for_each(step);
        }
        Ok((total, report))
    }
}

/// A step down the slope of `exp(s) loss - s`, for a loss that is scaled already.
fn learnt(s: f64, scaled: f64, lr: f64) -> f64 {
    s - lr * (scaled - 1.)
}

impl Tasks {
    /// Losses and gradients of the chosen tasks: 0 is the fused loss, m + 1 that of modality m.
    fn tasks(
        &self,
        cx: &Step<'_>,
        out: &Output,
        label: &str,
        chosen: impl Fn(usize) -> bool,
        report: &mut Report,
    ) -> Result<Vec<Task>> {
        let names = std::iter::once("fused").chain(cx.net.spec().modalities.iter().map(String::as_str));
        let logits = std::iter::once(&out.logits).chain(&out.unimodal);
        let mut one = |(task, (name, logits)): (usize, (&str, &Tensor))| {
            let mut loss = cross_entropy(logits, cx.batch)?;
            report.note(format!("{label}.{name}"), &loss);
            if self.settings.imtl_l {
                loss = (loss * self.scales[task].exp())?;
            }
            Ok(Task { loss: number(&loss.detach())?, grads: Grads::of(&loss, cx.net.params())? })
        };
        names.zip(logits).enumerate().filter(|(task, _)| chosen(*task)).map(&mut one).collect()
    }

    /// The perturbation of one task: a norm over its encoders and one over its head.
    fn shift(&self, grads: &Grads, net: &dyn Net, encoders: impl Fn(Role) -> bool) -> Result<Grads> {
        let Fmtl { rho_shared, rho_head, adaptive, .. } = self.settings;
        let head = |role: Role| !matches!(role.part, Part::Encoder { .. } | Part::Adapter { .. });
        let params = net.params();
        let up = |grads: Grads, rho| if adaptive { adaptive_ascent(&grads, params, rho) } else { ascent(&grads, rho) };
        let mut shift = up(grads.clone().filter(params, encoders), rho_shared)?;
        shift.add_scaled(&up(grads.clone().filter(params, head), rho_head)?, 1.)?;
        Ok(shift)
    }

    fn perturbed(
        &self,
        cx: &mut Step<'_>,
        shift: &Grads,
        chosen: impl Fn(usize) -> bool,
        report: &mut Report,
    ) -> Result<Vec<Task>> {
        cx.nudged(shift, |cx| {
            let net: &dyn Net = &Still(cx.net);
            let out = net.forward(cx.batch, &mut Pass::train(cx.draws()))?;
            self.tasks(cx, &out, "loss_perturbed", chosen, report)
        })
    }
}

impl Stateful for Tasks {
    fn state(&self) -> Result<State> {
        let mut state = State::default();
        if self.settings.imtl_l {
            state.put("scales", &self.scales)?;
        }
        Ok(state)
    }
    fn load(&mut self, state: &State) -> Result<()> {
        if self.settings.imtl_l {
            self.scales = state.numbers("scales")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_by_hand() {
        // exp(ln 2) 0.75 - 1 = 0.5 at a rate of 0.1.
        let s = 2f64.ln();
        assert!((learnt(s, s.exp() * 0.75, 0.1) - (s - 0.05)).abs() < 1e-12);
        // At the minimum the scaled loss is 1.
        assert_eq!(learnt(0.3, 1., 0.1), 0.3);
    }
}
