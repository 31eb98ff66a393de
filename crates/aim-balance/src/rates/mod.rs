//! MSLR and MSES: a learning rate for each modality, from how its own validation score develops (Yao & Mihalcea, ACL
//! 2022; Fujimori et al. 2019). Networks whose logits are a sum of each modality's head.
//!
//! ```text
//! MSLR:  factor_m = init_m ratio_m; ratio_m = 1 in the first five evaluations, then accuracy_m / mean of 5 before
//! MSES:  factor_m = 1 until the smoothed validation loss has no new minimum for more than `patience` epochs; then
//!        modality m goes back to its best epoch and is frozen.   smoothed = 0.6 last loss + 0.4 this loss
//! ```
//! The factor multiplies every gradient of encoder m and its head, which for SGD is a learning rate of its own, or
//! (`factor: learning_rate`) the optimizer's rate there. Both were read in the AGM repository, which watches the test
//! split; here it is the validation split. A frozen modality gets no gradient at all (there, weight decay and momentum
//! still move it), and only its own weights go back to the best epoch (there, the whole model and optimizer). `init` of
//! that repository: audio 0.9, visual 1.1; the default is 1.

mod history;
mod settings;

use aim_core::{
    EpochStart, EpochWork, Factors, GradOp, Grads, Net, NetSpec, Part, Pass, Report, Result, Role, Seen, Split, State,
    Stateful,
};
use candle_core::{D, DType, Tensor};

use self::history::{best_epoch, ratio};
pub use self::settings::{Factor, MSES, MSLR, Mses, Mslr};
use crate::util::{log_loss, number};

enum Rule {
    Mslr { init: Vec<f64>, factor: Factor },
    Mses { patience: usize },
}

struct Rates {
    rule: Rule,
    names: Vec<String>,
    /// Validation accuracy (MSLR) or loss (MSES) of each modality after each epoch.
    history: Vec<Vec<f64>>,
    /// Weights of each modality at its best epoch (MSES).
    best: State,
}

/// The modality that a parameter serves alone.
fn owner(role: Role) -> Option<usize> {
    match role.part {
        Part::Head { modality } => modality,
        _ => role.encoder(),
    }
}

impl Rates {
    fn new(rule: Rule, net: &NetSpec) -> Self {
        let names = net.modalities.clone();
        Self { rule, history: vec![vec![]; names.len()], names, best: State::default() }
    }

    /// Ratio and factor of a modality.
    fn factor(&self, m: usize) -> (f64, f64) {
        match &self.rule {
            Rule::Mslr { init, .. } => {
                let ratio = ratio(&self.history[m]);
                (ratio, init[m] * ratio)
            }
            Rule::Mses { patience } => {
                let factor = f64::from(u8::from(!best_epoch(&self.history[m], *patience).1));
                (factor, factor)
            }
        }
    }

    /// Keeps a modality's weights at its best epoch, and goes back to them when it is frozen.
    fn keep_best(&mut self, m: usize, patience: usize, net: &dyn Net) -> Result<()> {
        let (best, stopped) = best_epoch(&self.history[m], patience);
        let now = self.history[m].len() - 1;
        let froze_now = stopped && !best_epoch(&self.history[m][..now], patience).1;
        for (name, param) in net.params().iter().filter(|(_, p)| owner(p.role) == Some(m)) {
            if best == now {
                self.best.0.insert(name.to_string(), param.var.as_tensor().copy()?);
            } else if let Some(value) = self.best.0.get(name.as_ref()).filter(|_| froze_now) {
                param.var.set(value)?;
            }
        }
        Ok(())
    }
}

impl GradOp for Rates {
    fn apply(&mut self, grads: &mut Grads, seen: &Seen<'_>, report: &mut Report) -> Result<()> {
        let factors: Vec<_> = (0..self.names.len()).map(|m| self.factor(m)).collect();
        for (name, (ratio, factor)) in self.names.iter().zip(&factors) {
            report.scalar(format!("ratio.{name}"), *ratio)?;
            report.scalar(format!("coef.{name}"), *factor)?;
        }
        let params = seen.net.params();
        if matches!(self.rule, Rule::Mses { .. }) {
            *grads = std::mem::take(grads).filter(params, |role| owner(role).is_none_or(|m| factors[m].1 != 0.));
        }
        if let Rule::Mslr { factor: Factor::LearningRate, .. } = self.rule {
            let own = |m: usize| Factors { lr: factors[m].1, ..Factors::default() };
            grads.adjust(params, |role| owner(role).map(own));
            return Ok(());
        }
        grads.map(params, |_, role, grad| match owner(role) {
            Some(m) if factors[m].1 != 1. => Ok(Some((grad * factors[m].1)?)),
            _ => Ok(None),
        })
    }
}

impl EpochWork for Rates {
    fn before_epoch(&mut self, cx: &mut EpochStart<'_>) -> Result<()> {
        if cx.clock.epoch == 0 {
            return Ok(());
        }
        let (mut sums, mut count) = (vec![0.; self.names.len()], 0.);
        cx.samples.each(Split::Validation, &mut |batch| {
            let out = cx.net.forward(batch, &mut Pass::eval())?;
            for (sum, logits) in sums.iter_mut().zip(&out.unimodal) {
                *sum += match self.rule {
                    Rule::Mslr { .. } => number(&right(&logits.detach(), &batch.labels)?.sum_all()?)?,
                    Rule::Mses { .. } => log_loss(logits, batch)? * batch.len() as f64,
                };
            }
            count += batch.len() as f64;
            Ok(())
        })?;
        for (m, sum) in sums.into_iter().enumerate() {
            self.history[m].push(sum / count);
            if let Rule::Mses { patience } = self.rule {
                self.keep_best(m, patience, cx.net)?;
            }
        }
        Ok(())
    }
}

/// 1 for each right prediction.
fn right(logits: &Tensor, labels: &Tensor) -> Result<Tensor> {
    Ok(logits.argmax(D::Minus1)?.eq(labels)?.to_dtype(DType::F32)?)
}

impl Stateful for Rates {
    fn state(&self) -> Result<State> {
        let mut state = State::default();
        for (name, history) in self.names.iter().zip(&self.history) {
            state.put(format!("history.{name}"), history)?;
        }
        state.nest("best", self.best.clone());
        Ok(state)
    }
    fn load(&mut self, state: &State) -> Result<()> {
        let history = |name: &String| state.numbers(&format!("history.{name}"));
        self.history = self.names.iter().map(history).collect::<Result<_>>()?;
        self.best = state.part("best");
        Ok(())
    }
}
