//! A contrast of features: samples of one class are each other's (the supplement's option).

use aim_core::{Idle, Loss, Objective, Report, Result, Seen, Stateless};
use candle_core::{D, DType, Tensor};

use crate::joint::FusedLoss;
use crate::util::unit_rows;

/// The fused loss, and a contrast of features.
pub(super) struct Nce {
    pub weight: f64,
}

impl Stateless for Nce {}
impl Idle for Nce {}

impl Objective for Nce {
    fn losses(&mut self, seen: &Seen<'_>, report: &mut Report) -> Result<Vec<Loss>> {
        let mut losses = FusedLoss.losses(seen, report)?;
        losses.push(Loss::new("loss.nce", nce(&seen.out.features, &seen.batch.labels)?).times(self.weight));
        Ok(losses)
    }
}

/// Temperature of the contrast.
const TEMPERATURE: f64 = 0.1;

/// Mean over ordered pairs of modalities and over samples of minus the logarithm of the probability of the own class.
fn nce(features: &[Tensor], labels: &Tensor) -> Result<Tensor> {
    let units = features.iter().map(unit_rows).collect::<candle_core::Result<Vec<_>>>()?;
    let same = labels.unsqueeze(1)?.broadcast_eq(&labels.unsqueeze(0)?)?.to_dtype(DType::F32)?;
    let mut pairs = vec![];
    for (a, x) in units.iter().enumerate() {
        for y in units.iter().enumerate().filter(|(b, _)| *b != a).map(|(_, y)| y) {
            let p = aim_ops::softmax(&(x.matmul(&y.t()?)? / TEMPERATURE)?)?;
            pairs.push(((p * &same)?.sum(D::Minus1)? + 1e-30)?.log()?.mean_all()?.neg()?);
        }
    }
    Ok(Tensor::stack(&pairs, 0)?.mean_all()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::number;
    use candle_core::Device;

    #[test]
    fn contrast_by_hand() {
        let of = |rows: &[[f32; 2]; 3]| Tensor::new(rows, &Device::Cpu).unwrap();
        // Samples 0 and 1 are of one class. Cosines of a's samples (rows) with b's: 1, 0, 0.6; 0, 1, 0.8; 1, 0, 0.6.
        let features = [of(&[[2., 0.], [0., 3.], [1., 0.]]), of(&[[1., 0.], [0., 5.], [3., 4.]])];
        let labels = Tensor::new(&[4u32, 4, 1], &Device::Cpu).unwrap();
        let e = |cosine: f64| (10. * cosine).exp();
        let rows = [(e(1.) + e(0.), e(0.6)), (e(0.) + e(1.), e(0.8)), (e(0.6), e(1.) + e(0.))];
        let columns = [(e(1.) + e(0.), e(1.)), (e(0.) + e(1.), e(0.)), (e(0.6), e(0.6) + e(0.8))];
        let mean = |of: [(f64, f64); 3]| of.iter().map(|(own, rest)| -(own / (own + rest)).ln()).sum::<f64>() / 3.;
        let found = number(&nce(&features, &labels).unwrap()).unwrap();
        assert!((found - (mean(rows) + mean(columns)) / 2.).abs() < 1e-5, "{found}");
    }
}
