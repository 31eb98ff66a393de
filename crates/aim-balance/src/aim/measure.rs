//! How well each modality is optimized at each depth, and what follows from it.

use aim_core::{Kept, NetSpec, Result, Site};
use candle_core::{D, DType, Tensor};

use super::settings::{Depths, Mode, Rule};

/// One value for each modality and depth.
pub(super) type Grid<T> = Vec<Vec<T>>;

/// Strengths at or below this leave a depth's weights plain.
pub(super) const NEGLIGIBLE: f64 = 1e-3;

/// `tau cos(z - c, P_k - c)` with c the mean prototype: `[B, K]`.
pub(super) fn prototype_logits(z: &Tensor, prototypes: &Tensor, tau: f64) -> Result<Tensor> {
    let center = prototypes.mean_keepdim(0)?;
    let (z, p) = (z.broadcast_sub(&center)?, prototypes.broadcast_sub(&center)?);
    Ok((unit(&z)?.matmul(&unit(&p)?.t()?)? * tau)?)
}

/// Rows scaled to length 1; the floor keeps the gradient of a zero row finite.
fn unit(x: &Tensor) -> Result<Tensor> {
    let norm = (x.sqr()?.sum_keepdim(D::Minus1)? + 1e-16)?.sqrt()?;
    Ok(x.broadcast_div(&norm)?)
}

/// Prototype logits of every modality and depth, from the activations that a pass kept.
pub(super) fn all_logits(kept: &Kept, prototypes: &Grid<Tensor>, tau: f64) -> Result<Grid<Tensor>> {
    let logits = |modality, depth, p: &Tensor| prototype_logits(&kept.pooled(Site::Stage { modality, depth })?, p, tau);
    let row = |(m, row): (usize, &Vec<Tensor>)| row.iter().enumerate().map(|(d, p)| logits(m, d, p)).collect();
    prototypes.iter().enumerate().map(row).collect()
}

/// `s`: mean probability of the true class, for every modality and depth.
pub(super) fn performance(logits: &Grid<Tensor>, labels: &Tensor) -> Result<Grid<f64>> {
    let index = labels.unsqueeze(1)?;
    let score = |x: &Tensor| aim_ops::softmax(&x.detach())?.gather(&index, 1)?.mean_all()?.reshape(1);
    let scores: Vec<_> = logits.iter().flatten().map(score).collect::<candle_core::Result<_>>()?;
    // One transfer for all, so that a device is waited for once.
    let mut values = Tensor::cat(&scores, 0)?.to_dtype(DType::F64)?.to_vec1::<f64>()?.into_iter();
    Ok(logits.iter().map(|row| values.by_ref().take(row.len()).collect()).collect())
}

/// `rho`: performance over the mean of the other modalities' at the same depth.
pub(super) fn imbalance(s: &Grid<f64>) -> Grid<f64> {
    let rho = |m: usize, d: usize| {
        let others: Vec<f64> = (0..s.len()).filter(|j| *j != m).map(|j| at_depth(&s[j], d, s[m].len())).collect();
        s[m][d] * others.len() as f64 / others.iter().sum::<f64>()
    };
    (0..s.len()).map(|m| (0..s[m].len()).map(|d| rho(m, d)).collect()).collect()
}

/// The value at the same relative depth of an encoder that may have another number of blocks than `depths`.
fn at_depth(row: &[f64], d: usize, depths: usize) -> f64 {
    if row.len() == depths || depths < 2 {
        return row[d.min(row.len() - 1)];
    }
    let relative = d as f64 / (depths - 1) as f64;
    row[(relative * (row.len() - 1) as f64).round() as usize]
}

impl Rule {
    /// `lam`: how far the well-optimized part is taken away.
    pub(super) fn strength(&self, rho: f64, depth: usize, depths: usize) -> f64 {
        let modulated = match self.depths {
            Depths::All => true,
            Depths::Last => depth + 1 == depths,
            Depths::First => depth == 0,
        };
        let strength = match self.strength {
            Mode::Adaptive => (self.alpha * (rho - 1.).max(0.)).tanh(),
            Mode::Constant => f64::from(rho > 1.),
        };
        if modulated { strength.max(self.lambda_min) } else { 0. }
    }

    /// `keep`: share of units in the auxiliary block.
    pub(super) fn keep(&self, rho: f64) -> f64 {
        let keep = match self.keep {
            Mode::Adaptive => self.k_0 * rho.powf(-self.gamma),
            Mode::Constant => self.k_0,
        };
        keep.clamp(self.k_min.min(1.), 1.)
    }
}

/// What the imbalance asks for at one modality and depth.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dose {
    pub strength: f64,
    pub keep: f64,
}

/// The dose for every modality and depth.
pub(super) fn doses(rule: &Rule, rho: &Grid<f64>) -> Grid<Dose> {
    let dose = |d, depths, rho: f64| Dose { strength: rule.strength(rho, d, depths), keep: rule.keep(rho) };
    rho.iter().map(|row| row.iter().enumerate().map(|(d, r)| dose(d, row.len(), *r)).collect()).collect()
}

/// Modalities with a strength that is not negligible at some depth.
pub(super) fn degraded(doses: &Grid<Dose>, net: &NetSpec) -> Vec<usize> {
    (0..net.modalities.len()).filter(|m| doses[*m].iter().any(|d| d.strength > NEGLIGIBLE)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aim::{AimSettings, Scope};

    #[test]
    fn imbalance_of_three_by_hand() {
        let rho = imbalance(&vec![vec![0.8], vec![0.4], vec![0.2]]);
        let want = [0.8 / 0.3, 0.4 / 0.5, 0.2 / 0.6];
        for (got, want) in rho.iter().zip(want) {
            assert!((got[0] - want).abs() < 1e-12);
        }
    }

    #[test]
    fn doses_by_hand() {
        let dominant = AimSettings { scope: Scope::Dominant, ..Default::default() }.rule();
        assert_eq!(dominant.strength(0.9, 0, 1), 0.);
        assert!((dominant.strength(1.5, 0, 1) - 1.5f64.tanh()).abs() < 1e-15);
        assert!((dominant.keep(2.) - 0.25).abs() < 1e-15);
        let each = AimSettings::default().rule();
        assert_eq!(each.strength(0.5, 0, 1), 1.);
        assert!((each.keep(0.5) - 0.2).abs() < 1e-15);
        assert_eq!(each.keep(100.), 0.02);
    }

    #[test]
    fn encoders_of_different_depth_meet_at_relative_depth() {
        assert_eq!(at_depth(&[1., 2., 3.], 1, 2), 3.);
        assert_eq!(at_depth(&[1., 2.], 1, 3), 2.);
        assert_eq!(at_depth(&[1., 2.], 0, 3), 1.);
    }
}
