//! F-MTL: aggregated gradients plus aggregated flat directions (Phan et al., ICCV 2025, arXiv 2211.13723), with the fused
//! loss and each modality's own as tasks.
//!
//! ```text
//! g_i = grad L_i(theta);   s_i = grad L_i(theta + e_i),   e_i = rho g_i / |g_i|, one norm over what encoders of the task
//!                                                         share (rho_shared) and one over its head (rho_head)
//! encoder m:  AGG(G, g_m) + AGG(S - G, s_m - g_m)         G, S of the fused loss, g_m, s_m of the modality's own
//! heads, fusion: s_i
//! ```
//! The fused task perturbs all encoders, task m encoder m; as encoders are disjoint, one perturbed pass serves all modalities.
//! AGG: `mgda` (exact, not normalised, not multiplied by the number of tasks), `pcgrad` (sum), `cagrad`, `imtl`. What the
//! tasks share in a multimodal network is our reading; the paper treats tasks of one input. Defaults: rho 0.05 and c 0.4 of
//! the official code's plain runs. `rho_*: 0` leaves the aggregation of the losses' gradients alone.

use aim_core::{GradFn, Grads, Idle, Net, NetSpec, Output, Part, Pass, Plain, Report, Result, Role, Stateless, Step};
use candle_core::Tensor;
use serde::{Deserialize, Serialize};

use crate::aggregate::{self, Gram};
use crate::card::{About, Needs, Setting, Settings, within};
use crate::joint::cross_entropy;
use crate::stack::Built;
use crate::util::{Still, ascent};

/// Card of [`Fmtl`].
pub static ABOUT: About = About {
    name: "fmtl",
    title: "F-MTL",
    idea: "aggregate the losses' gradients and, apart from them, the directions towards flat minima",
    paper: "Phan et al., ICCV 2025 (arXiv 2211.13723)",
    cost: "3 forward and 2 M + 2 backward passes that go through each encoder 4 times; up to 2 M + 2 gradients in \
    memory",
    departs: &[
        "Tasks are the fused loss and each modality's own, and an encoder is what they share: our reading, because the \
        paper has tasks of one input.",
        "One perturbed pass serves all unimodal losses, since their encoders are disjoint; the paper has a pass a \
        task.",
        "The perturbation of the fused loss has one norm over all encoders, which the paper leaves open for several of \
        them.",
        "MGDA is exact and takes gradients as they are; one released script normalises them first and multiplies the \
        result by the number of tasks.",
        "Perturbations are plain as in the paper's equations; the released runs take the adaptive form with rho 2.",
    ],
    settings: &[
        Setting::new("aggregation", "cagrad", "mgda | pcgrad | cagrad | imtl", "how two gradients become one", "ours"),
        Setting::new("rho_shared", "0.05", "0 to 100", "radius in the encoders", "released code (plain form)"),
        Setting::new("rho_head", "0.05", "0 to 100", "radius in the heads", "released code (plain form)"),
        Setting::new("c", "0.4", "0 to 1", "radius of CAGrad", "released code"),
        Setting::new("rescale", "1", "0 | 1 | 2", "rescaling of CAGrad", "third party (LibMTL)"),
    ],
    needs: Needs { unimodal: true, uni_heads: true, ..Needs::NONE },
};

/// How gradients become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Aggregation {
    /// Point of least norm.
    Mgda,
    /// Projection of conflicts, sum.
    PcGrad,
    /// Conflict-averse.
    CaGrad,
    /// Equal projections.
    Imtl,
}

/// Settings of `fmtl`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Fmtl {
    /// How two gradients become one.
    pub aggregation: Aggregation,
    /// Radius in the encoders.
    pub rho_shared: f64,
    /// Radius in the heads.
    pub rho_head: f64,
    /// Radius of CAGrad.
    pub c: f64,
    /// Rescaling of CAGrad.
    pub rescale: u8,
}

impl Default for Fmtl {
    fn default() -> Self {
        Self { aggregation: Aggregation::CaGrad, rho_shared: 0.05, rho_head: 0.05, c: 0.4, rescale: 1 }
    }
}

impl Settings for Fmtl {
    fn check(&self) -> Result<()> {
        within("rho_shared", self.rho_shared, 0., 100.)?;
        within("rho_head", self.rho_head, 0., 100.)?;
        within("c", self.c, 0., 1.)?;
        within("rescale", f64::from(self.rescale), 0., 2.)
    }
    fn build(self, _: &NetSpec) -> Result<Built> {
        Ok(Built::grads(self))
    }
}

impl Stateless for Fmtl {}
impl Idle for Fmtl {}
impl Plain for Fmtl {}

