//! OGM and OGM-GE: On-the-fly Gradient Modulation (Peng et al., CVPR 2022, arXiv 2203.15332) with the coefficient of
//! the paper or of the journal version (OPM/OGM, TPAMI 2024), and Generalization Enhancement by noise.
//!
//! ```text
//! S_m   = sum over the batch of softmax(unimodal_m)[y]          score of a modality
//! rho_m = mean over j != m of S_m / S_j                         discrepancy ratio
//! k_m   = 1 - tanh(alpha rho_m)            if rho_m > 1 else 1  (coefficient: cvpr)
//! k_m   = max(0, 1 - alpha tanh(rho_m - 1)) if rho_m > 1 else 1 (coefficient: tpami)
//! k_m   = 1 + tanh(alpha / rho_m) or 4     if rho_m < 1 else 1  (coefficient: acc, plus; of a third party)
//! g    <- k_m g [+ N(0, std(g))]                                weights of encoder m; noise for every modality (GE)
//! ```
//! Biases, norm layers and heads are never scaled. The official code scales 4-D (convolution) weights only, which is
//! `scale: conv4d`; the default also takes linear weights, so that the method acts on an MLP or transformer. The
//! noise's standard deviation is that of the gradient before scaling (n - 1), as in the official code. Defaults: alpha
//! 0.3 of the official script for its example run, modulation in epochs 0 to 50.

mod ratios;
mod settings;

use aim_core::{GradOp, Grads, Idle, Kind, Report, Result, Role, Seen, Stateless};
use candle_core::Tensor;

pub(crate) use self::ratios::{ratios, scores};
pub use self::settings::{Coefficient, OGM, OGM_GE, Ogm, OgmGe, Scale};

impl Stateless for Ogm {}
impl Idle for Ogm {}

impl GradOp for Ogm {
    fn apply(&mut self, grads: &mut Grads, seen: &Seen<'_>, report: &mut Report) -> Result<()> {
        let active = (self.modulation_starts..=self.modulation_ends).contains(&seen.clock.epoch);
        let names = &seen.net.spec().modalities;
        let scores = scores(&seen.out.unimodal, &seen.batch.labels)?;
        let ratios = ratios(&scores);
        let coefficients: Vec<_> = ratios.iter().map(|rho| if active { self.coefficient(*rho) } else { 1. }).collect();
        for (m, name) in names.iter().enumerate() {
            report.scalar(format!("score.{name}"), scores[m])?;
            report.scalar(format!("ratio.{name}"), ratios[m])?;
            report.scalar(format!("coef.{name}"), coefficients[m])?;
        }
        if !active {
            return Ok(());
        }
        grads.map(seen.net.params(), |name, role, grad| match role.encoder() {
            Some(m) if self.scales(role, grad) => self.modulate(name, grad, coefficients[m], seen),
            _ => Ok(None),
        })
    }
}

impl Ogm {
    fn coefficient(&self, rho: f64) -> f64 {
        match self.coefficient {
            Coefficient::Cvpr if rho > 1. => 1. - (self.alpha * rho).tanh(),
            Coefficient::Tpami if rho > 1. => (1. - self.alpha * (rho - 1.).tanh()).max(0.),
            Coefficient::Acc if rho < 1. => 1. + (self.alpha / rho).tanh(),
            Coefficient::Plus if rho < 1. && self.alpha > 0. => 4.,
            _ => 1.,
        }
    }

    fn scales(&self, role: Role, grad: &Tensor) -> bool {
        match self.scale {
            Scale::Matrices => role.is_weight() || (role.kind == Kind::Embedding && grad.rank() > 1),
            Scale::Conv4d => role.kind == Kind::Conv && grad.rank() == 4,
        }
    }

    fn modulate(&self, name: &str, grad: &Tensor, k: f64, seen: &Seen<'_>) -> Result<Option<Tensor>> {
        if !self.noise {
            return Ok(if k == 1. { None } else { Some((grad * k)?) });
        }
        let seed = seen.draws.rng(&format!("ogm.{name}")).seed();
        Ok(Some(aim_ops::noisy_by_spread(grad, k, 1e-8, seed)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coefficients_by_hand() {
        let cvpr = Ogm { alpha: 0.5, ..Ogm::default() };
        assert_eq!(cvpr.coefficient(0.9), 1.);
        assert!((cvpr.coefficient(2.) - (1. - 1f64.tanh())).abs() < 1e-15);
        let tpami = Ogm { alpha: 2., coefficient: Coefficient::Tpami, ..Ogm::default() };
        assert!((tpami.coefficient(1.2) - (1. - 2. * 0.2f64.tanh())).abs() < 1e-15);
        assert_eq!(tpami.coefficient(9.), 0.);
        let acc = Ogm { alpha: 0.5, coefficient: Coefficient::Acc, ..Ogm::default() };
        assert!((acc.coefficient(0.5) - (1. + 1f64.tanh())).abs() < 1e-15);
        let plus = Ogm { coefficient: Coefficient::Plus, ..Ogm::default() };
        assert_eq!([acc.coefficient(2.), plus.coefficient(2.), plus.coefficient(0.5)], [1., 1., 4.]);
    }
}
