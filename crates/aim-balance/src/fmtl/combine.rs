//! How two gradients become one.

use aim_core::{Grads, Report, Result};

use super::{Aggregation, Fmtl, Normalise};
use crate::aggregate::{self, Gram};

impl Fmtl {
    /// One gradient of two, whose tasks have these losses.
    pub(super) fn aggregate(&self, grads: &[Grads], losses: [f64; 2], cos: &str, report: &mut Report) -> Result<Grads> {
        let products = |a: &Grads| grads.iter().map(|b| a.dot(b)).collect::<Result<Vec<_>>>();
        let gram: Gram = grads.iter().map(products).collect::<Result<_>>()?;
        report.scalar(cos, gram[0][1] / (gram[0][0] * gram[1][1]).sqrt().max(1e-30))?;
        let Self { c, rescale, fairness, .. } = *self;
        let factors = match self.aggregation {
            Aggregation::Mgda => aggregate::mgda(&self.normalise.gram(gram, losses)),
            Aggregation::PcGrad => aggregate::pcgrad(&gram, &[vec![1], vec![0]]),
            Aggregation::CaGrad => aggregate::cagrad(&gram, c, rescale).0,
            Aggregation::Imtl => aggregate::imtl(&gram)?,
            Aggregation::Nash => aggregate::fair(&gram, 1.),
            Aggregation::FairGrad => aggregate::fair(&gram, fairness),
        };
        let mut sum = Grads::default();
        grads.iter().zip(factors).try_for_each(|(g, f)| sum.add_scaled(g, f))?;
        Ok(sum)
    }
}

impl Normalise {
    /// Inner products of the gradients divided by what this says.
    fn gram(self, mut gram: Gram, losses: [f64; 2]) -> Gram {
        let size = |i: usize| match self {
            Self::None => 1.,
            Self::L2 => gram[i][i].sqrt(),
            Self::Loss => losses[i],
            Self::LossL2 => losses[i] * gram[i][i].sqrt(),
        };
        let size = [0, 1].map(|i| size(i).max(1e-12));
        for (i, row) in gram.iter_mut().enumerate() {
            row.iter_mut().enumerate().for_each(|(j, product)| *product /= size[i] * size[j]);
        }
        gram
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normalised_gradients_by_hand() {
        // g1 = (2, 0), g2 = (0, 1); losses 4 and 1/2.
        let gram = || vec![vec![4., 0.], vec![0., 1.]];
        let factors = |n: Normalise| aggregate::mgda(&n.gram(gram(), [4., 0.5]));
        // Weights of the point of least norm go as 1 / |g|^2: 1/4 : 1, 1 : 1, 4 : 1/4 of (1/2, 0) and (0, 2), 16 : 1/4
        // of (1/4, 0) and (0, 2).
        for (normalise, [a, b]) in [
            (Normalise::None, [0.25, 1.]),
            (Normalise::L2, [1., 1.]),
            (Normalise::Loss, [4., 0.25]),
            (Normalise::LossL2, [16., 0.25]),
        ] {
            let found = factors(normalise);
            assert!((found[0] - a / (a + b)).abs() < 1e-9 && (found[1] - b / (a + b)).abs() < 1e-9, "{found:?}");
        }
    }
}
