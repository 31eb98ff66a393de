//! AMCo (ICASSP 2023): the logits of the modality that the prediction depends on are masked, more with every epoch.
//!
//! ```text
//! out = Linear(sum over m of mask_m logit_m);   L = CE(out) + sum over m of CE(logit_m)
//! mask_m: int(p C) of the C classes, drawn in each step, are 0 where m is dependent; no mask otherwise
//! p = sin(pi / 2 min(epsilon, l) / epsilon),   l = sum of e / 10 over the epochs e = 0, 1, ... until now
//! dependent_m, for the next step: share_m > sigma;
//!     share_m = batch mean of softmax([logit_1 .. logit_M]) summed over m's
//! ```
//! Shares are those of all modalities' classes together, so any number of modalities can be compared. No masks in
//! evaluation.

use std::f64::consts::FRAC_PI_2;

use aim_config::{between, settings};
use aim_core::{
    FeatureOp, Fuse, Fused, Idle, NetSpec, Pass, Plain, Report, Result, Rng, Site, State, Stateful, Step, capability,
};
use candle_core::Tensor;

use crate::{
    Built, MethodInfo, MethodSettings, Provenance, Quantity, Requirements, Unimodal, joint::FusedAndUnimodal,
    util::number,
};

/// Card of [`Amco`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "amco",
    title: "AMCo",
    idea: "mask the logits of the modality that the prediction depends on, more with every epoch",
    paper: "ICASSP 2023",
    cost: "1 forward and 1 backward pass",
    departs: &[
        "`l` grows once an epoch by a tenth of its number, our reading of the benchmark's code, which is not the \
        authors'.",
        "No modality is dependent in the first step, because no batch has shown any yet.",
    ],
    requires: Requirements {
        unimodal: Unimodal::Trained,
        capabilities: &[capability::CLASS_LAYER],
        ..Requirements::NONE
    },
    provenance: Provenance::Faithful,
    reports: &[
        Quantity::step("masked", "", "share of the classes that is masked"),
        Quantity::modality("dependent", "", "1 where its logits are masked, else 0"),
        Quantity::modality("share", "", "share in a softmax over the classes of all modalities"),
    ],
    revision: 1,
};

settings! {
    /// Settings of `amco`.
    pub struct Amco {
        /// Value of l at which every class is masked.
        pub epsilon: f64 = 0.3 => between(0.001, 1000.), "third party";
        /// Share above which a modality is dependent; 1 is none.
        pub sigma: f64 = 0.5 => between(0., 1.), "third party";
    }
}

impl MethodSettings for Amco {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn build(&self, net: &NetSpec) -> Result<Built> {
        let masked = Masked { settings: self.clone(), dependent: vec![false; net.modalities.len()] };
        Ok(Built::fuse(masked).with_objective(FusedAndUnimodal { weight: 1. }))
    }
}

impl Amco {
    /// Share of the classes that is masked in an epoch.
    fn masked(&self, epoch: usize) -> f64 {
        let l = (epoch * (epoch + 1)) as f64 / 20.;
        (FRAC_PI_2 * l.min(self.epsilon) / self.epsilon).sin()
    }
}

struct Masked {
    settings: Amco,
    dependent: Vec<bool>,
}

impl Idle for Masked {}
impl Plain for Masked {}

impl Fuse for Masked {
    fn fuse(&mut self, features: Vec<Tensor>, cx: &Step<'_>, report: &mut Report) -> Result<Fused> {
        let spec = cx.net.spec();
        let p = self.settings.masked(cx.clock.epoch);
        let masks = Masks { dependent: self.dependent.clone(), zeros: (p * spec.classes as f64) as usize };
        let mut ops: Vec<Box<dyn FeatureOp>> = vec![Box::new(masks)];
        let mut pass = Pass::train(cx.draws()).ops(&mut ops);
        let out = cx.net.fuse(features, cx.batch.present.as_ref(), &mut pass)?;
        report.scalar("masked", p)?;
        for (m, share) in shares(&out.unimodal)?.into_iter().enumerate() {
            report.scalar(format!("dependent.{}", spec.modalities[m]), f64::from(u8::from(self.dependent[m])))?;
            report.scalar(format!("share.{}", spec.modalities[m]), share)?;
            self.dependent[m] = share > self.settings.sigma;
        }
        Ok(Fused { out, kept: None })
    }
}

