//! LFM: Learning to close the modality gap (Yang et al., NeurIPS 2024): classification and an alignment of the
//! modalities, weighted by a schedule or by learnt weights.
//!
//! ```text
//! L = 2 (a0 CE(fused) + a1 ALIGN),  a1 = 1 - a0
//! weights: schedule   a0(e) = a polynomial of degree 5 in the epoch, or a constant
//!          learnt     before each epoch but the first:  theta' = theta - lr grad L(theta),
//!                     a0 <- a0 + weight_lr <grad CE(theta'), grad CE(theta) - grad ALIGN(theta)>, within 0.05 and 0.95
//! p_u = softmax(unimodal_u),  m = mean of p_u
//! ALIGN = 1/M sum of KL(m || p_u)    align: reversed, as released
//!         1/M sum of KL(p_u || m)    align: js (Jensen-Shannon)
//!         mean over pairs of CE(cosines of features / temperature, own sample)    align: contrastive
//! ```
//! The polynomial is the released code's: a fit to one learned run. It covers 200 epochs: runs much shorter stay at its
//! start, 0.2. The learnt weight follows the gradient of the loss one step ahead, with respect to the weight; what the
//! step's rate would multiply it by is part of `weight_lr`, which is halved every 20 epochs. The gradient flows through
//! both sides of KL.

mod align;

use aim_config::{above, between, by_type, choice, settings};
use aim_core::{
    Batch, EpochStart, EpochWork, Grads, Loss, NetSpec, Objective, Output, Pass, Report, Result, Seen, Split, State,
    Stateful, View, capability,
};
use candle_core::Tensor;

pub use align::Align;

use crate::{
    Built, MethodInfo, MethodSettings, Provenance, Quantity, Requirements, Unimodal, card::only_with,
    joint::cross_entropy,
};

/// Card of [`Lfm`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "lfm",
    title: "LFM",
    idea: "classify and align the modalities, by weights of a schedule or learnt ones",
    paper: "Yang et al., NeurIPS 2024; schedule of the released code",
    cost: "1 forward and 1 backward pass, as joint training; learnt weights: 3 forward and backward passes over the \
    validation split an epoch",
    departs: &[
        "Predictions are aligned, as released, by the Jensen-Shannon divergence; the released code has its arguments \
        the other way round (`align: reversed`). The paper's alignment is a contrastive loss on features, whose form \
        we could not read: `align: contrastive` is the usual one between pairs of modalities of equal width.",
        "The weights follow the released polynomial of the epoch, kept within 0 and 1; `weights: learnt` learns them \
        on two levels, as the paper is said to.",
        "The learnt weight follows the whole gradient on the validation split; the released code takes the mean over \
        one tensor of a product of second derivatives on 8 samples, by which it hardly moves.",
        "Fused logits are those of the network's fusion; the released network averages two heads, which is `fusion: \
        mean`.",
    ],
    requires: Requirements { unimodal: Unimodal::Trained, ..Requirements::NONE },
    provenance: Provenance::Faithful,
    reports: &[Quantity::step("a0", "", "weight of the classification")],
    revision: 1,
};

choice! {
    /// Change of the weights.
    pub enum Weights {
        /// By the epoch, or not at all.
        Schedule = "schedule",
        /// Learnt on the validation split.
        Learnt = "learnt",
    }
}

settings! {
    /// Settings of `lfm`.
    pub struct Lfm {
        /// Weights of classification and alignment: by a schedule, or constant | learnt.
        pub weights: Weights = Weights::Schedule => by_type(), "released code";
        /// Weight of the classification: constant, or where learning starts.
        pub a0: Option<f64> = None => between(0., 1.).shown("the schedule, or 0.05"), "released code";
        /// Rate of the learnt weight; 0 keeps it.
        pub weight_lr: f64 = 0.1 => between(0., 100.), "ours";
        /// Alignment: of predictions by KL from their mean, as released | by KL to it | of features.
        pub align: Align = Align::Js => by_type(), "ours: the usual direction; released: reversed";
        /// Temperature of contrastive alignment.
        pub temperature: f64 = 0.1 => above(0.), "ours";
    }
}

