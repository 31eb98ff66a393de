//! What an auxiliary pass needs: saliency of the units, features through the reduced blocks, and a loss.

use aim_core::{Batch, Grads, Norm, Output, Pass, Report, Result, Rng, Step, View, capability};
use candle_core::Tensor;

use super::blocks::{self, Saliency};
use super::measure::{Dose, Grid};
use super::method::Aim;
use super::settings::{Criterion, Passes, Reliance};
use crate::joint::cross_entropy;

/// What auxiliary passes have of the modalities that are reduced.
pub(super) enum Auxiliary {
    /// The feature of each, where encoders work without each other.
    Features(Vec<Option<Tensor>>),
    /// The weights of each, where encoders see each other, so that every pass runs all of them.
    Views(Vec<View>),
}

impl Aim {
    /// Saliency of the degraded modalities, where it is due.
    pub(super) fn refresh_saliency(
        &mut self,
        cx: &Step<'_>,
        plain: &Tensor,
        logits: Option<&Grid<Tensor>>,
        degraded: &[usize],
    ) -> Result<()> {
        let (step, every) = (cx.clock.step, self.settings.saliency_every);
        let fresh = |s: &Option<(usize, Saliency)>| s.as_ref().is_some_and(|(at, _)| step < at + every);
        let due: Vec<usize> = degraded.iter().copied().filter(|m| !fresh(&self.saliency[*m])).collect();
        let (params, granularity) = (cx.net.params(), self.settings.granularity);
        if due.is_empty() {
            return Ok(());
        }
        if self.settings.criterion == Criterion::Random {
            for m in due {
                let rng = &mut cx.draws().rng(&format!("aim.units.{m}"));
                self.saliency[m] = Some((step, blocks::random(params, m, granularity, rng)));
            }
            return Ok(());
        }
        // One backward pass serves all: their encoders share no parameter. Where they see each other, an encoder's
        // saliency is for all these losses.
        let of = |logits: &Grid<Tensor>| {
            let losses = due.iter().flat_map(|m| &logits[*m]).map(|x| cross_entropy(x, cx.batch));
            losses.reduce(|a, b| Ok((a? + b?)?)).transpose()
        };
        let Some(loss) = logits.map_or_else(|| Ok(Some(plain.clone())), of)? else { return Ok(()) };
        let grads = Grads::of(&loss, params)?;
        for m in due {
            self.saliency[m] = Some((step, blocks::saliency(params, m, &grads, self.settings.criterion, granularity)?));
        }
        Ok(())
    }

    /// The auxiliary blocks of the degraded modalities, or their features through these over the batch's auxiliary
    /// part.
    pub(super) fn auxiliary(
        &self,
        cx: &Step<'_>,
        doses: &Grid<Dose>,
        degraded: &[usize],
        report: &mut Report,
    ) -> Result<Auxiliary> {
        let modalities = self.spec.modalities.len();
        let (mut features, mut views) = (vec![None; modalities], vec![View::new(); modalities]);
        let together = self.spec.capabilities.has(capability::INNER);
        for &m in degraded {
            let Some((_, saliency)) = &self.saliency[m] else { continue };
            let trace = cx.trace.then_some(&mut *report);
            let view: View = blocks::view(cx.net.params(), m, doses, saliency, trace)?;
            if together {
                views[m] = view;
                continue;
            }
            let x = cx.batch.inputs[m].head(self.part(cx.batch))?;
            let mut pass = Pass::train(cx.draws()).norm(Norm::Batch).view(&view);
            features[m] = Some(cx.net.encode(m, &x, &mut pass)?);
        }
        Ok(if together { Auxiliary::Views(views) } else { Auxiliary::Features(features) })
    }

    /// Number of samples in auxiliary passes.
    fn part(&self, batch: &Batch) -> usize {
        ((self.settings.aux_fraction * batch.len() as f64).ceil() as usize).clamp(1, batch.len())
    }

    /// Cross-entropy with the features of `group` taken from the auxiliary blocks, the others from the plain pass.
    pub(super) fn auxiliary_loss(
        &self,
        cx: &Step<'_>,
        out: &Output,
        auxiliary: &Auxiliary,
        group: &[usize],
        report: &mut Report,
    ) -> Result<Tensor> {
        let n = self.part(cx.batch);
        let plain: Vec<Tensor> = out.features.iter().map(|x| x.narrow(0, 0, n)).collect::<candle_core::Result<_>>()?;
        let batch = if n == cx.batch.len() { cx.batch.clone() } else { cx.batch.head(n)? };
        let mut features = match auxiliary {
            Auxiliary::Features(reduced) => {
                let own = |(m, x): (usize, &Tensor)| {
                    let reduced = reduced[m].clone().filter(|_| group.contains(&m));
                    reduced.unwrap_or_else(|| x.clone())
                };
                plain.iter().enumerate().map(own).collect()
            }
            Auxiliary::Views(views) => {
                let view: View = group.iter().flat_map(|m| views[*m].clone()).collect();
                cx.net.features(&batch, &mut Pass::train(cx.draws()).norm(Norm::Batch).view(&view))?
            }
        };
        if self.settings.reliance == Reliance::Mix {
            for &m in group {
                features[m] = mix(&features[m], &plain[m], &mut cx.draws().rng(&format!("aim.mix.{m}")))?;
            }
        }
        let mut pass = Pass::train(cx.draws()).norm(Norm::Batch);
        let logits = cx.net.fuse(features, batch.present.as_ref(), &mut pass)?.logits;
        let loss = cross_entropy(&logits, &batch)?;
        let own = |m: &usize| &self.spec.modalities[*m];
        match self.rule.passes {
            Passes::Joint => {
                report.note("logits_aux", &logits);
                report.note("loss.aux", &loss);
            }
            _ => {
                let reduced = group.iter().map(own).map(String::as_str).collect::<Vec<_>>().join("+");
                report.note(format!("logits_aux.{reduced}"), &logits);
                report.note(format!("loss.aux_{reduced}"), &loss);
            }
        }
        Ok(loss)
    }
}

/// Each sample takes `a` or `b` with equal chance.
fn mix(a: &Tensor, b: &Tensor, rng: &mut Rng) -> Result<Tensor> {
    let picks: Vec<f32> = (0..a.dims()[0]).map(|_| f32::from(rng.uniform() < 0.5)).collect();
    let pick = Tensor::from_vec(picks, (a.dims()[0], 1), a.device())?;
    let rest = (1. - &pick)?;
    Ok((a.broadcast_mul(&pick)? + b.broadcast_mul(&rest)?)?)
}
