//! PMR: Prototypical Modal Rebalance (Fan et al., CVPR 2023, arXiv 2211.07089): the modality that is behind also learns from
//! the distance of its features to class prototypes. Two modalities.
//!
//! ```text
//! c_mk  = momentum c_mk + (1 - momentum) mean feature of class k          once an epoch, over a share of the training set
//! p_m   = softmax over k of -|z_m - c_mk|;   rho = sum p_0(y) / sum p_1(y) over the batch
//! beta  = clip(1/rho - 1, 0, 1) if rho < 1 else 0;   gamma = clip(rho - 1, 0, 1) if rho >= 1 else 0     (paper)
//! beta  = [rho < 1], gamma = [rho > 1]                                                                  (binary)
//! L = CE + alpha (beta PCE_0 + gamma PCE_1) - mu (gamma H_0 + beta H_1)
//! ```
//! PCE_m is the cross-entropy and H_m the entropy of p_m; H raises the entropy of the modality that is ahead. `binary` is
//! the official code's rule. Distances are `sqrt(d^2 + 1e-12)`, so that the gradient at a prototype is finite. A class without
//! samples in the share keeps its prototype. Defaults: alpha 1 of the paper; mu 0 and momentum 0.2 of the official code.

mod prototypes;

use aim_core::{
    Batch, EpochStart, EpochWork, Error, Loss, NetSpec, Objective, Pass, Report, Result, Rng, Seen, Split, State,
    Stateful,
};
use candle_core::{D, Device, Tensor};
use serde::{Deserialize, Serialize};

use self::prototypes::ClassMeans;
pub use self::prototypes::{class_means, moved};
use crate::card::{About, Needs, Setting, Settings, within};
use crate::joint::cross_entropy;
use crate::stack::Built;
use crate::util::{number, true_probability};

/// Card of [`Pmr`].
pub static ABOUT: About = About {
    name: "pmr",
    title: "PMR",
    idea: "the modality that is behind also learns from distances to class prototypes",
    paper: "Fan et al., CVPR 2023 (arXiv 2211.07089)",
    cost: "step: 1 forward and 1 backward pass; distances to C prototypes a modality; epoch: each encoder over `share` \
    of the training split",
    departs: &[
        "The size of the coefficients is the paper's; the released code has 0 or 1 (`coefficient: binary`).",
        "The entropy term is off by default, as it is absent from the released script; the paper has it, with 0.01 or 0.001, in its \
        first `entropy_epochs`, whose number it does not give.",
        "Prototypes come from samples of the training split drawn anew each epoch; the released code takes the first \
        batches, for some sets of the validation or test split.",
        "A class without samples keeps its prototype and distances have a floor, because the released code divides by \
        zero in both places.",
    ],
    settings: &[
        Setting::new("alpha", "1", "0 to 100", "weight of the prototype loss; 0 is joint", "paper"),
        Setting::new(
            "mu",
            "0",
            "0 to 100",
            "weight of the entropy of the one ahead",
            "released code, which has no such term",
        ),
        Setting::new("entropy_epochs", "all", "epochs", "first epochs in which the entropy counts", "ours"),
        Setting::new("coefficient", "paper", "paper | binary", "form of beta and gamma", "paper"),
        Setting::new("momentum", "0.2", "0 to 1", "share of the old prototypes", "released code"),
        Setting::new("share", "0.1", "above 0, to 1", "share of the training set for prototypes", "paper"),
        Setting::new("modulation_ends", "100", "an epoch", "last epoch with prototypes", "released code"),
    ],
    needs: Needs { at_most: Some(2), ..Needs::NONE },
};

/// Form of the coefficients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Coefficient {
    /// Clipped discrepancy.
    Paper,
    /// 0 or 1.
    Binary,
}

/// Settings of `pmr`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pmr {
    /// Weight of the prototype loss.
    pub alpha: f64,
    /// Weight of the entropy.
    pub mu: f64,
    /// First epochs in which the entropy counts; all by default.
    pub entropy_epochs: Option<usize>,
    /// Form of the coefficients.
    pub coefficient: Coefficient,
    /// Share of the old prototypes.
    pub momentum: f64,
    /// Share of the training set for prototypes.
    pub share: f64,
    /// Last epoch with prototypes.
    pub modulation_ends: usize,
}

impl Default for Pmr {
    fn default() -> Self {
        let (entropy_epochs, coefficient) = (None, Coefficient::Paper);
        Self { alpha: 1., mu: 0., entropy_epochs, coefficient, momentum: 0.2, share: 0.1, modulation_ends: 100 }
    }
}

impl Settings for Pmr {
    fn check(&self) -> Result<()> {
        within("alpha", self.alpha, 0., 100.)?;
        within("mu", self.mu, 0., 100.)?;
        within("momentum", self.momentum, 0., 1.)?;
        within("share", self.share, f64::MIN_POSITIVE, 1.)
    }
    fn build(self, _: &NetSpec) -> Result<Built> {
        Ok(Built::objective(Prototypical { settings: self, prototypes: Vec::new() }))
    }
}

impl Pmr {
    /// Whether training is joint in an epoch.
    fn rests(&self, epoch: usize) -> bool {
        epoch > self.modulation_ends
    }
}

struct Prototypical {
    settings: Pmr,
    /// `[classes, width]` of each modality; none before the first epoch.
    prototypes: Vec<Tensor>,
}

