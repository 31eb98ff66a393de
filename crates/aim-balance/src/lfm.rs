//! LFM: Learning to close the modality gap (Yang et al., NeurIPS 2024): classification and an alignment of the modalities'
//! predictions, weighted by a schedule.
//!
//! ```text
//! L = 2 (a0 CE(fused) + a1 ALIGN),  a1 = 1 - a0,  a0(e) = a polynomial of degree 5 in the epoch
//! p_u = softmax(unimodal_u),  m = mean of p_u
//! ALIGN = 1/M sum of KL(m || p_u)    align: reversed, as released
//!         1/M sum of KL(p_u || m)    align: js (Jensen-Shannon)
//! ```
//! The polynomial is the released code's: a fit to one learned run. The paper's alignment is a contrastive loss on features;
//! the released code aligns predictions, which is what this does. The learned weight of the paper (a Hessian-vector product
//! once an epoch) hardly moves in the released code and is left out. The fit covers 200 epochs: runs much shorter stay at its
//! start, 0.2, for which there is a constant `a0`. The gradient flows through both sides of KL.

use aim_core::{Idle, Loss, NetSpec, Objective, Report, Result, Seen, Stateless};
use candle_core::{D, Tensor};
use serde::{Deserialize, Serialize};

use crate::card::{About, Needs, Setting, Settings, within};
use crate::joint::cross_entropy;
use crate::stack::Built;

/// Card of [`Lfm`].
pub static ABOUT: About = About {
    name: "lfm",
    title: "LFM",
    idea: "classify and align the modalities' predictions, by a schedule of weights",
    paper: "Yang et al., NeurIPS 2024; schedule of the released code",
    cost: "1 forward and 1 backward pass, as joint training",
    departs: &[
        "Predictions are aligned, as released; the paper's alignment is a contrastive loss on features.",
        "The weights follow the released polynomial of the epoch, kept within 0 and 1; the weight that the paper \
        learns needs second derivatives and hardly moves in the released code.",
        "Fused logits are those of the network's fusion; the released network averages two heads, which is `fusion: \
        mean`.",
    ],
    settings: &[
        Setting::new("a0", "the schedule", "0 to 1", "constant weight of the classification", "ours"),
        Setting::new(
            "align",
            "reversed",
            "reversed | js",
            "KL from the mean prediction, as released, or to it",
            "released code",
        ),
    ],
    needs: Needs { unimodal: true, ..Needs::NONE },
};

/// Direction of the divergence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Align {
    /// `KL(m || p)`.
    #[default]
    Reversed,
    /// `KL(p || m)`.
    Js,
}

/// Settings of `lfm`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lfm {
    /// Constant weight of the classification; that of the schedule by default.
    pub a0: Option<f64>,
    /// Direction of the divergence.
    pub align: Align,
}

impl Settings for Lfm {
    fn check(&self) -> Result<()> {
        within("a0", self.a0.unwrap_or(0.), 0., 1.)
    }
    fn build(self, _: &NetSpec) -> Result<Built> {
        Ok(Built::objective(self))
    }
}

impl Stateless for Lfm {}
impl Idle for Lfm {}

/// Weight of the classification in an epoch, kept within [0, 1] where the fit runs out.
fn schedule(epoch: usize) -> f64 {
    let fit = [0.204623704, 3.35472727e-3, 1.22989557e-4, -2.92947416e-6, 2.23835486e-8, -5.39717505e-11];
    fit.iter().rev().fold(0., |sum, c| sum * epoch as f64 + c).clamp(0., 1.)
}

impl Objective for Lfm {
    fn losses(&mut self, seen: &Seen<'_>, report: &mut Report) -> Result<Vec<Loss>> {
        let a0 = self.a0.unwrap_or_else(|| schedule(seen.clock.epoch));
        report.scalar("a0", a0)?;
        let align = self.alignment(&seen.out.unimodal)?;
        Ok(vec![
            Loss::new("loss.ce", cross_entropy(&seen.out.logits, seen.batch)?).times(2. * a0),
            Loss::new("loss.align", align).times(2. * (1. - a0)),
        ])
    }
}

impl Lfm {
    fn alignment(&self, unimodal: &[Tensor]) -> Result<Tensor> {
        let log_p =
            Tensor::stack(&unimodal.iter().map(aim_ops::log_softmax).collect::<candle_core::Result<Vec<_>>>()?, 0)?;
        let p = log_p.exp()?;
        let mean = p.mean_keepdim(0)?;
        let log_mean = mean.log()?;
        let divergence = match self.align {
            Align::Reversed => mean.broadcast_mul(&log_mean.broadcast_sub(&log_p)?)?,
            Align::Js => (p * log_p.broadcast_sub(&log_mean)?)?,
        };
        // Sum over classes, mean over modalities and samples.
        Ok(divergence.sum(D::Minus1)?.mean_all()?)
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