impl GradFn for Fmtl {
    fn grads(&mut self, cx: &mut Step<'_>) -> Result<(Grads, Report)> {
        let mut report = Report::default();
        let out = cx.forward()?;
        report.note("logits", &out.logits);
        let plain = self.tasks(cx, &out, "loss", |_| true, &mut report)?;
        for (name, logits) in cx.net.spec().modalities.iter().zip(&out.unimodal) {
            report.note(format!("unimodal.{name}"), logits);
        }
        let params = cx.net.params();
        let fused = self.shift(&plain[0], cx.net, |role| role.encoder().is_some())?;
        let mut own = Grads::default();
        for (m, grads) in plain.iter().skip(1).enumerate() {
            own.add_scaled(&self.shift(grads, cx.net, |role| role.encoder() == Some(m))?, 1.)?;
        }
        let mut perturbed = self.perturbed(cx, &fused, |task| task == 0, &mut report)?;
        perturbed.extend(self.perturbed(cx, &own, |task| task > 0, &mut report)?);
        let mut total = Grads::default();
        for grads in &perturbed {
            total.add_scaled(&grads.clone().filter(params, |role| role.encoder().is_none()), 1.)?;
        }
        for (m, name) in cx.net.spec().modalities.iter().enumerate() {
            let of = |g: &Grads| g.clone().filter(params, |role| role.encoder() == Some(m));
            let loss = [of(&plain[0]), of(&plain[m + 1])];
            let mut flat = [of(&perturbed[0]), of(&perturbed[m + 1])];
            flat.iter_mut().zip(&loss).try_for_each(|(flat, loss)| flat.add_scaled(loss, -1.))?;
            total.add_scaled(&self.aggregate(&loss, &format!("cos_loss.{name}"), &mut report)?, 1.)?;
            total.add_scaled(&self.aggregate(&flat, &format!("cos_flat.{name}"), &mut report)?, 1.)?;
        }
        Ok((total, report))
    }
}

impl Fmtl {
    /// Gradients of the chosen tasks: 0 is the fused loss, m + 1 that of modality m.
    fn tasks(
        &self,
        cx: &Step<'_>,
        out: &Output,
        label: &str,
        chosen: impl Fn(usize) -> bool,
        report: &mut Report,
    ) -> Result<Vec<Grads>> {
        let names = std::iter::once("fused").chain(cx.net.spec().modalities.iter().map(String::as_str));
        let logits = std::iter::once(&out.logits).chain(&out.unimodal);
        let mut one = |(_, (name, logits)): (usize, (&str, &Tensor))| {
            let loss = cross_entropy(logits, cx.batch)?;
            report.note(format!("{label}.{name}"), &loss);
            Grads::of(&loss, cx.net.params())
        };
        names.zip(logits).enumerate().filter(|(task, _)| chosen(*task)).map(&mut one).collect()
    }

    /// The perturbation of one task: a norm over its encoders and one over its head.
    fn shift(&self, grads: &Grads, net: &dyn Net, encoders: impl Fn(Role) -> bool) -> Result<Grads> {
        let head = |role: Role| !matches!(role.part, Part::Encoder { .. } | Part::Adapter { .. });
        let mut shift = ascent(&grads.clone().filter(net.params(), encoders), self.rho_shared)?;
        shift.add_scaled(&ascent(&grads.clone().filter(net.params(), head), self.rho_head)?, 1.)?;
        Ok(shift)
    }

    fn perturbed(
        &self,
        cx: &mut Step<'_>,
        shift: &Grads,
        chosen: impl Fn(usize) -> bool,
        report: &mut Report,
    ) -> Result<Vec<Grads>> {
        cx.nudged(shift, |cx| {
            let net: &dyn Net = &Still(cx.net);
            let out = net.forward(cx.batch, &mut Pass::train(cx.draws()))?;
            self.tasks(cx, &out, "loss_perturbed", chosen, report)
        })
    }

    fn aggregate(&self, grads: &[Grads], cos: &str, report: &mut Report) -> Result<Grads> {
        let products = |a: &Grads| grads.iter().map(|b| a.dot(b)).collect::<Result<Vec<_>>>();
        let gram: Gram = grads.iter().map(products).collect::<Result<_>>()?;
        report.scalar(cos, gram[0][1] / (gram[0][0] * gram[1][1]).sqrt().max(1e-30))?;
        let factors = match self.aggregation {
            Aggregation::Mgda => aggregate::mgda(&gram),
            Aggregation::PcGrad => aggregate::pcgrad(&gram, &[vec![1], vec![0]]),
            Aggregation::CaGrad => aggregate::cagrad(&gram, self.c, self.rescale).0,
            Aggregation::Imtl => aggregate::imtl(&gram)?,
        };
        let mut sum = Grads::default();
        grads.iter().zip(factors).try_for_each(|(g, f)| sum.add_scaled(g, f))?;
        Ok(sum)
    }
}
