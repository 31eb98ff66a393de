//! Fusion of decisions: the modalities' probabilities, the surer one counting more.

use aim_backbones::{Build, Linear};
use aim_config::{by_type, choice, settings};
use aim_core::{Capabilities, Capability, Error, Fusion, Joined, Pass, Result, WEIGHTS, capability};
use candle_core::Tensor;

use crate::{
    Features, FusionInfo,
    config::{ANY, fusion_settings},
    heads::{apply, heads},
};

const OFFERS: &[Capability] = &[capability::VIEWS, capability::UNIMODAL];

choice! {
    /// What a modality's say is measured by.
    pub enum Certainty {
        /// The probability of its likeliest class.
        Confidence = "confidence",
        /// The exponential of its negative entropy.
        Entropy = "entropy",
    }
}

settings! {
    /// Settings of the fusion `decision`.
    pub struct DecisionConfig {
        /// Say of a modality: the probability of its likeliest class | the exponential of its negative entropy.
        pub by: Certainty = Certainty::Confidence => by_type(), "ours";
    }
}

fusion_settings!(
    DecisionConfig,
    FusionInfo {
        name: "decision",
        about: "mean of the modalities' probabilities, each sample's weighted by how sure a modality is",
        unimodal: "its head",
        modalities: ANY,
    },
    OFFERS,
    |settings, build, on| Decision::new(build, on, settings.by)?
);

/// `log sum_m w_m softmax(head_m(x_m))`. The weights of a sample sum to 1 over the modalities that take part, and carry
/// no gradient.
pub struct Decision {
    heads: Vec<Linear>,
    by: Certainty,
}

impl Decision {
    /// `head.<modality>.weight` and `.bias` for each modality.
    ///
    /// # Errors
    /// If the names are taken.
    pub fn new(build: &mut Build, on: &Features<'_>, by: Certainty) -> Result<Self> {
        Ok(Self { heads: heads(build, on.names, on.widths, on.classes)?, by })
    }

    /// How sure a modality is of each sample, `[B, 1]`; 0 if it takes no part.
    fn say(&self, modality: usize, log_probabilities: &Tensor, pass: &Pass<'_>) -> Result<Tensor> {
        let log = log_probabilities.detach();
        let say = match self.by {
            Certainty::Confidence => log.max_keepdim(1)?.exp()?,
            Certainty::Entropy => (log.exp()? * &log)?.sum_keepdim(1)?.exp()?,
        };
        Ok(if pass.includes(modality) { say } else { say.zeros_like()? })
    }
}

impl Fusion for Decision {
    fn capabilities(&self) -> Capabilities {
        Capabilities::of(OFFERS)
    }
    fn forward(&self, features: &[Tensor], pass: &mut Pass<'_>) -> Result<Joined> {
        let unimodal = apply(&self.heads, features, pass)?;
        let log: Vec<Tensor> = unimodal.iter().map(aim_ops::log_softmax).collect::<candle_core::Result<_>>()?;
        let say: Vec<Tensor> = log.iter().enumerate().map(|(m, x)| self.say(m, x, pass)).collect::<Result<_>>()?;
        let say = Tensor::cat(&say, 1)?;
        // A pass without any modality weighs all alike.
        let total = say.sum_keepdim(1)?;
        let none = total.eq(0f32)?.to_dtype(say.dtype())?;
        let share = 1. / features.len() as f64;
        let weights = (say.broadcast_div(&(&total + &none)?)? + (none.broadcast_as(say.dims())? * share)?)?;
        let mut sum: Option<Tensor> = None;
        for (m, x) in log.iter().enumerate() {
            let term = x.exp()?.broadcast_mul(&weights.narrow(1, m, 1)?)?;
            sum = Some(match sum {
                None => term,
                Some(sum) => (sum + term)?,
            });
        }
        let sum = sum.ok_or_else(|| Error::shape("features", &[0], "at least one modality"))?;
        let mut joined = Joined::from(((sum + f64::from(f32::MIN_POSITIVE))?.log()?, unimodal));
        joined.extras.insert(WEIGHTS, weights);
        Ok(joined)
    }
}

#[cfg(test)]
mod tests {
    use aim_core::Params;
    use candle_core::Device;

    use super::*;

    fn set(params: &Params, name: &str, values: &[f32]) {
        let var = &params.get(name).unwrap().var;
        var.set(&Tensor::new(values, &Device::Cpu).unwrap().reshape(var.dims()).unwrap()).unwrap();
    }

    /// Weights and probabilities where the heads' logits are `(ln 9, 0)` and `(0, ln 3)`: .9 and .1, .25 and .75.
    fn joined(by: Certainty, subset: Option<&[bool]>) -> (Vec<f32>, Vec<f32>) {
        let names = ["a", "b"].map(String::from);
        let on = Features { names: &names, widths: &[1, 1], frames: &[1, 1], stages: &[], classes: 2 };
        let mut build = Build::new(0, &Device::Cpu);
        let fusion = Decision::new(&mut build, &on, by).unwrap();
        let params = build.finish();
        set(&params, "head.a.weight", &[9f32.ln(), 0.]);
        set(&params, "head.b.weight", &[0., 3f32.ln()]);
        ["head.a.bias", "head.b.bias"].iter().for_each(|name| set(&params, name, &[0., 0.]));
        let one = || Tensor::new(&[[1f32]], &Device::Cpu).unwrap();
        let mut pass = Pass::eval();
        if let Some(subset) = subset {
            pass = pass.subset(subset);
        }
        let joined = fusion.forward(&[one(), one()], &mut pass).unwrap();
        let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        (flat(&joined.extras[WEIGHTS]), flat(&joined.logits.exp().unwrap()))
    }

    fn near(got: &[f32], want: [f64; 2]) {
        assert!(got.iter().zip(want).all(|(g, w)| (f64::from(*g) - w).abs() < 1e-5), "{got:?} is not {want:?}");
    }

    #[test]
    fn the_surer_modality_counts_more_by_hand() {
        let (weights, p) = joined(Certainty::Confidence, None);
        let w = 0.9 / 1.65;
        near(&weights, [w, 1. - w]);
        near(&p, [w * 0.9 + (1. - w) * 0.25, w * 0.1 + (1. - w) * 0.75]);
        let (weights, _) = joined(Certainty::Entropy, None);
        // exp(-H) is prod p^p.
        let (a, b) = (0.9f64.powf(0.9) * 0.1f64.powf(0.1), 0.25f64.powf(0.25) * 0.75f64.powf(0.75));
        near(&weights, [a / (a + b), b / (a + b)]);
    }

    #[test]
    fn a_modality_that_takes_no_part_has_no_say() {
        let (weights, p) = joined(Certainty::Confidence, Some(&[false, true]));
        near(&weights, [0., 1.]);
        near(&p, [0.25, 0.75]);
        near(&joined(Certainty::Entropy, Some(&[false, false])).0, [0.5, 0.5]);
    }
}
