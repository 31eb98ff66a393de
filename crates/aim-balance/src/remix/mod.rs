//! Data Remixing (Ma et al., ICML 2025, arXiv 2506.11550): after a warm-up each sample is given to the modality that
//! separates it worst, and a batch has one modality alone, so that no other interferes with its gradient.
//!
//! ```text
//! epoch < warmup:  L = CE(z) + warmup_weight sum over m of CE(h_m(phi_m))
//! later, before the epoch, in evaluation:
//!   p_m = softmax h_m(phi_m), at least 1e-9;   K_m = sum over c of p_m log2(p_m C)
//!   a sample -> the smallest K_m, the last of equals;   modalities have their batches one after the other, last first
//!   batch of modality k:  L = CE(fuse(0, .., phi_k, .., 0)) + gamma CE(h_k(phi_k))
//! ```
//! Nothing is kept between epochs but weights. Validation and test see all modalities.

mod assign;
mod settings;

use aim_core::{
    Batch, EpochStart, EpochWork, Loss, Objective, Pass, Report, Result, Seen, Split, State, Stateful, Turn,
};
use candle_core::{DType, Tensor};

pub use self::{
    assign::{divergences, weakest},
    settings::{ABOUT, Absent, Remix},
};
use crate::{
    joint::{FusedAndUnimodal, cross_entropy},
    util::{number, own_loss, rows_with},
};

struct Remixed {
    settings: Remix,
    /// Modalities in the order of their turns.
    order: Vec<usize>,
    names: Vec<String>,
    warm: FusedAndUnimodal,
    /// Samples that the epoch gives to each modality, and its mean divergence over those that have it; 0 in the
    /// warm-up.
    assigned: Vec<f64>,
    divergence: Vec<f64>,
}

impl EpochWork for Remixed {
    fn before_epoch(&mut self, cx: &mut EpochStart<'_>) -> Result<()> {
        if cx.clock.epoch < self.settings.warmup {
            return Ok(());
        }
        let (mut divergence, mut ids) = (vec![vec![]; self.names.len()], vec![]);
        cx.samples.each(Split::Train, &mut |batch| {
            let out = cx.net.forward(batch, &mut Pass::eval())?;
            for (m, (all, logits)) in divergence.iter_mut().zip(&out.unimodal).enumerate() {
                all.extend(of_those_who_have(&divergences(logits)?, m, batch)?);
            }
            ids.extend(&batch.ids);
            Ok(())
        })?;
        let given = weakest(&divergence);
        let turn = |m: &usize| Turn {
            samples: ids.iter().zip(&given).filter(|(_, own)| *own == m).map(|(id, _)| *id).collect(),
            present: (0..self.names.len()).map(|other| other == *m).collect(),
            rest: self.settings.absent == Absent::Skip,
        };
        cx.plan.turns = self.order.iter().map(turn).filter(|turn| !turn.samples.is_empty()).collect();
        self.assigned = (0..self.names.len()).map(|m| given.iter().filter(|own| **own == m).count() as f64).collect();
        self.divergence = divergence.iter().map(|own| mean_of_finite(own)).collect();
        Ok(())
    }
}

/// Divergences of modality m, infinite where a sample lacks it.
fn of_those_who_have(divergences: &[f64], m: usize, batch: &Batch) -> Result<Vec<f64>> {
    let Some(rows) = rows_with(&[m], batch)? else { return Ok(divergences.to_vec()) };
    let mut known = vec![f64::INFINITY; divergences.len()];
    rows.to_vec1::<u32>()?.into_iter().map(|row| row as usize).for_each(|row| known[row] = divergences[row]);
    Ok(known)
}

fn mean_of_finite(values: &[f64]) -> f64 {
    let finite: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    finite.iter().sum::<f64>() / finite.len().max(1) as f64
}

impl Objective for Remixed {
    fn losses(&mut self, seen: &Seen<'_>, report: &mut Report) -> Result<Vec<Loss>> {
        let present = seen.batch.present.as_ref();
        for (m, name) in self.names.iter().enumerate() {
            let kept = present.map(|p| number(&p.narrow(1, m, 1)?.to_dtype(DType::F64)?.mean_all()?)).transpose()?;
            report.scalar(format!("kept.{name}"), kept.unwrap_or(1.))?;
            report.scalar(format!("assigned.{name}"), self.assigned[m])?;
            report.scalar(format!("divergence.{name}"), self.divergence[m])?;
        }
        if seen.clock.epoch < self.settings.warmup {
            return self.warm.losses(seen, report);
        }
        let mut losses = vec![Loss::new("loss.fused", cross_entropy(&seen.out.logits, seen.batch)?)];
        let mut own: Option<Tensor> = None;
        for (m, logits) in seen.out.unimodal.iter().enumerate() {
            let Some(loss) = own_loss(logits, m, seen.batch)? else { continue };
            report.note("unimodal", logits);
            own = Some(own.map_or(Ok(loss.clone()), |sum| sum + loss)?);
        }
        losses.extend(own.map(|own| Loss::new("loss.own", own).times(self.settings.gamma)));
        Ok(losses)
    }
}

impl Stateful for Remixed {
    fn state(&self) -> Result<State> {
        let mut state = State::default();
        state.put("assigned", &self.assigned)?;
        state.put("divergence", &self.divergence)?;
        Ok(state)
    }
    fn load(&mut self, state: &State) -> Result<()> {
        (self.assigned, self.divergence) = (state.numbers("assigned")?, state.numbers("divergence")?);
        Ok(())
    }
}