impl MethodSettings for Lfm {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn compares_features(&self) -> Option<(&'static str, &'static str)> {
        (self.align == Align::Contrastive).then_some(("align", "align predictions"))
    }
    fn build(&self, net: &NetSpec) -> Result<Built> {
        if self.weights == Weights::Learnt {
            only_with("weights", capability::VIEWS, net)?;
        }
        let learnt = self.a0.unwrap_or(0.05);
        Ok(Built::objective(Weighted { settings: self.clone(), learnt }))
    }
}

struct Weighted {
    settings: Lfm,
    /// The learnt weight of the classification.
    learnt: f64,
}

/// Weight of the classification in an epoch, kept within [0, 1] where the fit runs out.
fn schedule(epoch: usize) -> f64 {
    let fit = [0.204623704, 3.35472727e-3, 1.22989557e-4, -2.92947416e-6, 2.23835486e-8, -5.39717505e-11];
    fit.iter().rev().fold(0., |sum, c| sum * epoch as f64 + c).clamp(0., 1.)
}

impl Objective for Weighted {
    fn losses(&mut self, seen: &Seen<'_>, report: &mut Report) -> Result<Vec<Loss>> {
        let Lfm { weights, a0, align, temperature, .. } = self.settings;
        let a0 = match weights {
            Weights::Schedule => a0.unwrap_or_else(|| schedule(seen.clock.epoch)),
            Weights::Learnt => self.learnt,
        };
        report.scalar("a0", a0)?;
        Ok(vec![
            Loss::new("loss.ce", cross_entropy(&seen.out.logits, seen.batch)?).times(2. * a0),
            Loss::new("loss.align", align.loss(seen.out, temperature)?).times(2. * (1. - a0)),
        ])
    }
}

/// Mean gradient over the validation split of a loss, as a pass with `view` finds it.
fn gradient(cx: &EpochStart<'_>, view: &View, loss: impl Fn(&Output, &Batch) -> Result<Tensor>) -> Result<Grads> {
    let (mut samples, mut sum) = (0, Grads::default());
    cx.samples.each(Split::Validation, &mut |batch| {
        let out = cx.net.forward(batch, &mut Pass::eval().view(view))?;
        samples += batch.len();
        sum.add_scaled(&Grads::of(&loss(&out, batch)?, cx.net.params())?, batch.len() as f64)
    })?;
    sum.scaled(1. / samples.max(1) as f64)
}

impl EpochWork for Weighted {
    fn before_epoch(&mut self, cx: &mut EpochStart<'_>) -> Result<()> {
        let Lfm { weights, weight_lr, align, temperature, .. } = self.settings;
        if weights == Weights::Schedule || cx.clock.epoch == 0 {
            return Ok(());
        }
        let classify = |out: &Output, batch: &Batch| cross_entropy(&out.logits, batch);
        let (here, params) = (View::new(), cx.net.params());
        let now = gradient(cx, &here, classify)?;
        let align = gradient(cx, &here, |out, _| align.loss(out, temperature))?;
        let mut step = now.scaled(2. * self.learnt)?;
        step.add_scaled(&align, 2. * (1. - self.learnt))?;
        let mut ahead = View::new();
        for (name, grad) in step.scaled(cx.opt.lr())?.iter() {
            if let Some(param) = params.get(name) {
                ahead.insert(name.clone(), (param.var.as_tensor() - grad)?);
            }
        }
        let ahead = gradient(cx, &ahead, classify)?;
        let rate = weight_lr * 0.5f64.powi((cx.clock.epoch / 20) as i32);
        self.learnt = (self.learnt + rate * (ahead.dot(&now)? - ahead.dot(&align)?)).clamp(0.05, 0.95);
        Ok(())
    }
}

impl Stateful for Weighted {
    fn state(&self) -> Result<State> {
        let mut state = State::default();
        state.put("a0", &[self.learnt])?;
        Ok(state)
    }
    fn load(&mut self, state: &State) -> Result<()> {
        self.learnt = state.number("a0")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedule_by_hand() {
        assert_eq!(schedule(0), 0.204623704);
        let one = 0.204623704 + 3.35472727e-3 + 1.22989557e-4 - 2.92947416e-6 + 2.23835486e-8 - 5.39717505e-11;
        assert!((schedule(1) - one).abs() < 1e-15);
    }
}
