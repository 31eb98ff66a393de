//! MSLR and MSES: a learning rate for each modality, from how its own validation score develops (Yao & Mihalcea, ACL 2022;
//! Fujimori et al. 2019). Networks whose logits are a sum of each modality's head.
//!
//! ```text
//! MSLR:  factor_m = init_m ratio_m;  ratio_m = 1 in the first five evaluations, then accuracy_m / mean of the five before
//! MSES:  factor_m = 1 until the smoothed validation loss has no new minimum for more than `patience` epochs; then modality
//!        m goes back to its best epoch and is frozen.   smoothed = 0.6 last loss + 0.4 this loss
//! ```
//! The factor multiplies every gradient of encoder m and its head, which for SGD is a learning rate of its own. Both were
//! read in the AGM repository, which watches the test split; here it is the validation split. A frozen modality gets no
//! gradient at all (there, weight decay and momentum still move it), and only its own weights go back to the best epoch
//! (there, the whole model and optimizer). `init` of that repository: audio 0.9, visual 1.1; the default is 1.

use std::collections::BTreeMap;

use aim_core::{
    EpochStart, EpochWork, GradOp, Grads, Net, NetSpec, Part, Pass, Report, Result, Role, Seen, Split, State, Stateful,
};
use candle_core::{D, DType, Tensor};
use serde::{Deserialize, Serialize};

use crate::card::{About, Needs, Setting, Settings, known, within};
use crate::joint::cross_entropy;
use crate::stack::Built;
use crate::util::number;

const NEEDS: Needs = Needs { unimodal: true, disjoint_heads: true, ..Needs::NONE };

/// Card of [`Mslr`].
pub static MSLR: About = About {
    name: "mslr",
    title: "MSLR",
    idea: "a learning rate for each modality that follows its validation accuracy",
    paper: "Yao & Mihalcea, ACL 2022; as in the AGM repository",
    cost: "1 forward and 1 backward pass; epoch: one evaluation of the validation split",
    departs: &[
        "The rule is read from the AGM repository, because the original was not available.",
        "Accuracy is that of the validation split; the AGM repository watches the test split.",
        "Factors start at 1, so that none is tuned to a data set; the AGM repository has 0.9 for audio and 1.1 for \
        video.",
        "The factor multiplies gradients, as in the source, which under Adam and its kin is no learning rate.",
    ],
    settings: &[Setting::new(
        "init",
        "1 each",
        "0 to 100",
        "factor of each modality",
        "ours; third party (AGM repository): audio 0.9, visual 1.1",
    )],
    needs: NEEDS,
};

/// Card of [`Mses`].
pub static MSES: About = About {
    name: "mses",
    title: "MSES",
    idea: "freeze each modality at its own best epoch",
    paper: "Fujimori et al. 2019; as in the AGM repository",
    cost: "1 forward and 1 backward pass; a copy of the best weights; epoch: one evaluation of the validation split",
    departs: &[
        "The rule is read from the AGM repository, because the original was not available.",
        "Losses are those of the validation split; the AGM repository watches the test split.",
        "The parameters of a frozen modality have no gradient and stand still, its norm layers' running statistics do not; \
        there, decay and momentum move the parameters, too.",
        "Only its own weights go back to the best epoch; there, the whole model and optimizer do.",
        "The run goes on when all modalities are frozen, so that every row has the same epochs; there, it stops.",
    ],
    settings: &[Setting::new(
        "patience",
        "80",
        "epochs",
        "epochs without a new minimum",
        "third party (AGM repository)",
    )],
    needs: NEEDS,
};

/// Settings of `mslr`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mslr {
    /// Factor of each modality; 1 where it is not named.
    pub init: BTreeMap<String, f64>,
}

impl Settings for Mslr {
    fn check(&self) -> Result<()> {
        self.init.iter().try_for_each(|(name, init)| within(&format!("init.{name}"), *init, 0., 100.))
    }
    fn build(self, net: &NetSpec) -> Result<Built> {
        known("init", self.init.keys(), net)?;
        let init = net.modalities.iter().map(|name| self.init.get(name).copied().unwrap_or(1.)).collect();
        Ok(Built::op(Rates::new(Rule::Mslr { init }, net)))
    }
}

/// Settings of `mses`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Mses {
    /// Epochs without a new minimum.
    pub patience: usize,
}

impl Default for Mses {
    fn default() -> Self {
        Self { patience: 80 }
    }
}

impl Settings for Mses {
    fn check(&self) -> Result<()> {
        Ok(())
    }
    fn build(self, net: &NetSpec) -> Result<Built> {
        Ok(Built::op(Rates::new(Rule::Mses { patience: self.patience }, net)))
    }
}

enum Rule {
    Mslr { init: Vec<f64> },
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

/// Last value against the mean of the five before; 1 while there are not that many.
fn ratio(history: &[f64]) -> f64 {
    match history.split_last() {
        Some((last, before)) if before.len() >= 5 => last / (before[before.len() - 5..].iter().sum::<f64>() / 5.),
        _ => 1.,
    }
}

/// Losses smoothed over two epochs.
fn smoothed(losses: &[f64]) -> Vec<f64> {
    let pairs = losses.windows(2).map(|w| 0.6 * w[0] + 0.4 * w[1]);
    losses.first().copied().into_iter().chain(pairs).collect()
}

/// The epoch of the first minimum up to which `patience` was never exceeded, and whether it was exceeded after it.
fn best_epoch(losses: &[f64], patience: usize) -> (usize, bool) {
    let (mut best, mut stopped) = (0, false);
    let smoothed = smoothed(losses);
    for (epoch, loss) in smoothed.iter().enumerate() {
        if !stopped && *loss < smoothed[best] {
            best = epoch;
        }
        stopped |= epoch - best > patience;
    }
    (best, stopped)
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
            Rule::Mslr { init } => {
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
                    Rule::Mses { .. } => number(&cross_entropy(&logits.detach(), batch)?)? * batch.len() as f64,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratio_by_hand() {
        assert_eq!(ratio(&[0.1, 0.2, 0.3, 0.4, 0.5]), 1.);
        assert!((ratio(&[9., 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]) - 0.6 / 0.3).abs() < 1e-12);
    }

    #[test]
    fn stops_by_hand() {
        // Smoothed: 1, 0.8, 0.62, 0.74, 0.9.
        let losses = [1., 0.5, 0.8, 0.65, 1.275];
        assert_eq!(best_epoch(&losses, 1), (2, true));
        assert_eq!(best_epoch(&losses, 2), (2, false));
    }
}
