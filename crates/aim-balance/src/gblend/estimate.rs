//! Estimates of G-Blend's weights.

use aim_core::{Batch, Draws, EpochStart, Grads, Net, Pass, Result, Rng, Split};
use candle_core::Tensor;

use crate::{joint::cross_entropy, teacher::Teacher, util::log_loss};

/// What the weights are made of.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// Gain in validation loss.
    pub gain: Vec<f64>,
    /// Growth of the gap between training and validation.
    pub overfitting: Vec<f64>,
    /// The weights.
    pub weights: Vec<f64>,
}

/// Mean losses of every branch on the training and validation split.
pub type Losses<'a> = (&'a [f64], &'a [f64]);

/// Least square of the growth that a gain is divided by.
pub const LEAST: f64 = 1e-8;

/// The weights from losses before and after; squares of the growth count as at least `least`.
pub fn estimate(before: Losses<'_>, after: Losses<'_>, least: f64) -> Estimate {
    let branches = 0..before.0.len();
    let gain: Vec<f64> = branches.clone().map(|k| before.1[k] - after.1[k]).collect();
    let gap = |losses: Losses<'_>, k: usize| losses.1[k] - losses.0[k];
    let overfitting: Vec<f64> = branches.map(|k| gap(after, k) - gap(before, k)).collect();
    let raw: Vec<f64> = gain.iter().zip(&overfitting).map(|(g, o)| g.max(0.) / (o * o).max(least)).collect();
    let total: f64 = raw.iter().sum();
    let weights = raw.iter().map(|w| if total > 0. { w / total } else { 1. / raw.len() as f64 }).collect();
    Estimate { gain, overfitting, weights }
}

/// Logits of every branch in evaluation: modalities in order, fused last.
type Branches<'a> = &'a dyn Fn(&dyn Net, &Batch) -> Result<Vec<Tensor>>;

/// Those of the network as it is.
fn current(net: &dyn Net, batch: &Batch) -> Result<Vec<Tensor>> {
    let out = net.forward(batch, &mut Pass::eval())?;
    Ok(out.unimodal.into_iter().chain([out.logits]).collect())
}

/// Mean losses of every branch on the training and validation split.
fn measure(cx: &EpochStart<'_>, branches: Branches<'_>) -> Result<(Vec<f64>, Vec<f64>)> {
    let of = |split| -> Result<Vec<f64>> {
        let (mut sums, mut count) = (vec![0.; cx.net.modalities() + 1], 0.);
        cx.samples.each(split, &mut |batch| {
            for (sum, logits) in sums.iter_mut().zip(branches(cx.net, batch)?) {
                *sum += log_loss(&logits, batch)? * batch.len() as f64;
            }
            count += batch.len() as f64;
            Ok(())
        })?;
        Ok(sums.into_iter().map(|sum| sum / count).collect())
    };
    Ok((of(Split::Train)?, of(Split::Validation)?))
}

/// Compares the networks that were trained before the run with the untrained one.
pub(super) fn offline(cx: &EpochStart<'_>) -> Result<Estimate> {
    let (teachers, joint) = (Teacher::all(cx)?, cx.prepared.joint()?);
    let before = measure(cx, &current)?;
    let after = measure(cx, &|net, batch| {
        let alone = |(m, teacher): (usize, &Teacher)| teacher.logits(&teacher.feature(net, m, &batch.inputs[m])?);
        let mut logits = teachers.iter().enumerate().map(alone).collect::<Result<Vec<_>>>()?;
        logits.push(net.forward(batch, &mut Pass::eval().view(joint))?.logits);
        Ok(logits)
    })?;
    Ok(estimate((&before.0, &before.1), (&after.0, &after.1), LEAST))
}

/// Trains the current network on each branch alone and puts it back.
pub(super) fn online(cx: &mut EpochStart<'_>, epochs: usize) -> Result<Estimate> {
    let before = measure(cx, &current)?;
    let (weights, optimizer) = (cx.net.params().snapshot()?, cx.opt.state()?);
    let mut after = before.clone();
    for k in 0..before.0.len() {
        for epoch in 0..epochs {
            train(cx, k, epoch)?;
        }
        let (train, validation) = measure(cx, &current)?;
        (after.0[k], after.1[k]) = (train[k], validation[k]);
        cx.net.params().load(&weights)?;
        cx.opt.load(&optimizer)?;
    }
    Ok(estimate((&before.0, &before.1), (&after.0, &after.1), LEAST))
}

/// One epoch on the loss of branch k alone, the `epoch`th from here.
fn train(cx: &mut EpochStart<'_>, k: usize, epoch: usize) -> Result<()> {
    let seed = Rng::keyed(cx.seed, &format!("gblend@{}.{k}.{epoch}", cx.clock.epoch)).seed();
    let (net, opt) = (cx.net, &mut *cx.opt);
    let mut draws = Draws { seed, epoch: cx.clock.epoch, step: 0 };
    cx.samples.shuffled(Split::Train, seed, &mut |batch: &Batch| {
        let out = net.forward(batch, &mut Pass::train(draws))?;
        draws.step += 1;
        let logits = out.unimodal.get(k).unwrap_or(&out.logits);
        opt.apply(net.params(), &Grads::of(&cross_entropy(logits, batch)?, net.params())?)
    })
}
