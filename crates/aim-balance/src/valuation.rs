//! Modality valuation (Wei et al., CVPR 2024, arXiv 2309.06255): what a modality contributes to each sample's prediction
//! decides how often the sample is shown once more with that modality alone.
//!
//! ```text
//! v(S)  = |S| if the prediction from the modalities S is right, else 0;  v(nothing) = 0        S: the others zeroed
//! phi_m = Shapley value of m in v, for each training sample, in evaluation before an epoch
//! level: sample    copies of a sample with m alone:  3 if phi_m < -0.1,  2 if < 0.4,  1 if < 1,  else none
//! level: modality  mean phi_m over a random share of the samples;  p = 2/3 alpha (largest mean - smallest)
//!                  p N random samples with the modality of the smallest mean alone
//! ```
//! Every sample is also shown once, whole. The loss is that of the method it is stacked with, joint training's by default.
//! Values and defaults are those of the official code.

use std::iter::repeat_n;

use aim_core::{
    Batch, EpochStart, EpochWork, Extra, GradOp, Grads, Net, NetSpec, Pass, Report, Result, Rng, Seen, Split, State,
    Stateful,
};
use candle_core::{D, DType, Tensor};
use serde::{Deserialize, Serialize};

use crate::card::{About, Needs, Setting, Settings, within};
use crate::stack::Built;
use crate::util::{members, shapley};

/// Card of [`Valuation`].
pub static ABOUT: About = About {
    name: "valuation",
    title: "modality valuation",
    idea: "show samples again with the modality alone that contributes least to their prediction",
    paper: "Wei et al., CVPR 2024 (arXiv 2309.06255)",
    cost: "a forward and backward for each sample shown, of which an epoch has up to 1 + 3M times as many; \
           before it one evaluation of the training samples with 2^M fusions",
    departs: &[
        "The bins of phi are the released ones for any number of modalities, because they are given for two alone.",
        "With more than two modalities the modality level compares the largest mean with the smallest, because the \
         paper's difference has two sides.",
        "p grows linearly, the released default, because what the other released forms bend is not clear.",
    ],
    settings: &[
        Setting::new("level", "sample", "sample | modality", "what is valued", "released code"),
        Setting::new("warmup", "5", "epochs", "epochs without copies", "released code"),
        Setting::new("share", "0.2", "0 to 1", "samples in the mean, at the modality level", "released code"),
        Setting::new("alpha", "1", "0 to 10", "amount of copies, at the modality level; 0 is none", "released code"),
    ],
    needs: Needs::NONE,
};

/// What is valued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Each modality of each sample.
    #[default]
    Sample,
    /// Each modality over the data set.
    Modality,
}

/// Settings of `valuation`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Valuation {
    /// What is valued.
    pub level: Level,
    /// Epochs without copies.
    pub warmup: usize,
    /// Share of the samples in the mean.
    pub share: f64,
    /// Amount of copies at the modality level; 0 is none.
    pub alpha: f64,
}

impl Default for Valuation {
    fn default() -> Self {
        Self { level: Level::Sample, warmup: 5, share: 0.2, alpha: 1. }
    }
}

impl Settings for Valuation {
    fn check(&self) -> Result<()> {
        within("share", self.share, 0., 1.)?;
        within("alpha", self.alpha, 0., 10.)
    }
    fn build(self, _: &NetSpec) -> Result<Built> {
        Ok(Built::op(Valued { settings: self, phi: vec![], copies: 0. }))
    }
}

struct Valued {
    settings: Valuation,
    /// Mean contribution of each modality at the last valuation.
    phi: Vec<f64>,
    /// Copies that this epoch shows.
    copies: f64,
}

impl EpochWork for Valued {
    fn before_epoch(&mut self, cx: &mut EpochStart<'_>) -> Result<()> {
        if cx.clock.epoch < self.settings.warmup {
            return Ok(());
        }
        let mut phi = vec![vec![]; cx.net.modalities()];
        cx.samples.each(Split::Train, &mut |batch| {
            let parts = contributions(cx.net, batch)?;
            for (all, part) in phi.iter_mut().zip(parts) {
                all.extend(part.to_vec1::<f64>()?);
            }
            Ok(())
        })?;
        let copies = match self.settings.level {
            Level::Sample => by_sample(&phi),
            Level::Modality => {
                self.by_modality(&phi, &mut Rng::keyed(cx.seed, &format!("valuation@{}", cx.clock.epoch)))
            }
        };
        self.phi = phi.iter().map(|own| own.iter().sum::<f64>() / own.len() as f64).collect();
        self.copies = copies.len() as f64;
        cx.extra.extend(copies);
        Ok(())
    }
}