impl Objective for Prototypical {
    fn losses(&mut self, seen: &Seen<'_>, report: &mut Report) -> Result<Vec<Loss>> {
        let names = &seen.net.spec().modalities;
        let given = names.iter().map(|name| seen.batch.given.get(&format!("proto.{name}")).cloned());
        let prototypes = given.collect::<Option<Vec<_>>>().unwrap_or_else(|| self.prototypes.clone());
        let mut losses = vec![Loss::new("loss.ce", cross_entropy(&seen.out.logits, seen.batch)?)];
        let epoch = seen.clock.epoch;
        if prototypes.is_empty() || self.settings.rests(epoch) {
            return Ok(losses);
        }
        let distance = |(z, c): (&Tensor, &Tensor)| distances(z, c);
        let distances = seen.out.features.iter().zip(&prototypes).map(distance).collect::<Result<Vec<_>>>()?;
        let (beta, gamma) = self.coefficients(&distances, &seen.batch.labels, report)?;
        let alpha = self.settings.alpha;
        let mu = if self.settings.entropy_epochs.is_none_or(|first| epoch < first) { self.settings.mu } else { 0. };
        for (m, (behind, ahead)) in [(beta, gamma), (gamma, beta)].into_iter().enumerate() {
            let (name, scores) = (&names[m], distances[m].neg()?);
            report.note(format!("dist.{name}"), &distances[m]);
            let own = Loss::new(format!("loss.pce.{name}"), cross_entropy(&scores, seen.batch)?);
            losses.push(own.times(alpha * behind));
            losses.push(Loss::new(format!("entropy.{name}"), entropy(&scores)?).times(-mu * ahead));
        }
        Ok(losses)
    }
}

/// Distances of features `[B, d]` to prototypes `[C, d]`.
fn distances(features: &Tensor, prototypes: &Tensor) -> Result<Tensor> {
    let difference = features.unsqueeze(1)?.broadcast_sub(&prototypes.detach().unsqueeze(0)?)?;
    Ok((difference.sqr()?.sum(D::Minus1)? + 1e-12)?.sqrt()?)
}

/// Mean over the batch of the entropy of `softmax(scores)`.
fn entropy(scores: &Tensor) -> Result<Tensor> {
    let log_p = aim_ops::log_softmax(scores)?;
    Ok((log_p.exp()? * log_p)?.sum(D::Minus1)?.mean_all()?.neg()?)
}

impl Prototypical {
    /// Weights of the prototype losses of the first and the second modality.
    fn coefficients(&self, distances: &[Tensor], labels: &Tensor, report: &mut Report) -> Result<(f64, f64)> {
        // Far from its prototype a class has a probability that f32 rounds to 0.
        let score =
            |d: &Tensor| Ok::<_, Error>(number(&true_probability(&d.detach().neg()?, labels)?.sum_all()?)?.max(1e-30));
        let rho = score(&distances[0])? / score(&distances[1])?;
        let (beta, gamma) = match self.settings.coefficient {
            Coefficient::Paper => ((1. / rho - 1.).clamp(0., 1.), (rho - 1.).clamp(0., 1.)),
            Coefficient::Binary => (f64::from(u8::from(rho < 1.)), f64::from(u8::from(rho > 1.))),
        };
        report.scalar("rho", rho)?;
        report.scalar("beta", beta)?;
        report.scalar("gamma", gamma)?;
        Ok((beta, gamma))
    }

    fn class_means(&self, cx: &EpochStart<'_>, m: usize) -> Result<(Tensor, Vec<bool>)> {
        let mut rng = Rng::keyed(cx.seed, &format!("pmr@{}", cx.clock.epoch));
        let spec = cx.net.spec();
        let mut means = ClassMeans::new(spec.classes, spec.widths[m]);
        cx.samples.each(Split::Train, &mut |batch: &Batch| {
            let chosen: Vec<u32> = (0..batch.len() as u32).filter(|_| rng.uniform() < self.settings.share).collect();
            if chosen.is_empty() {
                return Ok(());
            }
            let rows = Tensor::new(chosen, batch.labels.device())?;
            let features = cx.net.encode(m, &batch.inputs[m].index_select(&rows, 0)?, &mut Pass::eval())?;
            means.add(&features.detach(), &batch.labels.index_select(&rows, 0)?)
        })?;
        means.finish()
    }
}

impl EpochWork for Prototypical {
    fn before_epoch(&mut self, cx: &mut EpochStart<'_>) -> Result<()> {
        if self.settings.rests(cx.clock.epoch) {
            return Ok(());
        }
        let means = (0..cx.net.modalities()).map(|m| self.class_means(cx, m)).collect::<Result<Vec<_>>>()?;
        let updated = |(m, (new, seen)): (usize, (Tensor, Vec<bool>))| {
            let Some(old) = self.prototypes.get(m) else { return Ok(new) };
            moved(old, &new.to_device(old.device())?, &seen, self.settings.momentum)
        };
        self.prototypes = means.into_iter().enumerate().map(updated).collect::<Result<_>>()?;
        let device = cx.net.params().iter().next().map_or(Device::Cpu, |(_, p)| p.var.device().clone());
        self.prototypes = self.prototypes.iter().map(|p| Ok(p.to_device(&device)?)).collect::<Result<_>>()?;
        Ok(())
    }
}

impl Stateful for Prototypical {
    fn state(&self) -> Result<State> {
        let named = |(m, p): (usize, &Tensor)| (format!("proto.{m}"), p.clone());
        Ok(State(self.prototypes.iter().enumerate().map(named).collect()))
    }
    fn load(&mut self, state: &State) -> Result<()> {
        self.prototypes = state.0.values().cloned().collect();
        Ok(())
    }
}
