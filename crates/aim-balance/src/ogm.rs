//! OGM and OGM-GE: On-the-fly Gradient Modulation (Peng et al., CVPR 2022, arXiv 2203.15332) with the coefficient of the
//! paper or of the journal version (OPM/OGM, TPAMI 2024), and Generalization Enhancement by noise.
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
//! `scale: conv4d`; the default also takes linear weights, so that the method acts on an MLP or transformer. The noise's
//! standard deviation is that of the gradient before scaling (n - 1), as in the official code. Defaults: alpha 0.3 of the
//! official script for its example run, modulation in epochs 0 to 50.

use aim_core::{GradOp, Grads, Idle, Kind, NetSpec, Report, Result, Role, Seen, Stateless};
use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};

use crate::card::{About, Needs, Setting, Settings, within};
use crate::stack::Built;

const fn settings(noise: Setting) -> [Setting; 6] {
    [
        Setting::new("alpha", "0.3", "0 to 100", "strength; 0 is joint training", "released code (its gated example)"),
        Setting::new(
            "coefficient",
            "cvpr",
            "cvpr | tpami | acc | plus",
            "form of the coefficient; acc and plus raise the gradients of the modality that is behind",
            "released code; acc and plus: third party (BML)",
        ),
        Setting::new("scale", "ndim>1", "ndim>1 | conv4d", "encoder weights that are scaled", "ours; released: conv4d"),
        noise,
        Setting::new("modulation_starts", "0", "an epoch", "first epoch with modulation", "released code"),
        Setting::new("modulation_ends", "50", "an epoch", "last epoch with modulation", "released code"),
    ]
}
const NEEDS: Needs = Needs { unimodal: true, reads: true, ..Needs::NONE };
const PAPER: &str = "Peng et al., CVPR 2022 (arXiv 2203.15332); tpami form: Wei et al., TPAMI 2024";

/// Card of [`Ogm`].
pub static OGM: About = About {
    name: "ogm",
    title: "OGM",
    idea: "scale down the encoder gradients of the modality that is ahead",
    paper: PAPER,
    cost: "1 forward and 1 backward pass; one product an encoder weight",
    departs: &[
        "Linear and embedding weights are scaled too, so that the method acts on an MLP or transformer; the released \
        code scales convolutions alone (`scale: conv4d`).",
        "More than two modalities take the mean ratio of the journal version, because the released code has two.",
        "Where the head is not linear, unimodal logits are those with the other features at zero; the released code \
        cuts the head at a fixed column and fails with film and gated.",
        "At a ratio of exactly 1 nobody is slowed down, since nobody is ahead; the released code then slows audio.",
    ],
    settings: &settings(Setting::new("noise", "false", "true | false", "add noise (GE)", "paper")),
    needs: NEEDS,
};

/// Card of [`OgmGe`].
pub static OGM_GE: About = About {
    name: "ogm-ge",
    title: "OGM-GE",
    idea: "OGM, and noise of the gradient's own spread on the encoders",
    paper: PAPER,
    cost: "1 forward and 1 backward pass; one product and one normal draw an encoder weight",
    departs: &[
        "Linear and embedding weights are scaled too, so that the method acts on an MLP or transformer; the released \
        code scales convolutions alone (`scale: conv4d`).",
        "More than two modalities take the mean ratio of the journal version, because the released code has two.",
        "Where the head is not linear, unimodal logits are those with the other features at zero; the released code \
        cuts the head at a fixed column and fails with film and gated.",
        "At a ratio of exactly 1 nobody is slowed down, since nobody is ahead; the released code then slows audio.",
        "Noise has the spread of each tensor's gradient, as released; the paper is reported to take the covariance of \
        the batch gradient.",
    ],
    settings: &settings(Setting::new("noise", "true", "true", "GE, without which this is `ogm`", "paper")),
    needs: NEEDS,
};

/// Form of the coefficient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Coefficient {
    /// `1 - tanh(alpha rho)`.
    Cvpr,
    /// `max(0, 1 - alpha tanh(rho - 1))`.
    Tpami,
    /// `1 + tanh(alpha / rho)` for the modality that is behind.
    Acc,
    /// 4 for the modality that is behind.
    Plus,
}

/// Which encoder weights are scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scale {
    /// Every weight with more than one dimension.
    #[serde(rename = "ndim>1")]
    Matrices,
    /// Convolutions with four dimensions alone.
    #[serde(rename = "conv4d")]
    Conv4d,
}

/// Settings of `ogm`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ogm {
    /// Strength.
    pub alpha: f64,
    /// Form of the coefficient.
    pub coefficient: Coefficient,
    /// Which weights are scaled.
    pub scale: Scale,
    /// Whether noise is added (GE).
    pub noise: bool,
    /// First epoch with modulation.
    pub modulation_starts: usize,
    /// Last epoch with modulation.
    pub modulation_ends: usize,
}

impl Default for Ogm {
    fn default() -> Self {
        let (coefficient, scale) = (Coefficient::Cvpr, Scale::Matrices);
        Self { alpha: 0.3, coefficient, scale, noise: false, modulation_starts: 0, modulation_ends: 50 }
    }
}

impl Settings for Ogm {
    fn check(&self) -> Result<()> {
        within("alpha", self.alpha, 0., 100.)?;
        within("modulation_ends", self.modulation_ends as f64, self.modulation_starts as f64, f64::MAX)
    }
    fn build(self, _: &NetSpec) -> Result<Built> {
        Ok(Built::op(self))
    }
}

/// Settings of `ogm-ge`: those of [`Ogm`] with noise as the default.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OgmGe(Ogm);

impl Default for OgmGe {
    fn default() -> Self {
        Self(Ogm { noise: true, ..Ogm::default() })
    }
}

impl Settings for OgmGe {
    fn check(&self) -> Result<()> {
        self.0.check()
    }
    fn build(self, net: &NetSpec) -> Result<Built> {
        // Without noise it would be OGM, whatever the section says.
        Ogm { noise: true, ..self.0 }.build(net)
    }
}

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
        let std = aim_ops::spread(grad)?;
        // A single value has no spread (0 / 0); it gets the floor alone.
        let std = if std.is_finite() { std } else { 0. } + 1e-8;
        let seed = seen.draws.rng(&format!("ogm.{name}")).seed();
        Ok(Some(aim_ops::noisy(grad, k, std, seed)?))
    }
}

/// Sum over the batch of each modality's probability of the true class.
pub(crate) fn scores(unimodal: &[Tensor], labels: &Tensor) -> Result<Vec<f64>> {
    let index = labels.unsqueeze(1)?;
    let score = |logits: &Tensor| {
        let p = aim_ops::softmax(&logits.detach())?.gather(&index, 1)?;
        Ok(p.to_dtype(DType::F64)?.sum_all()?.to_scalar()?)
    };
    unimodal.iter().map(score).collect()
}

/// Mean over the other modalities of the ratio of scores; scores that f32 rounds to 0 count as the least above it.
pub(crate) fn ratios(scores: &[f64]) -> Vec<f64> {
    let others = (scores.len().max(2) - 1) as f64;
    let ratio = |m: usize| {
        let others_of = scores.iter().enumerate().filter(|(j, _)| *j != m);
        others_of.map(|(_, s)| scores[m].max(1e-30) / s.max(1e-30)).sum::<f64>() / others
    };
    (0..scores.len()).map(ratio).collect()
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

    #[test]
    fn ratios_of_three_by_hand() {
        let r = ratios(&[4., 2., 1.]);
        assert_eq!(r, [(2. + 4.) / 2., (0.5 + 2.) / 2., (0.25 + 0.5) / 2.]);
    }
}
