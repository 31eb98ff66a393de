//! How well each modality is optimized at each depth, and what follows from it.

use aim_core::{Kept, NetSpec, Result, Site};
use candle_core::{D, DType, Tensor};

use super::settings::{Depths, Rule, Size, Strength};

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

/// A modality's value over the mean of the other modalities' at the same depth: `rho` of performances.
pub(super) fn relative(s: &Grid<f64>) -> Grid<f64> {
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

/// What is measured of one modality at one depth, over steps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measure {
    /// Moving average of the relative performance.
    pub rho: f64,
    /// Performance of this batch.
    pub s: f64,
    /// Moving average of performance over one that is ten times slower, relative to the others'.
    pub pace: f64,
}

impl Measure {
    /// Nothing was measured: balance.
    pub const NONE: Self = Self { rho: 1., s: 0., pace: 1. };
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
            Strength::Adaptive => (self.alpha * (rho - 1.).max(0.)).tanh(),
            Strength::Imbalance => (self.alpha * rho.ln().abs()).tanh(),
            Strength::Constant => f64::from(rho > 1.),
        };
        if modulated { strength.max(self.lambda_min) } else { 0. }
    }

    /// `keep`: share of units in the auxiliary block.
    pub(super) fn keep(&self, measure: Measure) -> f64 {
        let keep = match self.keep {
            Size::Adaptive => self.k_0 * measure.rho.powf(-self.gamma),
            Size::Performance => self.k_0 * (1. - measure.s),
            Size::Pace => self.k_0 * measure.pace.powf(-self.gamma),
            Size::Constant => self.k_0,
        };
        keep.max(self.k_min).min(self.k_max)
    }
}

/// What the imbalance asks for at one modality and depth.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dose {
    pub strength: f64,
    pub keep: f64,
}

/// The dose for every modality and depth.
pub(super) fn doses(rule: &Rule, measures: &Grid<Measure>) -> Grid<Dose> {
    let dose = |d, depths, x: Measure| Dose { strength: rule.strength(x.rho, d, depths), keep: rule.keep(x) };
    measures.iter().map(|row| row.iter().enumerate().map(|(d, x)| dose(d, row.len(), *x)).collect()).collect()
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
        let rho = relative(&vec![vec![0.8], vec![0.4], vec![0.2]]);
        let want = [0.8 / 0.3, 0.4 / 0.5, 0.2 / 0.6];
        for (got, want) in rho.iter().zip(want) {
            assert!((got[0] - want).abs() < 1e-12);
        }
    }

    #[test]
    fn doses_by_hand() {
        let keep = |rule: &Rule, rho| rule.keep(Measure { rho, ..Measure::NONE });
        let dominant = AimSettings { scope: Scope::Dominant, ..Default::default() }.rule();
        assert_eq!(dominant.strength(0.9, 0, 1), 0.);
        assert!((dominant.strength(1.5, 0, 1) - 1.5f64.tanh()).abs() < 1e-15);
        assert!((keep(&dominant, 2.) - 0.25).abs() < 1e-15);
        let each = AimSettings { keep: Some(Size::Adaptive), ..Default::default() }.rule();
        assert_eq!(each.strength(0.5, 0, 1), 1.);
        assert!((keep(&each, 0.5) - 0.2).abs() < 1e-15);
        assert_eq!(keep(&each, 100.), 0.02);
        let bounded = AimSettings { keep: Some(Size::Adaptive), k_max: 0.15, ..Default::default() }.rule();
        assert_eq!(keep(&bounded, 0.5), 0.15);
    }

    #[test]
    fn sizes_of_performance_and_pace_by_hand() {
        let of = |keep, measure| AimSettings { keep: Some(keep), ..Default::default() }.rule().keep(measure);
        let measure = Measure { rho: 3., s: 0.7, pace: 0.8 };
        assert!((of(Size::Performance, measure) - 0.03).abs() < 1e-15);
        assert!((of(Size::Pace, measure) - 0.125).abs() < 1e-15);
        assert_eq!(of(Size::Constant, measure), 0.1);
    }

    #[test]
    fn strength_of_the_imbalance_is_the_same_for_both_sides() {
        let settings = AimSettings { strength: Strength::Imbalance, lambda_min: Some(0.), ..Default::default() };
        let of = |rho| settings.rule().strength(rho, 0, 1);
        assert_eq!(of(1.), 0.);
        assert!((of(1.25) - (3. * 1.25f64.ln()).tanh()).abs() < 1e-15 && (of(1.25) - of(0.8)).abs() < 1e-15);
    }

    #[test]
    fn encoders_of_different_depth_meet_at_relative_depth() {
        assert_eq!(at_depth(&[1., 2., 3.], 1, 2), 3.);
        assert_eq!(at_depth(&[1., 2.], 1, 3), 2.);
        assert_eq!(at_depth(&[1., 2.], 0, 3), 1.);
    }
}
