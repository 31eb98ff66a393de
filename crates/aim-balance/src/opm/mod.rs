//! OPM: On-the-fly Prediction Modulation (Wei et al., TPAMI 2024, arXiv 2410.11582): features of the modality that is
//! ahead are dropped at random.
//!
//! ```text
//! S_m, rho_m as in OGM;   q_m = q_base (1 + lambda tanh(rho_m - 1)) if rho_m > 1 else 0, clipped to [0, 1]
//! with probability p_exe a step:  theta = sum d_m q_m / sum d_m
//!                                 phi_m <- mask_m phi_m / (1 - theta),  mask_m ~ Bernoulli(1 - q_m) a sample
//!                                 samples without any modality take no part
//! ```
//! `q` comes from the same batch, as in the official code; the paper's algorithm takes that of the batch before
//! (`ratio: previous`; the first batch after warm-up then drops nothing). Unimodal logits are those of the undropped
//! features, so that `[opm, ogm-ge]` computes its coefficients before dropping. Defaults: those of the official script
//! (0.5, 0.5, 0.7, six epochs of warm-up). No dropping in evaluation.

mod settings;

use aim_core::{Fuse, Fused, Idle, Output, Pass, Plain, Report, Result, State, Stateful, Step};
use candle_core::{DType, Tensor};

pub use self::settings::{ABOUT, Lead, Opm, Ratio};
use crate::ogm::{ratios, scores};

struct Dropping {
    settings: Opm,
    /// Drop probabilities of the last batch.
    q: Vec<f64>,
}

impl Idle for Dropping {}
impl Plain for Dropping {}

impl Fuse for Dropping {
    fn fuse(&mut self, features: Vec<Tensor>, cx: &Step<'_>, report: &mut Report) -> Result<Fused> {
        let fuse = |features| cx.net.fuse(features, cx.batch.present.as_ref(), &mut Pass::train(cx.draws()));
        let out = fuse(features)?;
        if cx.clock.epoch < self.settings.warmup {
            return Ok(Fused { out, kept: None });
        }
        let same = self.settings.drop_probabilities(&out, cx, report)?;
        let before = std::mem::replace(&mut self.q, same.clone());
        let q = if self.settings.ratio == Ratio::Same { same } else { before };
        let widths = &cx.net.spec().widths;
        let theta = q.iter().zip(widths).map(|(q, d)| q * *d as f64).sum::<f64>() / widths.iter().sum::<usize>() as f64;
        report.scalar("theta", theta)?;
        if theta == 0. || !self.settings.executes(cx)? {
            return Ok(Fused { out, kept: None });
        }
        let masks = q.iter().enumerate().map(|(m, q)| mask(m, *q, cx)).collect::<Result<Vec<_>>>()?;
        let drop = |(x, mask): (&Tensor, &Tensor)| Ok((x.broadcast_mul(&mask.unsqueeze(1)?)? / (1. - theta))?);
        let dropped = out.features.iter().zip(&masks).map(drop).collect::<Result<_>>()?;
        let logits = fuse(dropped)?.logits;
        Ok(Fused { out: Output { logits, ..out }, kept: kept_rows(&masks, cx.batch.present.as_ref())? })
    }
}

impl Stateful for Dropping {
    fn state(&self) -> Result<State> {
        let mut state = State::default();
        state.put("q", &self.q)?;
        Ok(state)
    }
    fn load(&mut self, state: &State) -> Result<()> {
        self.q = state.numbers("q")?;
        Ok(())
    }
}

impl Opm {
    fn drop_probabilities(&self, out: &Output, cx: &Step<'_>, report: &mut Report) -> Result<Vec<f64>> {
        let scores = scores(&out.unimodal, &cx.batch.labels)?;
        let ratios = ratios(&scores);
        let probability = |rho: &f64| {
            let lead = match self.z {
                Lead::Tanh => (rho - 1.).tanh(),
                Lead::Sigmoid => 1. / (1. + (-rho).exp()),
            };
            let q = self.q_base * (1. + self.lambda * lead);
            // All dropped would leave nothing to divide by.
            if *rho > 1. { q.clamp(0., 1.) } else { 0. }
        };
        let q: Vec<f64> = ratios.iter().map(probability).collect();
        for (m, name) in cx.net.spec().modalities.iter().enumerate() {
            report.scalar(format!("score.{name}"), scores[m])?;
            report.scalar(format!("ratio.{name}"), ratios[m])?;
            report.scalar(format!("q.{name}"), q[m])?;
        }
        Ok(q)
    }

    fn executes(&self, cx: &Step<'_>) -> Result<bool> {
        match cx.given("executed") {
            Some(given) => Ok(crate::util::number(given)? != 0.),
            None => Ok(cx.draws().rng("opm").uniform() < self.p_exe),
        }
    }
}

/// 1 for each sample that keeps the modality.
fn mask(m: usize, q: f64, cx: &Step<'_>) -> Result<Tensor> {
    if let Some(given) = cx.given(&format!("mask.{}", cx.net.spec().modalities[m])) {
        return Ok(given.clone());
    }
    let mut rng = cx.draws().rng(&format!("opm.{m}"));
    let keep: Vec<f32> = (0..cx.batch.len()).map(|_| f32::from(rng.uniform() >= q)).collect();
    Ok(Tensor::new(keep, cx.batch.labels.device())?)
}

/// Rows with at least one modality that was there and was not dropped; `None` if that is all, or none at all (the step
/// is then taken undivided).
fn kept_rows(masks: &[Tensor], present: Option<&Tensor>) -> Result<Option<Tensor>> {
    let masks = Tensor::stack(masks, 1)?.to_dtype(DType::F32)?;
    let masks = present.map_or(Ok(masks.clone()), |present| masks * present.to_dtype(DType::F32)?)?;
    let total = masks.sum(1)?;
    let some = total.to_vec1::<f32>()?;
    let rows: Vec<u32> = (0..).zip(&some).filter(|(_, n)| **n > 0.).map(|(i, _)| i).collect();
    let all = rows.is_empty() || rows.len() == some.len();
    Ok(if all { None } else { Some(Tensor::new(rows, total.device())?) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn rows_without_any_modality_by_hand() {
        let column = |x: [f32; 3]| Tensor::new(&x, &Device::Cpu).unwrap();
        let rows = |present: Option<&Tensor>| {
            let masks = [column([1., 0., 1.]), column([0., 0., 1.])];
            kept_rows(&masks, present).unwrap().map(|rows| rows.to_vec1::<u32>().unwrap())
        };
        assert_eq!(rows(None), Some(vec![0, 2]));
        // The first sample keeps a modality that it does not have.
        let present = Tensor::new(&[[0f32, 1.], [1., 1.], [1., 0.]], &Device::Cpu).unwrap();
        assert_eq!(rows(Some(&present)), Some(vec![2]));
    }
}
