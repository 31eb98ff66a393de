//! InfoReg: information regulation in the prime learning window (Huang et al., CVPR 2025, arXiv 2503.18595).
//!
//! ```text
//! s_m = mean log-probability of the true class from modality m alone
//! Delta_m = mean over modalities with a lower score of s_m - s_j; 0 for the weakest
//! Tr_m(t) = mean over the batches of epoch t of |gradient of encoder m|^2
//! window: (Tr(t-1) - Tr(t-2)) / Tr(t-1) > K
//! in the window and Delta_m > 0:  g += exp(beta tanh(Delta_m)) (w - w at the end of the last epoch)  all of encoder m
//! ```
//! This is the paper's rule; the released script uses other constants for each modality, sums of probabilities and one
//! modality's trace for both. `unimodal_losses` adds the unimodal losses (InfoReg*). beta and K are the paper's.

use std::{collections::BTreeMap, sync::Arc};

use aim_config::{between, by_type, settings};
use aim_core::{EpochStart, EpochWork, GradOp, Grads, Net, NetSpec, Report, Result, Seen, State, Stateful};
use candle_core::Tensor;

use crate::{
    Built, MethodInfo, MethodSettings, Provenance, Quantity, Requirements, Unimodal, joint::FusedAndUnimodal,
    util::log_loss,
};

/// Card of [`InfoReg`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "inforeg",
    title: "InfoReg",
    idea: "hold the encoder that is ahead near its last epoch while it takes in information fastest",
    paper: "Huang et al., CVPR 2025 (arXiv 2503.18595)",
    cost: "1 forward and 1 backward pass; a squared norm an encoder and a copy of the encoders' weights",
    departs: &[
        "The rule is the paper's; the released script has other constants for each modality, sums of probabilities, \
        the audio trace for all and always the unimodal losses.",
        "A larger score is better, as the text needs it; the printed equation has the other sign.",
        "The trace uses the gradient of the step; the released script makes three more backward passes for it.",
    ],
    requires: Requirements { unimodal: Unimodal::Trained, ..Requirements::NONE },
    provenance: Provenance::Faithful,
    reports: &[
        Quantity::modality("trace", "", "squared norm of the encoder's gradient"),
        Quantity::modality("score", "nats", "minus its loss"),
        Quantity::modality("delta", "nats", "lead of its score over lower ones"),
        Quantity::modality("window", "", "1 where information grows fastest, else 0"),
        Quantity::modality("coef", "", "factor on the pull towards the last epoch's weights"),
    ],
    revision: 1,
};

settings! {
    /// Settings of `inforeg`.
    pub struct InfoReg {
        /// Growth of the hold with the lead.
        pub beta: f64 = 0.9 => between(0., 100.), "paper";
        /// Growth of the trace that opens the window.
        pub k as "K": f64 = 0.04 => between(-100., 100.), "paper";
        /// Add the unimodal losses (InfoReg*).
        pub unimodal_losses: bool = false => by_type(), "paper (InfoReg without star)";
    }
}

impl MethodSettings for InfoReg {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn build(&self, net: &NetSpec) -> Result<Built> {
        let (unimodal, n) = (self.unimodal_losses, net.modalities.len());
        let (names, trace, running) = (net.modalities.clone(), vec![vec![]; n], vec![0.; n]);
        let built =
            Built::op(Regulated { settings: self.clone(), names, trace, running, steps: 0, previous: BTreeMap::new() });
        Ok(if unimodal { built.with_objective(FusedAndUnimodal { weight: 1. }) } else { built })
    }
}

struct Regulated {
    settings: InfoReg,
    names: Vec<String>,
    /// Traces of the last two epochs, oldest first.
    trace: Vec<Vec<f64>>,
    /// Sum of squared norms in this epoch, and the number of its steps.
    running: Vec<f64>,
    steps: usize,
    /// Encoder weights at the end of the last epoch.
    previous: BTreeMap<Arc<str>, Tensor>,
}

