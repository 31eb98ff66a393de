//! PMR: Prototypical Modal Rebalance (Fan et al., CVPR 2023, arXiv 2211.07089): the modality that is behind also learns
//! from the distance of its features to class prototypes. Two modalities.
//!
//! ```text
//! c_mk  = momentum c_mk + (1 - momentum) mean feature of class k     once an epoch, over a share of the training set
//! p_m   = softmax over k of -|z_m - c_mk|;   rho = sum p_0(y) / sum p_1(y) over the batch
//! beta  = clip(1/rho - 1, 0, 1) if rho < 1 else 0;   gamma = clip(rho - 1, 0, 1) if rho >= 1 else 0     (paper)
//! beta  = [rho < 1], gamma = [rho > 1]                                                                  (binary)
//! L = CE + alpha (beta PCE_0 + gamma PCE_1) - mu (gamma H_0 + beta H_1)
//! ```
//! PCE_m is the cross-entropy and H_m the entropy of p_m; H raises the entropy of the modality that is ahead. `binary`
//! is the official code's rule. Distances are `sqrt(d^2 + 1e-12)`, so that the gradient at a prototype is finite. A
//! class without samples in the share keeps its prototype. Defaults: alpha 1 of the paper; mu 0 and momentum 0.2 of the
//! official code.

mod prototypes;
mod settings;

use aim_core::{
    Batch, EpochStart, EpochWork, Error, Loss, Objective, Pass, Report, Result, Rng, Seen, Split, State, Stateful,
};
use candle_core::{D, Device, Tensor};

use self::prototypes::ClassMeans;
pub use self::{
    prototypes::{class_means, moved},
    settings::{ABOUT, Coefficient, Pmr},
};
use crate::{
    joint::cross_entropy,
    util::{number, true_probability},
};

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

    /// The means of each modality's features, and which classes have one.
    fn class_means(&self, cx: &EpochStart<'_>) -> Result<Vec<(Tensor, Vec<bool>)>> {
        let mut rng = Rng::keyed(cx.seed, &format!("pmr@{}", cx.clock.epoch));
        let spec = cx.net.spec();
        let mut means: Vec<_> = spec.widths.iter().map(|width| ClassMeans::new(spec.classes, *width)).collect();
        cx.samples.each(Split::Train, &mut |batch: &Batch| {
            let chosen: Vec<u32> = (0..batch.len() as u32).filter(|_| rng.uniform() < self.settings.share).collect();
            if chosen.is_empty() {
                return Ok(());
            }
            let rows = Tensor::new(chosen, batch.labels.device())?;
            let chosen = batch.rows(&rows)?;
            let features = cx.net.features(&chosen, &mut Pass::eval())?;
            means.iter_mut().zip(features).try_for_each(|(means, x)| means.add(&x.detach(), &chosen.labels))
        })?;
        means.into_iter().map(ClassMeans::finish).collect()
    }
}

impl EpochWork for Prototypical {
    fn before_epoch(&mut self, cx: &mut EpochStart<'_>) -> Result<()> {
        if self.settings.rests(cx.clock.epoch) {
            return Ok(());
        }
        let updated = |(m, (new, seen)): (usize, (Tensor, Vec<bool>))| {
            let Some(old) = self.prototypes.get(m) else { return Ok(new) };
            moved(old, &new.to_device(old.device())?, &seen, self.settings.momentum)
        };
        self.prototypes = self.class_means(cx)?.into_iter().enumerate().map(updated).collect::<Result<_>>()?;
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
