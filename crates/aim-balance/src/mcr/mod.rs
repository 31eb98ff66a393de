//! MCR, Multimodal Competition Regularizer (Kontras et al., NeurIPS 2025, arXiv 2411.07335): each encoder is a player
//! that raises its own effect on the prediction and, in the greedy game, lowers the others'.
//!
//! ```text
//! D_S = mean over n draws and samples of JSD(p, p_S),  p = softmax f(z),  p_S: features of the set S permuted
//! L   = CE(f(z)) + unimodal sum over m of CE(h_m(z_m)) + contrast * NT-Xent(z)
//! gradient of what belongs to modality m:  grad L - mipd (sum of grad D_S, m in S + k sum of grad D_S, m not in S)
//! k   = -1 greedy, 0 independent, 1 collaborative;   S: proper subsets, modalities of a set are permuted separately
//! ```
//! Features are permuted within the batch. To a modality belong its encoder, its columns of one linear head over all
//! features, or its own head. What belongs to nobody takes no part in the greedy game and follows -mipd times the sum
//! of all grad D_S in the others. Each D_S goes back through the fusion alone; the encoders see one backward pass.

mod contrast;
mod game;
mod settings;

use aim_core::{GradFn, Grads, Idle, Output, Plain, Report, Result, Stateless, Step};
use candle_core::Tensor;

pub use self::settings::{ABOUT, Game, Gradient, Mcr};
use crate::joint::cross_entropy;

impl Stateless for Mcr {}
impl Idle for Mcr {}
impl Plain for Mcr {}

impl GradFn for Mcr {
    fn grads(&mut self, cx: &mut Step<'_>) -> Result<(Grads, Report)> {
        let mut report = Report::default();
        let out = cx.forward()?;
        report.note("logits", &out.logits);
        let mut loss = self.losses(cx, &out, &mut report)?;
        report.note("loss", &loss);
        let effects = game::effects(self, cx, &out, &mut report)?;
        if self.mipd == 0. {
            return Ok((Grads::of(&loss, cx.net.params())?, report));
        }
        let moves = game::moves(self, &effects, cx.net)?;
        for (feature, pull) in out.features.iter().zip(&moves.features) {
            loss = (loss + (feature * pull)?.sum_all()?)?;
        }
        let mut grads = Grads::of(&loss, cx.net.params())?;
        grads.add_scaled(&moves.others, 1.)?;
        Ok((grads, report))
    }
}

impl Mcr {
    /// The sum of all losses that every parameter follows.
    fn losses(&self, cx: &Step<'_>, out: &Output, report: &mut Report) -> Result<Tensor> {
        let mut sum = cross_entropy(&out.logits, cx.batch)?;
        report.note("loss.fused", &sum);
        let mut add = |name: String, loss: Tensor, weight: f64, report: &mut Report| -> Result<()> {
            report.note(name, &loss);
            if weight != 0. {
                sum = (&sum + (loss * weight)?)?;
            }
            Ok(())
        };
        for (name, logits) in cx.net.spec().modalities.iter().zip(&out.unimodal) {
            report.note(format!("unimodal.{name}"), logits);
            add(format!("loss.{name}"), cross_entropy(logits, cx.batch)?, self.unimodal, report)?;
        }
        if contrast::defined(&cx.net.spec().widths) {
            let loss = contrast::contrast(&out.features, cx.batch, self.temperature)?;
            add("loss.contrast".into(), loss, self.contrast, report)?;
        }
        Ok(sum)
    }
}