/// Lead of each modality over those that score less.
fn leads(scores: &[f64]) -> Vec<f64> {
    let lead = |own: &f64| {
        let lower: Vec<f64> = scores.iter().filter(|s| *s < own).map(|s| own - s).collect();
        lower.iter().sum::<f64>() / lower.len().max(1) as f64
    };
    scores.iter().map(lead).collect()
}

impl Regulated {
    fn in_window(&self, m: usize) -> bool {
        matches!(self.trace[m][..], [before, last] if (last - before) / last > self.settings.k)
    }

    fn watch(&mut self, grads: &Grads, net: &dyn Net, report: &mut Report) -> Result<()> {
        for (m, name) in self.names.iter().enumerate() {
            let own = grads.clone().filter(net.params(), |role| role.encoder() == Some(m));
            let squared = own.dot(&own)?;
            report.scalar(format!("trace.{name}"), squared)?;
            self.running[m] += squared;
        }
        self.steps += 1;
        Ok(())
    }
}

impl GradOp for Regulated {
    fn apply(&mut self, grads: &mut Grads, seen: &Seen<'_>, report: &mut Report) -> Result<()> {
        self.watch(grads, seen.net, report)?;
        let score = |logits: &Tensor| Ok(-log_loss(logits, seen.batch)?);
        let scores = seen.out.unimodal.iter().map(score).collect::<Result<Vec<_>>>()?;
        let leads = leads(&scores);
        let mut hold = vec![0.; leads.len()];
        for (m, name) in self.names.iter().enumerate() {
            let window = self.in_window(m);
            if window && leads[m] > 0. {
                hold[m] = (self.settings.beta * leads[m].tanh()).exp();
            }
            report.scalar(format!("score.{name}"), scores[m])?;
            report.scalar(format!("delta.{name}"), leads[m])?;
            report.scalar(format!("window.{name}"), f64::from(u8::from(window)))?;
            report.scalar(format!("coef.{name}"), hold[m])?;
        }
        let params = seen.net.params();
        grads.map(params, |name, role, grad| match (role.encoder(), self.previous.get(name), params.get(name)) {
            (Some(m), Some(old), Some(now)) if hold[m] != 0. => {
                Ok(Some((grad + ((now.var.as_detached_tensor() - old)? * hold[m])?)?))
            }
            _ => Ok(None),
        })
    }
}

impl EpochWork for Regulated {
    fn before_epoch(&mut self, cx: &mut EpochStart<'_>) -> Result<()> {
        if self.steps > 0 {
            for (trace, running) in self.trace.iter_mut().zip(&mut self.running) {
                trace.push(std::mem::take(running) / self.steps as f64);
                trace.drain(..trace.len().saturating_sub(2));
            }
            self.steps = 0;
        }
        let encoders = cx.net.params().iter().filter(|(_, p)| p.role.encoder().is_some());
        self.previous = encoders.map(|(k, p)| Ok((k.clone(), p.var.as_tensor().copy()?))).collect::<Result<_>>()?;
        Ok(())
    }
}

impl Stateful for Regulated {
    fn state(&self) -> Result<State> {
        let mut state = State::default();
        for (m, name) in self.names.iter().enumerate() {
            state.put(format!("trace.{name}"), &self.trace[m])?;
        }
        state.put("running", &self.running)?;
        state.put("steps", &[self.steps as f64])?;
        state.nest("prev", State(self.previous.iter().map(|(k, t)| (k.to_string(), t.clone())).collect()));
        Ok(state)
    }
    fn load(&mut self, state: &State) -> Result<()> {
        self.trace = self.names.iter().map(|n| state.numbers(&format!("trace.{n}"))).collect::<Result<_>>()?;
        self.running = state.numbers("running")?;
        self.steps = state.number("steps")? as usize;
        self.previous = state.part("prev").0.into_iter().map(|(k, t)| (k.into(), t)).collect();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leads_of_three_by_hand() {
        assert_eq!(leads(&[-1., -3., -2.]), [1.5, 0., 1.]);
    }
}
