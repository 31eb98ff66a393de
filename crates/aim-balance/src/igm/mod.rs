//! IGM: interactive multimodal learning by flat gradient modification (Jiang, Chi & Yang, IJCAI 2025; as MIE arXiv
//! 2407.04587): modalities are trained in turn, and a head's gradient keeps to directions flat for the one before.
//!
//! ```text
//! stage: encoder and head of one modality are trained
//!   g  = (1 - lambda) grad L(theta) + lambda grad L(theta + rho grad L / |grad L|)        L: cross-entropy, mixed up
//!   each layer W of the head:  gradient <- gradient T
//! after it, for the input x of each layer of its head over the training set:
//!   Cov = sum over batches of mean(x)^T mean(x)   or   sum of x^T x;   Cov = V diag(s) V^T
//!   T   = V diag(exp(-tau (s - s_min) / (s_max - s_min))) V^T;   T = 1 where all s are equal
//! ```
//! Layer k of one head belongs to layer k of the next; where their widths differ the gradient is left alone. The
//! perturbation is undone and reaches encoder and head (in the released code it is never undone, reaches the head alone
//! and, at 1e-10, has no effect). rho 0.05 is ours, tau and lambda are released. Predictions are the mean of the
//! probabilities. Samples that lack the modality take no part in its stage, and a modality that is missing none in the
//! prediction.

mod flat;
mod mix;
mod settings;

use aim_core::{
    Batch, EpochStart, EpochWork, Error, GradFn, Grads, Infer, Net, Output, Part, Pass, Report, Result, State,
    Stateful, Step,
};
use candle_core::Tensor;

use self::mix::Mix;
pub use self::{
    flat::{Covariance, accumulate, matrix},
    settings::{ABOUT, Igm},
};
use crate::{
    joint::cross_entropy,
    util::{Still, ascent, log_mean_probability},
};

struct Turns {
    settings: Igm,
    order: Vec<usize>,
    /// T of each layer of the head trained before; none in the first stage.
    matrices: Vec<Tensor>,
}

/// Logits of modality m alone, and their loss.
fn unimodal(net: &dyn Net, cx: &Step<'_>, m: usize, mix: Option<&Mix>) -> Result<(Tensor, Tensor)> {
    let (x, mut pass) = (&cx.batch.inputs[m], Pass::train(cx.draws()));
    let x = mix.map_or_else(|| Ok(x.clone()), |mix| mix.inputs(x))?;
    let own = net.encode(m, &x, &mut pass)?;
    let blank = |width: &usize| Tensor::zeros((cx.batch.len(), *width), own.dtype(), own.device());
    let mut features: Vec<Tensor> = net.spec().widths.iter().map(blank).collect::<candle_core::Result<_>>()?;
    features[m] = own;
    let logits = net.fuse(features, None, &mut pass)?.unimodal.swap_remove(m);
    let loss = mix.map_or_else(|| cross_entropy(&logits, cx.batch), |mix| mix.loss(&logits, cx.batch))?;
    Ok((logits, loss))
}

impl GradFn for Turns {
    fn grads(&mut self, cx: &mut Step<'_>) -> Result<(Grads, Report)> {
        let m = self.active(self.settings.stage(cx.clock.epoch).0);
        match cx.batch.having(m)? {
            None => self.turn(m, cx),
            Some(own) if own.is_empty() => Ok(Default::default()),
            Some(own) => self.turn(m, &mut Step { batch: &own, opt: &mut *cx.opt, ..*cx }),
        }
    }
}

impl Turns {
    /// The modality of a stage.
    fn active(&self, stage: usize) -> usize {
        self.order[stage % self.order.len()]
    }

    /// The gradient of modality m's encoder and head.
    fn turn(&self, m: usize, cx: &mut Step<'_>) -> Result<(Grads, Report)> {
        let (mut report, params) = (Report::default(), cx.net.params());
        let mix = Mix::draw(&self.settings, cx)?;
        let (logits, mut loss) = unimodal(cx.net, cx, m, mix.as_ref())?;
        report.note("logits", &logits);
        report.note("loss", &loss);
        let Igm { rho, lambda, compat, .. } = self.settings;
        if compat {
            loss = ((loss * (1. - lambda))? + (cross_entropy(&logits, cx.batch)? * lambda)?)?;
        }
        let own = |role: aim_core::Role| role.encoder() == Some(m) || role.part == Part::Head { modality: Some(m) };
        let plain = Grads::of(&loss, params)?.filter(params, own);
        report.scalar("grad_norm", plain.norm()?)?;
        let mut grads = plain.clone();
        if !compat {
            let (perturbed, loss) = cx.nudged(&ascent(&plain, rho)?, |cx| {
                let (_, loss) = unimodal(&Still(cx.net), cx, m, mix.as_ref())?;
                Ok((Grads::of(&loss, params)?.filter(params, own), loss))
            })?;
            report.note("loss.perturbed", &loss);
            grads = plain.scaled(1. - lambda)?;
            grads.add_scaled(&perturbed, lambda)?;
        }
        if cx.trace {
            grads.iter().for_each(|(name, grad)| report.note(format!("grad_raw.{name}"), grad));
        }
        let mut layer = self.matrices.iter();
        grads.map(params, |_, role, grad| {
            if !(role.is_weight() && matches!(role.part, Part::Head { .. })) {
                return Ok(None);
            }
            let fitting = layer.next().filter(|t| t.dim(0).ok() == grad.dim(1).ok());
            Ok(fitting.map(|t| grad.matmul(t)).transpose()?)
        })?;
        Ok((grads, report))
    }
}

impl EpochWork for Turns {
    fn before_epoch(&mut self, cx: &mut EpochStart<'_>) -> Result<()> {
        let Igm { tau, covariance, .. } = self.settings;
        match self.settings.stage(cx.clock.epoch) {
            (stage @ 1.., 0) if tau != 0. => {
                self.matrices = flat::matrices(cx, self.active(stage - 1), tau, covariance)?
            }
            _ => {}
        }
        Ok(())
    }
}

impl Infer for Turns {
    fn infer(&self, net: &dyn Net, batch: &Batch) -> Result<Output> {
        let out = net.forward(batch, &mut Pass::eval())?;
        Ok(Output { logits: log_mean_probability(&out.unimodal, batch)?, ..out })
    }
}

impl Stateful for Turns {
    fn state(&self) -> Result<State> {
        Ok(State(self.matrices.iter().enumerate().map(|(k, t)| (format!("T.{k}"), t.clone())).collect()))
    }
    fn load(&mut self, state: &State) -> Result<()> {
        let matrices = state.part("T");
        let layer = |k: usize| matrices.0.get(&k.to_string()).cloned();
        self.matrices = (0..).map_while(layer).collect();
        if self.matrices.len() != matrices.0.len() {
            return Err(Error::invalid("state `T`", "has a gap", "resume with the state that was saved"));
        }
        Ok(())
    }
}
