//! What ARM can do beside scaling features: copies of the samples of little worth, and a min-max loss.

use std::iter::repeat_n;

use aim_core::{
    Batch, EpochStart, EpochWork, Extra, Idle, Loss, Net, Objective, Pass, Report, Result, Seen, Split, Stateless,
};
use candle_core::{D, DType, Tensor};

use super::{Arm, Reinforced, contributions, mean};
use crate::{
    joint::{FusedLoss, cross_entropy},
    util::{number, true_probability},
};

impl EpochWork for Reinforced {
    fn before_epoch(&mut self, cx: &mut EpochStart<'_>) -> Result<()> {
        if !self.settings.resample || cx.clock.epoch < self.settings.warmup {
            return Ok(());
        }
        let (net, extra) = (cx.net, &mut cx.plan.extra);
        cx.samples.each(Split::Train, &mut |batch| {
            for (sample, worth) in batch.ids.iter().zip(worth(net, batch, &self.settings)?) {
                let again = Extra { sample: *sample, present: vec![true; 2] };
                extra.extend(repeat_n(again, copies(worth)));
            }
            Ok(())
        })
    }
}

fn copies(worth: f64) -> usize {
    1 + [0.5, 0.9].iter().filter(|bound| worth < **bound).count()
}

/// Mean over both modalities of what each sample's features contribute.
fn worth(net: &dyn Net, batch: &Batch, settings: &Arm) -> Result<Vec<f64>> {
    let out = net.forward(batch, &mut Pass::eval())?;
    let rows = |x: &Tensor| -> Result<_> { Ok(x.detach().to_dtype(DType::F64)?.to_vec2::<f64>()?) };
    let z = [rows(&out.features[0])?, rows(&out.features[1])?];
    let p_fused = certainty(&out.logits, batch)?;
    let p = [certainty(&out.unimodal[0], batch)?, certainty(&out.unimodal[1], batch)?];
    let of = |i: usize| {
        let (own, p) = ([&z[0][i][..], &z[1][i][..]], [p[0][i], p[1][i]]);
        let information = |own: &[f64], other: &[f64], fused: &[f64]| settings.information(own, other, fused);
        contributions(own, &mean(own[0], own[1]), p_fused[i], p, information).iter().sum::<f64>() / 2.
    };
    Ok((0..batch.len()).map(of).collect())
}

/// Probability of each sample's class where it is the predicted one, else 0.
fn certainty(logits: &Tensor, batch: &Batch) -> Result<Vec<f64>> {
    let right = logits.argmax(D::Minus1)?.eq(&batch.labels)?.to_dtype(DType::F64)?;
    Ok((true_probability(&logits.detach(), &batch.labels)?.to_dtype(DType::F64)? * right)?.to_vec1()?)
}

/// The fused loss, and this weight times the difference between the largest and the smallest unimodal one.
pub(super) struct MinMax(pub f64);

impl Stateless for MinMax {}
impl Idle for MinMax {}

impl Objective for MinMax {
    fn losses(&mut self, seen: &Seen<'_>, report: &mut Report) -> Result<Vec<Loss>> {
        let own = |x: &Tensor| cross_entropy(x, seen.batch);
        let own = seen.out.unimodal.iter().map(own).collect::<Result<Vec<_>>>()?;
        let mut losses = FusedLoss.losses(seen, report)?;
        losses.push(Loss::new("loss.min-max", spread(own)?).times(self.0));
        Ok(losses)
    }
}

/// Difference between the largest and the smallest loss.
fn spread(losses: Vec<Tensor>) -> Result<Tensor> {
    let values: Vec<f64> = losses.iter().map(|loss| number(&loss.detach())).collect::<Result<_>>()?;
    let mut order: Vec<usize> = (0..losses.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    Ok((&losses[order[order.len() - 1]] - &losses[order[0]])?)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn copies_and_spread_by_hand() {
        assert_eq!([-1., 0.49, 0.5, 0.89, 0.9].map(copies), [3, 3, 2, 2, 1]);
        let losses = [1.5f32, 0.25, 1.].map(|x| Tensor::new(x, &Device::Cpu).unwrap());
        assert_eq!(spread(losses.into()).unwrap().to_scalar::<f32>().unwrap(), 1.25);
    }

    #[test]
    fn only_right_predictions_are_certain() {
        // exp(ln 3) / (exp(ln 3) + 1) = 3/4 for the first class, which is right for sample 0 alone.
        let logits = Tensor::new(&[[3f32.ln(), 0.], [3f32.ln(), 0.]], &Device::Cpu).unwrap();
        let batch = Batch::new(vec![], Tensor::new(&[0u32, 1], &Device::Cpu).unwrap()).unwrap();
        let found = certainty(&logits, &batch).unwrap();
        assert!((found[0] - 0.75).abs() < 1e-6 && found[1] == 0., "{found:?}");
    }
}
