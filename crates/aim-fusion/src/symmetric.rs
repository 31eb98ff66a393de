//! Symmetric FiLM and gate (as in MMCosine, Xu et al., ICASSP 2023): each of two modalities conditions the other, and
//! one linear head reads what becomes of both side by side.
//!
//! ```text
//! FiLM:  [gamma_m; beta_m] = fc_m(z_m);   z_1' = gamma_2 z_1 + beta_2,  z_2' = gamma_1 z_2 + beta_1
//! gate:  p_m = fc_m(z_m);                 z_1' = sigmoid(p_2) p_1,      z_2' = sigmoid(p_1) p_2
//! logits = head([z_1'; z_2'])
//! ```
//! A modality's own logits are those with the other's feature replaced by zeros; the extra [`PARTS`] is `[z_1'; z_2']`.

use aim_backbones::{Build, Linear};
use aim_config::settings;
use aim_core::{Capabilities, Capability, Extras, Fusion, Joined, PARTS, Part, Pass, Result, capability};
use candle_core::Tensor;

use crate::gated::{pair, sigmoid, zero_out};
use crate::heads::same_width;
use crate::{
    FusionInfo,
    config::{PAIR, fusion_settings},
};

const OFFERS: &[Capability] = &[capability::VIEWS, capability::UNIMODAL, capability::LINEAR_PARTS];

settings! {
    /// Settings of the fusion `symmetric-film`.
    pub struct SymmetricFilmConfig {}
}

fusion_settings!(
    SymmetricFilmConfig,
    FusionInfo {
        name: "symmetric-film",
        about: "each modality scales and shifts the other, one linear head on both",
        unimodal: "the other zeroed",
        modalities: PAIR,
    },
    OFFERS,
    |_settings, build, on| Symmetric::new(build, Condition::Film, on.names, on.widths, on.classes)?
);

settings! {
    /// Settings of the fusion `symmetric-gated`.
    pub struct SymmetricGatedConfig {}
}

fusion_settings!(
    SymmetricGatedConfig: equal_widths,
    FusionInfo {
        name: "symmetric-gated",
        about: "each modality gates the other, one linear head on both (equal widths)",
        unimodal: "the other zeroed",
        modalities: PAIR,
    },
    OFFERS,
    |_settings, build, on| Symmetric::new(build, Condition::Gate, on.names, on.widths, on.classes)?
);

/// How modalities condition each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// By a scale and a shift.
    Film,
    /// By a sigmoid gate.
    Gate,
}

/// Two modalities that condition each other, and a head.
pub struct Symmetric {
    condition: Condition,
    first: Linear,
    second: Linear,
    head: Linear,
}

impl Symmetric {
    /// `film.<modality>.*` `[2 widths of the other, width]` or `gate.<modality>.*` `[width, width]`, and `head.*` over
    /// both.
    ///
    /// # Errors
    /// If there are not two modalities, or a gate joins two widths.
    pub(crate) fn new(
        build: &mut Build,
        condition: Condition,
        names: &[String],
        widths: &[usize],
        classes: usize,
    ) -> Result<Self> {
        let ((first, second), (&a, &b)) = (pair("symmetric", names)?, pair("symmetric", widths)?);
        let (label, outputs) = match condition {
            Condition::Film => ("film", (2 * b, 2 * a)),
            Condition::Gate => ("gate", (same_width(widths)?, b)),
        };
        Ok(Self {
            condition,
            first: build.linear(&format!("{label}.{first}"), Part::Fusion, a, outputs.0, true)?,
            second: build.linear(&format!("{label}.{second}"), Part::Fusion, b, outputs.1, true)?,
            head: build.linear("head", Part::Head { modality: None }, a + b, classes, true)?,
        })
    }

    /// What becomes of both, side by side.
    fn parts(&self, a: &Tensor, b: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let (p, q) = (self.first.forward(a, pass)?, self.second.forward(b, pass)?);
        let parts = match self.condition {
            Condition::Film => [film(a, &q)?, film(b, &p)?],
            Condition::Gate => [(sigmoid(&q)? * &p)?, (sigmoid(&p)? * &q)?],
        };
        Ok(Tensor::cat(&parts, 1)?)
    }
}

/// `gamma x + beta` with `[gamma; beta]` side by side.
fn film(x: &Tensor, by: &Tensor) -> Result<Tensor> {
    let width = x.dim(1)?;
    Ok(((by.narrow(1, 0, width)? * x)? + by.narrow(1, width, width)?)?)
}

impl Fusion for Symmetric {
    fn capabilities(&self) -> Capabilities {
        Capabilities::of(OFFERS)
    }
    fn forward(&self, features: &[Tensor], pass: &mut Pass<'_>) -> Result<Joined> {
        let (a, b) = pair("symmetric", features)?;
        let parts = self.parts(a, b, pass)?;
        let logits = self.head.forward(&parts, pass)?;
        let unimodal = zero_out(a, b, |a, b| self.head.forward(&self.parts(a, b, pass)?, pass))?;
        Ok(Joined { logits, unimodal, extras: Extras::from([(PARTS, parts)]) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn fusion(condition: Condition) -> Symmetric {
        let names = ["a", "b"].map(str::to_owned);
        Symmetric::new(&mut Build::new(0, &Device::Cpu), condition, &names, &[2, 2], 3).unwrap()
    }

    fn values(x: &Tensor) -> Vec<f32> {
        x.flatten_all().unwrap().to_vec1().unwrap()
    }

    fn close(found: &Tensor, want: impl IntoIterator<Item = f32>) {
        let want: Vec<f32> = want.into_iter().collect();
        let found = values(found);
        assert!(found.len() == want.len() && found.iter().zip(&want).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
    }

    #[test]
    fn each_conditions_the_other_by_hand() {
        let of = |x: [f32; 2]| Tensor::new(&[x], &Device::Cpu).unwrap();
        let (a, b) = (of([1., -2.]), of([0.5, 3.]));
        for condition in [Condition::Film, Condition::Gate] {
            let (fusion, mut pass) = (fusion(condition), Pass::eval());
            let p = values(&fusion.first.forward(&a, &pass).unwrap());
            let q = values(&fusion.second.forward(&b, &pass).unwrap());
            let gate = |x: f32| 1. / (1. + (-x).exp());
            let want = match condition {
                Condition::Film => [q[0] * 1. + q[2], q[1] * -2. + q[3], p[0] * 0.5 + p[2], p[1] * 3. + p[3]],
                Condition::Gate => [gate(q[0]) * p[0], gate(q[1]) * p[1], gate(p[0]) * q[0], gate(p[1]) * q[1]],
            };
            let joined = fusion.forward(&[a.clone(), b.clone()], &mut pass).unwrap();
            close(&joined.extras[PARTS], want);
            close(&joined.logits, values(&fusion.head.forward(&joined.extras[PARTS], &pass).unwrap()));
            let alone = fusion.forward(&[a.clone(), of([0., 0.])], &mut pass).unwrap();
            close(&joined.unimodal[0], values(&alone.logits));
        }
    }

    #[test]
    fn a_gate_joins_one_width() {
        let names = ["a", "b"].map(str::to_owned);
        let new = |condition| Symmetric::new(&mut Build::new(0, &Device::Cpu), condition, &names, &[2, 3], 3);
        assert!(new(Condition::Gate).is_err() && new(Condition::Film).is_ok());
    }
}