/// Zeroes some classes of the dependent modalities' logits.
struct Masks {
    dependent: Vec<bool>,
    zeros: usize,
}

impl FeatureOp for Masks {
    fn apply(&mut self, site: Site, x: Tensor, rng: &mut Rng) -> Result<Tensor> {
        match site {
            Site::Logits { modality } if self.dependent[modality] && self.zeros > 0 => {
                let mut mask = vec![1f32; x.dim(1)?];
                rng.permutation(mask.len()).into_iter().take(self.zeros).for_each(|class| mask[class] = 0.);
                Ok(x.broadcast_mul(&Tensor::new(mask, x.device())?.to_dtype(x.dtype())?)?)
            }
            _ => Ok(x),
        }
    }
}

/// Mean over the batch of what falls to each modality in a softmax over the classes of all.
fn shares(unimodal: &[Tensor]) -> Result<Vec<f64>> {
    let detached: Vec<Tensor> = unimodal.iter().map(Tensor::detach).collect();
    let p = aim_ops::softmax(&Tensor::cat(&detached, 1)?)?;
    let classes = p.dim(1)? / unimodal.len().max(1);
    (0..unimodal.len()).map(|m| number(&p.narrow(1, m * classes, classes)?.sum(1)?.mean_all()?)).collect()
}

impl Stateful for Masked {
    fn state(&self) -> Result<State> {
        let mut state = State::default();
        let dependent: Vec<f64> = self.dependent.iter().map(|d| f64::from(u8::from(*d))).collect();
        state.put("dependent", &dependent)?;
        Ok(state)
    }
    fn load(&mut self, state: &State) -> Result<()> {
        self.dependent = state.numbers("dependent")?.into_iter().map(|d| d != 0.).collect();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    #[test]
    fn schedule_by_hand() {
        // l = 0, 0.1, 0.3, 0.6: sin of 0, 30, 90 and 90 degrees.
        let p: Vec<f64> = (0..4).map(|epoch| Amco::default().masked(epoch)).collect();
        assert!(p.iter().zip([0., 0.5, 1., 1.]).all(|(p, e)| (p - e).abs() < 1e-12), "{p:?}");
    }

    #[test]
    fn shares_of_three_by_hand() {
        // exp: 1 + 1, 2 + 4, 1 + 1 of 10 for sample 0, equal thirds for sample 1.
        let rows = |a: [f32; 2]| Tensor::new(&[a.map(f32::ln), [0., 0.]], &Device::Cpu).unwrap();
        let found = shares(&[rows([1., 1.]), rows([2., 4.]), rows([1., 1.])]).unwrap();
        let expected = [0.2, 0.6, 0.2].map(|s| (s + 1. / 3.) / 2.);
        assert!(found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 1e-6), "{found:?}");
    }

    #[test]
    fn masks_have_as_many_zeros_as_asked_for() {
        let mut masks = Masks { dependent: vec![false, true], zeros: 3 };
        let ones = Tensor::ones((2, 5), candle_core::DType::F32, &Device::Cpu).unwrap();
        let mut apply = |modality| {
            let masked = masks.apply(Site::Logits { modality }, ones.clone(), &mut Rng::keyed(0, "mask")).unwrap();
            masked.to_vec2::<f32>().unwrap()
        };
        assert_eq!(apply(0), [[1.; 5]; 2]);
        let masked = apply(1);
        assert!(masked[0] == masked[1] && masked[0].iter().sum::<f32>() == 2., "{masked:?}");
    }
}