/// Each sample's contribution of each modality, `[B]` (f64).
fn contributions(net: &dyn Net, batch: &Batch) -> Result<Vec<Tensor>> {
    let encode = |(m, x)| Ok(net.encode(m, x, &mut Pass::eval())?.detach());
    let features: Vec<Tensor> = batch.inputs.iter().enumerate().map(encode).collect::<Result<_>>()?;
    let value = |s: usize| {
        let subset = members(s, features.len());
        let logits = net.fuse(features.clone(), None, &mut Pass::eval().subset(&subset))?.logits;
        let right = logits.argmax(D::Minus1)?.eq(&batch.labels)?.to_dtype(DType::F64)?;
        Ok((right * f64::from(s.count_ones()))?)
    };
    shapley(&(0..1 << features.len()).map(value).collect::<Result<Vec<_>>>()?)
}

/// A sample with one modality alone.
fn alone(sample: usize, modality: usize, modalities: usize) -> Extra {
    Extra { sample, present: (0..modalities).map(|m| m == modality).collect() }
}

/// Copies of a sample with a modality that contributes `phi` to it.
fn copies(phi: f64) -> usize {
    // Shapley values are sums of fractions, whose rounding must not decide.
    [-0.1, 0.4, 1.].iter().filter(|bound| phi < **bound - 1e-9).count()
}

fn by_sample(phi: &[Vec<f64>]) -> Vec<Extra> {
    let of = |(m, own): (usize, &Vec<f64>)| {
        let times = own.iter().enumerate().map(|(i, p)| repeat_n(alone(i, m, phi.len()), copies(*p)));
        times.flatten().collect::<Vec<_>>()
    };
    phi.iter().enumerate().flat_map(of).collect()
}

impl Valued {
    fn by_modality(&self, phi: &[Vec<f64>], rng: &mut Rng) -> Vec<Extra> {
        let samples = phi.first().map_or(0, Vec::len);
        let drawn = ((self.settings.share * samples as f64) as usize).max(1);
        let drawn: Vec<usize> = (0..drawn).map(|_| rng.below(samples)).collect();
        let mean = |own: &Vec<f64>| drawn.iter().filter_map(|i| own.get(*i)).sum::<f64>() / drawn.len() as f64;
        let means: Vec<f64> = phi.iter().map(mean).collect();
        let largest = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let (weak, smallest) = means
            .iter()
            .copied()
            .enumerate()
            .fold((0, f64::INFINITY), |low, own| if own.1 < low.1 { own } else { low });
        let added = (2. / 3. * self.settings.alpha * (largest - smallest) * samples as f64) as usize;
        (0..added).map(|_| alone(rng.below(samples), weak, phi.len())).collect()
    }
}

impl GradOp for Valued {
    fn apply(&mut self, _: &mut Grads, seen: &Seen<'_>, report: &mut Report) -> Result<()> {
        for (name, phi) in seen.net.spec().modalities.iter().zip(&self.phi) {
            report.scalar(format!("phi.{name}"), *phi)?;
        }
        report.scalar("copies", self.copies)
    }
}

