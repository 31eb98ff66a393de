//! ReconBoost (Hua et al., ICML 2024, arXiv 2405.09321): modalities are trained in turn, each on what the others have
//! not yet fitted, with a shared head of two layers and a learnt rate.
//!
//! ```text
//! F = beta0 * sum of out_m,  out_m = head(phi_m)
//! boosting modality m (encoder m and head learn):   p_o = true-class softmax(beta0 * sum over the others of out)
//!   L = mean of -(w1 - w2 p_o) log softmax(out_m)[y] / C + alpha MSE(softmax(out_m), softmax(out_previous))
//! then correction (everything learns):  CE(F)
//! ```
//! p_o and the previous modality's prediction carry no gradient. The alignment has a gradient here, as intended; the
//! released code cuts both sides, and has 1 for p_o in the first stage (`compat: true`). In the first stage there is no
//! previous modality. Boosting and correction take turns of 4 epochs, w1 5, w2 1, alpha 0.5, as released for CREMA-D;
//! the optimizer is made new there with each stage, here the parameters that rest have no gradient and keep their
//! moments.

use aim_config::{at_least, between, by_type, settings, words};
use aim_core::{
    GradFn, Grads, Idle, Net, NetSpec, Output, Part, Pass, Plain, Report, Result, Stateless, Step, capability,
};
use candle_core::Tensor;

use crate::{
    Built, MethodInfo, MethodSettings, Provenance, Quantity, Requirements, Unimodal,
    joint::cross_entropy,
    util::{sample_losses, true_probability, weighted_mean},
};

/// Card of [`ReconBoost`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "reconboost",
    title: "ReconBoost",
    idea: "train modalities in turn on what the others have not yet fitted",
    paper: "Hua et al., ICML 2024 (arXiv 2405.09321)",
    cost: "boosting: 1 forward pass, 1 backward pass through one encoder and the head, one more pass of the head \
    without gradient; correction: as joint training",
    departs: &[
        "The alignment has a gradient, as the paper intends; the released code cuts both of its sides \
        (`compat: true`).",
        "Moments of resting parameters are kept, since a method does not make optimizers; the released code makes a \
        new one each stage.",
        "In the first stage the others count as they are; in the released code their probability is then 1 for every \
        sample (`compat: true`).",
    ],
    requires: Requirements { unimodal: Unimodal::Trained, capabilities: &[capability::BOOSTED], ..Requirements::NONE },
    provenance: Provenance::Faithful,
    reports: &[Quantity::step("p_other", "", "probability of the true class by the others, of each sample")],
    revision: 1,
};

settings! {
    /// Settings of `reconboost`.
    pub struct ReconBoost {
        /// Modalities that are boosted in turn.
        pub order: Option<Vec<String>> = None => words("modalities").shown("the network's"), "released code";
        /// Weight of the own loss.
        pub w1: f64 = 5. => between(0., 100.), "released code (CREMA-D)";
        /// Discount of what the others fit.
        pub w2: f64 = 1. => between(0., 100.), "released code (CREMA-D)";
        /// Weight of the alignment.
        pub alpha: f64 = 0.5 => between(0., 100.), "released code (CREMA-D)";
        /// Epochs of boosting in a stage.
        pub boost_epochs: usize = 4 => at_least(1), "released code (CREMA-D)";
        /// Epochs of correction in a stage.
        pub correct_epochs: usize = 4 => at_least(0), "released code (CREMA-D)";
        /// No gradient of the alignment, and 1 for the others in the first stage, as the released code does it.
        pub compat: bool = false => by_type(), "ours; released code: true";
    }
}

impl MethodSettings for ReconBoost {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn compat(&self) -> bool {
        self.compat
    }
    fn build(&self, net: &NetSpec) -> Result<Built> {
        let order = crate::card::order("order", self.order.as_deref(), net)?;
        Ok(Built::grads(Boosting { settings: self.clone(), order }))
    }
}

struct Boosting {
    settings: ReconBoost,
    order: Vec<usize>,
}

impl Stateless for Boosting {}
impl Idle for Boosting {}
impl Plain for Boosting {}

impl GradFn for Boosting {
    fn grads(&mut self, cx: &mut Step<'_>) -> Result<(Grads, Report)> {
        let (mut report, params) = (Report::default(), cx.net.params());
        let out = cx.forward()?;
        report.note("logits", &out.logits);
        for (name, logits) in cx.net.spec().modalities.iter().zip(&out.unimodal) {
            report.note(format!("unimodal.{name}"), logits);
        }
        let length = self.settings.boost_epochs.saturating_add(self.settings.correct_epochs);
        let (stage, epoch) = (cx.clock.epoch / length, cx.clock.epoch % length);
        if epoch >= self.settings.boost_epochs {
            let loss = cross_entropy(&out.logits, cx.batch)?;
            report.note("loss", &loss);
            return Ok((Grads::of(&loss, params)?, report));
        }
        let m = self.order[stage % self.order.len()];
        let previous = (stage > 0).then(|| self.order[(stage + self.order.len() - 1) % self.order.len()]);
        let mut loss = self.boost(cx, &out, m, stage, &mut report)?;
        if let Some(previous) = previous {
            let difference =
                (aim_ops::softmax(&out.unimodal[m])? - aim_ops::softmax(&out.unimodal[previous].detach())?)?;
            let align = difference.sqr()?.mean_all()?;
            report.note("loss.align", &align);
            if self.settings.alpha != 0. {
                let align = if self.settings.compat { align.detach() } else { align };
                loss = (loss + (align * self.settings.alpha)?)?;
            }
        } else {
            report.scalar("loss.align", 0.)?;
        }
        report.note("loss", &loss);
        let learns = |role: aim_core::Role| match role.part {
            Part::Head { .. } => true,
            _ => role.encoder() == Some(m),
        };
        Ok((Grads::of(&loss, params)?.filter(params, learns), report))
    }
}

impl Boosting {
    /// The own loss, less where the others fit.
    fn boost(&self, cx: &Step<'_>, out: &Output, m: usize, stage: usize, report: &mut Report) -> Result<Tensor> {
        let mut p = true_probability(&others(cx.net, cx, out, m)?, &cx.batch.labels)?;
        if self.settings.compat && stage == 0 {
            p = p.ones_like()?;
        }
        report.note("p_other", &p);
        let weights = (p * -self.settings.w2)?.affine(1., self.settings.w1)?;
        let classes = cx.net.spec().classes as f64;
        let loss = (weighted_mean(&sample_losses(&out.unimodal[m], cx.batch)?, &weights)? / classes)?;
        report.note("loss.boost", &loss);
        Ok(loss)
    }
}

/// Fused logits of the modalities other than m: all of them less what the head makes of m, without gradient.
fn others(net: &dyn Net, cx: &Step<'_>, out: &Output, m: usize) -> Result<Tensor> {
    let others: Vec<Tensor> =
        out.features.iter().enumerate().filter(|(j, _)| *j != m).map(|(_, x)| x.detach()).collect();
    Ok(net.fuse(others, None, &mut Pass::train(cx.draws()))?.logits.detach())
}
