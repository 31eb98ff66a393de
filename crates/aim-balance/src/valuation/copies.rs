//! What modalities contribute to samples, and which copies follow from it.

use std::iter::repeat_n;

use aim_core::{Batch, Extra, Net, Pass, Result, Rng};
use candle_core::{D, DType, Tensor};

use super::{Form, Valuation};
use crate::util::{members, shapley};

/// Each sample's contribution of each modality, `[B]` (f64).
pub(super) fn contributions(net: &dyn Net, batch: &Batch) -> Result<Vec<Tensor>> {
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

pub(super) fn by_sample(phi: &[Vec<f64>]) -> Vec<Extra> {
    let of = |(m, own): (usize, &Vec<f64>)| {
        let times = own.iter().enumerate().map(|(i, p)| repeat_n(alone(i, m, phi.len()), copies(*p)));
        times.flatten().collect::<Vec<_>>()
    };
    phi.iter().enumerate().flat_map(of).collect()
}

impl Form {
    fn of(self, gap: f64) -> f64 {
        match self {
            Self::Linear => gap,
            Self::Tanh => gap.tanh(),
            Self::Power => gap.powf(1.5),
        }
    }
}

/// Copies of random samples with the modality that contributes least in the mean over a share of the samples.
pub(super) fn by_modality(phi: &[Vec<f64>], settings: &Valuation, rng: &mut Rng) -> Vec<Extra> {
    let samples = phi.first().map_or(0, Vec::len);
    let drawn = ((settings.share * samples as f64) as usize).max(1);
    let drawn: Vec<usize> = (0..drawn).map(|_| rng.below(samples)).collect();
    let mean = |own: &Vec<f64>| drawn.iter().filter_map(|i| own.get(*i)).sum::<f64>() / drawn.len() as f64;
    let means: Vec<f64> = phi.iter().map(mean).collect();
    let largest = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let (weak, smallest) =
        means.iter().copied().enumerate().fold((0, f64::INFINITY), |low, own| if own.1 < low.1 { own } else { low });
    let gap = settings.form.of(largest - smallest);
    let added = (2. / 3. * settings.alpha * gap * samples as f64) as usize;
    (0..added).map(|_| alone(rng.below(samples), weak, phi.len())).collect()
}

#[cfg(test)]
mod tests {
    use aim_core::{Capabilities, Input, NetSpec, Output, Params};
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
        fn encode(&self, _: usize, x: &Input, _: &mut Pass<'_>) -> Result<Tensor> {
            Ok(x.values.clone())
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
        let capabilities = Capabilities::default();
        Sum(
            NetSpec {
                modalities,
                inputs,
                depths: ones.clone(),
                frames: vec![1; ones.len()],
                widths: ones,
                classes: 2,
                capabilities,
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
        let phi: Vec<_> = [1.5, 0.75, 0.5].iter().map(|p| vec![*p; 10]).collect();
        let copies_of = |alpha, form| {
            by_modality(&phi, &Valuation { alpha, form, ..Valuation::default() }, &mut Rng::keyed(0, "test"))
        };
        let copies = |alpha| copies_of(alpha, Form::Linear);
        assert_eq!(copies(0.9).len(), 6);
        assert!(copies(0.9).iter().all(|e| e.present == [false, false, true] && e.sample < 10));
        assert!(copies(0.).is_empty());
        // tanh 1 = 0.76: 2/3 * 0.76 * 10 = 5.08. A difference of 1 is 1 to any power; of 0.5 (without the first) 0.35.
        assert_eq!((copies_of(1., Form::Tanh).len(), copies_of(1., Form::Power).len()), (5, 6));
        assert_eq!((Form::Power.of(0.25), Form::Linear.of(0.25)), (0.125, 0.25));
    }
}
