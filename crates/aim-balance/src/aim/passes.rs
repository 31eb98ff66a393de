//! What an auxiliary pass needs: saliency of the units, features through the reduced blocks, and a loss.

use aim_core::{Batch, Grads, Norm, Output, Pass, Report, Result, Rng, Step, View};
use candle_core::Tensor;

use super::blocks::{self, Saliency};
use super::measure::{Dose, Grid};
use super::method::Aim;
use super::settings::{Criterion, Passes, Reliance};
use crate::joint::cross_entropy;

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
        // One backward pass serves all: their encoders share no parameter.
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

    /// Features of the degraded modalities through their auxiliary blocks, over the batch's auxiliary part.
    pub(super) fn auxiliary_features(
        &self,
        cx: &Step<'_>,
        doses: &Grid<Dose>,
        degraded: &[usize],
        report: &mut Report,
    ) -> Result<Vec<Option<Tensor>>> {
        let mut features = vec![None; self.spec.modalities.len()];
        for &m in degraded {
            let Some((_, saliency)) = &self.saliency[m] else { continue };
            let trace = cx.trace.then_some(&mut *report);
            let view: View = blocks::view(cx.net.params(), m, doses, saliency, trace)?;
            let x = cx.batch.inputs[m].head(self.part(cx.batch))?;
            let mut pass = Pass::train(cx.draws()).norm(Norm::Batch).view(&view);
            features[m] = Some(cx.net.encode(m, &x, &mut pass)?);
        }
        Ok(features)
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
        auxiliary: &[Option<Tensor>],
        group: &[usize],
        report: &mut Report,
    ) -> Result<Tensor> {
        let n = self.part(cx.batch);
        let mut features: Vec<Tensor> =
            out.features.iter().map(|x| x.narrow(0, 0, n)).collect::<candle_core::Result<_>>()?;
        for &m in group {
            let Some(aux) = &auxiliary[m] else { continue };
            features[m] = match self.settings.reliance {
                Reliance::Mix => mix(aux, &features[m], &mut cx.draws().rng(&format!("aim.mix.{m}")))?,
                Reliance::Dual | Reliance::Switch => aux.clone(),
            };
        }
        let batch = if n == cx.batch.len() { cx.batch.clone() } else { cx.batch.head(n)? };
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
