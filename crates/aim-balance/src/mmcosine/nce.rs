//! A contrast of features: samples of one class are each other's (the supplement's option).

use aim_core::{Idle, Loss, Objective, Report, Result, Seen, Stateless};
use candle_core::{D, DType, Tensor};

use crate::{joint::FusedLoss, util::unit_rows};

/// The fused loss, and a contrast of features.
pub(super) struct Nce {
    pub weight: f64,
}

impl Stateless for Nce {}
impl Idle for Nce {}

impl Objective for Nce {
    fn losses(&mut self, seen: &Seen<'_>, report: &mut Report) -> Result<Vec<Loss>> {
        let mut losses = FusedLoss.losses(seen, report)?;
        losses.push(
            Loss::new("loss.nce", nce(&seen.out.features, &seen.batch.labels, seen.batch.present.as_ref())?)
                .times(self.weight),
        );
        Ok(losses)
    }
}

/// Temperature of the contrast.
const TEMPERATURE: f64 = 0.1;

/// Mean over ordered pairs of modalities and over samples of minus the logarithm of the probability of the own class.
/// Samples that lack a modality are neither compared nor compared with there.
fn nce(features: &[Tensor], labels: &Tensor, present: Option<&Tensor>) -> Result<Tensor> {
    let units = features.iter().map(unit_rows).collect::<candle_core::Result<Vec<_>>>()?;
    let same = labels.unsqueeze(1)?.broadcast_eq(&labels.unsqueeze(0)?)?.to_dtype(DType::F32)?;
    let has = |m: usize| match present {
        Some(present) => present.narrow(1, m, 1)?.to_dtype(DType::F32),
        None => Tensor::ones((labels.dim(0)?, 1), DType::F32, labels.device()),
    };
    let mut pairs = vec![];
    for (a, x) in units.iter().enumerate() {
        for (b, y) in units.iter().enumerate().filter(|(b, _)| *b != a) {
            let (own, other) = (has(a)?, has(b)?);
            let absent = ((&other - 1.)? * 1e9)?.t()?;
            let p = aim_ops::softmax(&(x.matmul(&y.t()?)? / TEMPERATURE)?.broadcast_add(&absent)?)?;
            let losses = ((p * &same)?.sum_keepdim(D::Minus1)? + 1e-30)?.log()?.neg()?;
            let both = (own * other)?;
            pairs.push((losses * &both)?.sum_all()?.div(&both.sum_all()?.maximum(1.)?)?);
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
        let found = number(&nce(&features, &labels, None).unwrap()).unwrap();
        assert!((found - (mean(rows) + mean(columns)) / 2.).abs() < 1e-5, "{found}");
        // Sample 2 lacks b: of the rows the first two without its column, of the columns b's first two over all of a.
        let present = Tensor::new(&[[1f32, 1.], [1., 1.], [1., 0.]], &Device::Cpu).unwrap();
        let mean = |of: &[(f64, f64)]| of.iter().map(|(own, rest)| -(own / (own + rest)).ln()).sum::<f64>() / 2.;
        let want = (mean(&[(1., 0.), (1., 0.)]) + mean(&columns[..2])) / 2.;
        let found = number(&nce(&features, &labels, Some(&present)).unwrap()).unwrap();
        assert!((found - want).abs() < 1e-5, "{found} {want}");
    }
}
