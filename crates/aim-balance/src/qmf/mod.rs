//! QMF: Quality-aware Multimodal Fusion (Zhang et al., ICML 2023, arXiv 2306.02050): fusion by each sample's
//! confidence, and a ranking loss that ties confidence to how well a sample has been learnt so far.
//!
//! ```text
//! conf_m = logsumexp(logit_m) / 10;   fused = sum of conf_m logit_m        conf without gradient
//! L = CE(fused) + sum CE_m + lambda sum rank_m
//! h_m = each sample's losses so far, min-max normalised over all samples;   pairs (i, i + 1 mod B)
//! target = sign(h_i - h_next),  margin = |h_i - h_next|
//! rank_m = mean of relu(target (conf_i - conf_next - margin / target'))    target' = 1 where target = 0
//! ```
//! The history grows after the ranking loss, as in the official RGB-D trainer (the text-image trainer does it before).
//! lambda 0.1 is that of the audio-visual path of the MLA repository.

mod settings;

use aim_core::{
    Batch, Fuse, Fused, Idle, Infer, Loss, Net, Objective, Output, Pass, Report, Result, Seen, State, Stateful,
    Stateless, Step,
};
use candle_core::{D, DType, Tensor};

pub use self::settings::{ABOUT, Qmf};
use crate::{
    joint::cross_entropy,
    util::{log_losses, sample_losses},
};

/// `logsumexp / 10` of each sample.
fn confidence(logits: &Tensor) -> Result<Tensor> {
    Ok((logits.log_sum_exp(D::Minus1)? / 10.)?)
}

struct ByConfidence;

impl Stateless for ByConfidence {}
impl Idle for ByConfidence {}

fn weighted(out: Output) -> Result<Output> {
    let weigh = |x: &Tensor| Ok(x.broadcast_mul(&confidence(x)?.detach().unsqueeze(1)?)?);
    let parts: Vec<Tensor> = out.unimodal.iter().map(weigh).collect::<Result<_>>()?;
    Ok(Output { logits: Tensor::stack(&parts, 0)?.sum(0)?, ..out })
}

impl Fuse for ByConfidence {
    fn fuse(&mut self, features: Vec<Tensor>, cx: &Step<'_>, _: &mut Report) -> Result<Fused> {
        let out = cx.net.fuse(features, cx.batch.present.as_ref(), &mut Pass::train(cx.draws()))?;
        Ok(Fused { out: weighted(out)?, kept: None })
    }
}

impl Infer for ByConfidence {
    fn infer(&self, net: &dyn Net, batch: &Batch) -> Result<Output> {
        weighted(net.forward(batch, &mut Pass::eval())?)
    }
}

struct Ranked {
    settings: Qmf,
    names: Vec<String>,
    /// Sum of each sample's losses so far, by modality and sample id.
    history: Vec<Vec<f64>>,
}

impl Idle for Ranked {}

impl Objective for Ranked {
    fn losses(&mut self, seen: &Seen<'_>, report: &mut Report) -> Result<Vec<Loss>> {
        let fused = Loss::new("loss.fused", cross_entropy(&seen.out.logits, seen.batch)?);
        let mut losses = vec![fused.times(if self.settings.fused_loss { 1. } else { 0. })];
        for (m, logits) in seen.out.unimodal.iter().enumerate() {
            let (name, confidence) = (self.names[m].clone(), confidence(logits)?);
            report.note(format!("confidence.{name}"), &confidence);
            let own = sample_losses(logits, seen.batch)?;
            let rank = rank(&confidence, &self.normalised(m, &seen.batch.ids))?;
            losses.push(Loss::new(format!("loss.{name}"), own.mean_all()?));
            losses.push(Loss::new(format!("loss.rank.{name}"), rank).times(self.settings.lambda));
            self.remember(m, &seen.batch.ids, &log_losses(logits, seen.batch)?)?;
            report.list(format!("history.{name}"), &self.history[m])?;
        }
        Ok(losses)
    }
}

impl Ranked {
    /// History of some samples, min-max normalised over all; 0 while all are the same.
    fn normalised(&self, m: usize, ids: &[usize]) -> Vec<f64> {
        let history = &self.history[m];
        let low = history.iter().copied().fold(f64::INFINITY, f64::min);
        let range = history.iter().copied().fold(f64::NEG_INFINITY, f64::max) - low;
        let of = |id: &usize| history.get(*id).filter(|_| range > 0.).map_or(0., |h| (h - low) / range);
        ids.iter().map(of).collect()
    }

    fn remember(&mut self, m: usize, ids: &[usize], losses: &Tensor) -> Result<()> {
        let history = &mut self.history[m];
        for (id, loss) in ids.iter().zip(losses.to_dtype(DType::F64)?.to_vec1::<f64>()?) {
            history.resize(history.len().max(id + 1), 0.);
            history[*id] += loss;
        }
        Ok(())
    }
}

/// The ranking loss of a batch against its normalised history.
fn rank(confidence: &Tensor, history: &[f64]) -> Result<Tensor> {
    let n = history.len();
    let gap = (0..n).map(|i| history[i] - history[(i + 1) % n]);
    let (target, shift): (Vec<f32>, Vec<f32>) = gap
        .map(|gap| {
            let target = if gap == 0. { 0. } else { gap.signum() };
            (target as f32, (gap.abs() / if target == 0. { 1. } else { target }) as f32)
        })
        .unzip();
    let device = confidence.device();
    let next: Vec<u32> = (0..n).map(|i| ((i + 1) % n) as u32).collect();
    let next = confidence.index_select(&Tensor::new(next, device)?, 0)?;
    let excess = (Tensor::new(target, device)? * (confidence - (next + Tensor::new(shift, device)?)?)?)?;
    Ok(excess.relu()?.mean_all()?)
}

impl Stateful for Ranked {
    fn state(&self) -> Result<State> {
        let mut state = State::default();
        for (name, history) in self.names.iter().zip(&self.history) {
            state.put(format!("history.{name}"), history)?;
        }
        Ok(state)
    }
    fn load(&mut self, state: &State) -> Result<()> {
        let history = |name: &String| state.numbers(&format!("history.{name}"));
        self.history = self.names.iter().map(history).collect::<Result<_>>()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[test]
    fn rank_by_hand() {
        let confidence = Tensor::new(&[0.3f32, 0.1], &Device::Cpu).unwrap();
        // Targets 1 and -1, margin 0.5: relu(0.3 - (0.1 + 0.5)) = 0 and relu(-(0.1 - (0.3 - 0.5))) = 0.
        assert_eq!(rank(&confidence, &[1., 0.5]).unwrap().to_scalar::<f32>().unwrap(), 0.);
        // Targets -1 and 1, margin 0.5: relu(-(0.3 - (0.1 - 0.5))) = 0 and relu(0.1 - (0.3 + 0.5)) = 0.
        assert_eq!(rank(&confidence, &[0., 0.5]).unwrap().to_scalar::<f32>().unwrap(), 0.);
        // Margin 0.1: relu(0.3 - (0.1 + 0.1)) = 0.1 and relu(-(0.1 - (0.3 - 0.1))) = 0.1.
        assert!((rank(&confidence, &[0.6, 0.5]).unwrap().to_scalar::<f32>().unwrap() - 0.1).abs() < 1e-6);
    }
}