impl Stateful for Valued {
    fn state(&self) -> Result<State> {
        let mut state = State::default();
        state.put("phi", &self.phi)?;
        state.put("copies", &[self.copies])?;
        Ok(state)
    }
    fn load(&mut self, state: &State) -> Result<()> {
        (self.phi, self.copies) = (state.numbers("phi")?, state.number("copies")?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use aim_core::{Offers, Output, Params};
    use candle_core::Device;

    use super::*;

    /// Logits are the sum of the inputs.
    struct Sum(NetSpec, Params);

    impl Net for Sum {
        fn spec(&self) -> &NetSpec {
            &self.0
        }
        fn params(&self) -> &Params {
            &self.1
        }
        fn encode(&self, _: usize, x: &Tensor, _: &mut Pass<'_>) -> Result<Tensor> {
            Ok(x.clone())
        }
        fn fuse(&self, features: Vec<Tensor>, _: Option<&Tensor>, pass: &mut Pass<'_>) -> Result<Output> {
            let own = features.iter().enumerate().filter(|(m, _)| pass.includes(*m)).map(|(_, x)| x);
            let logits = own.fold(features[0].zeros_like(), |sum, x| sum? + x)?;
            Ok(Output { logits, unimodal: vec![], features, extras: aim_core::Extras::new() })
        }
    }

    fn sum(modalities: usize) -> Sum {
        let ones = vec![2; modalities];
        let (modalities, inputs) = (vec![String::new(); modalities], vec![vec![2]; modalities]);
        let offers = Offers::default();
        Sum(
            NetSpec {
                modalities,
                inputs,
                depths: ones.clone(),
                frames: vec![1; ones.len()],
                widths: ones,
                classes: 2,
                offers,
            },
            Params::default(),
        )
    }

    fn phi<const N: usize>(inputs: &[[[f32; 2]; N]], labels: &[u32]) -> Vec<Vec<f64>> {
        let inputs: Vec<_> = inputs.iter().map(|x| Tensor::new(x, &Device::Cpu).unwrap()).collect();
        let net = sum(inputs.len());
        let batch = Batch::new(inputs, Tensor::new(labels, &Device::Cpu).unwrap()).unwrap();
        contributions(&net, &batch).unwrap().iter().map(|t| t.to_vec1().unwrap()).collect()
    }

    fn counts(extra: &[Extra], samples: usize, modalities: usize) -> Vec<Vec<usize>> {
        let of = |sample, m| extra.iter().filter(|e| **e == alone(sample, m, modalities)).count();
        (0..modalities).map(|m| (0..samples).map(|i| of(i, m)).collect()).collect()
    }

    #[test]
    fn copies_of_two_modalities_by_hand() {
        // Sample 0: a right, v wrong, both right: v = 1, 0, 2; phi_a = (1 + 2 - 0) / 2, phi_v = (0 + 2 - 1) / 2.
        // Sample 1: a wrong, v right, both wrong: v = 0, 1, 0; phi_a = (0 + 0 - 1) / 2, phi_v = (1 + 0 - 0) / 2.
        // Sample 2: nothing right. Sample 3: both right alone and together: v = 1, 1, 2.
        let a = [[2., 0.], [1., 0.], [1., 0.], [0., 1.]];
        let v = [[-1., 0.], [0., 0.5], [1., 0.], [0., 1.]];
        let phi = phi(&[a, v], &[0, 1, 1, 1]);
        assert_eq!(phi, [[1.5, -0.5, 0., 1.], [0.5, 0.5, 0., 1.]]);
        assert_eq!(counts(&by_sample(&phi), 4, 2), [[0, 3, 2, 0], [1, 1, 2, 0]]);
    }

    #[test]
    fn copies_of_three_modalities_by_hand() {
        // The first decides alone: v = |S| for its sets, else 0. phi_1 = 1/3 + (2 + 2)/6 + 3/3 = 2,
        // phi_2 = 0/3 + (2 - 1)/6 + 0/6 + (3 - 2)/3 = 1/2, and so is phi_3.
        let (strong, none) = ([[0., 1.]], [[0., 0.]]);
        let phi = phi(&[strong, none, none], &[1]);
        let expected = [2., 0.5, 0.5];
        assert!(phi.iter().zip(expected).all(|(p, e)| (p[0] - e).abs() < 1e-12), "{phi:?}");
        assert_eq!(counts(&by_sample(&phi), 1, 3), [[0], [1], [1]]);
    }

    #[test]
    fn the_weakest_modality_is_shown_alone() {
        // Every draw has phi = 1.5, 0.75, 0.5: 2/3 * 0.9 * 1 * 10 = 6 copies with the last alone.
        let valued = |alpha| Valued { settings: Valuation { alpha, ..Valuation::default() }, phi: vec![], copies: 0. };
        let phi: Vec<_> = [1.5, 0.75, 0.5].iter().map(|p| vec![*p; 10]).collect();
        let copies = |alpha| valued(alpha).by_modality(&phi, &mut Rng::keyed(0, "test"));
        assert_eq!(copies(0.9).len(), 6);
        assert!(copies(0.9).iter().all(|e| e.present == [false, false, true] && e.sample < 10));
        assert!(copies(0.).is_empty());
    }
}
