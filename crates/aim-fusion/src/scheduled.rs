//! Fusion weights that a small network chooses for each sample: our reconstruction around the abstract of MA-AFS
//! (Bennett et al. 2025, arXiv 2506.12733), whose formulas are not public.
//!
//! ```text
//! q_m = softmax(head_m(z_m)),  H_m = entropy of q_m / ln(classes),  A_m = mean over the others of cos(z_m, z_j)
//! w = softmax(MLP([H_1 .. H_M, A_1 .. A_M])),  logits = head(sum of w_m z_m)
//! ```
//! `weights` replaces the scheduler by what it must be better than: `entropy` has w in proportion to exp(-H), `static`
//! one learnt logit a modality, `equal` nothing. No gradient flows into H and A. The MLP's last layer starts at 0, so
//! that the weights start equal.

use aim_backbones::{Build, Init, Linear};
use aim_config::{at_least, by_type, choice, settings};
use aim_core::{
    Capabilities, Capability, Extras, Fusion, Handle, Joined, Kind, Part, Pass, Result, Role, WEIGHTS, capability,
};
use candle_core::{D, Tensor};

use crate::heads::{apply, heads, same_width};
use crate::{
    FusionInfo,
    config::{ANY, fusion_settings},
};

const OFFERS: &[Capability] = &[capability::VIEWS, capability::UNIMODAL, capability::SCHEDULED];

settings! {
    /// Settings of the fusion `scheduled`.
    pub struct ScheduledConfig {
        /// Width of the scheduler's hidden layer, where `weights` are the scheduler's.
        pub hidden: usize = 32 => at_least(1), "ours";
        /// What the weights follow.
        pub weights: Weights = Weights::Scheduler => by_type(), "ours";
    }
}

choice! {
    /// What the weights of modalities follow.
    pub enum Weights {
        /// A small network that sees entropies and agreement.
        Scheduler = "scheduler",
        /// Entropies alone.
        Entropy = "entropy",
        /// Nothing of the sample: they are learnt.
        Static = "static",
        /// Nothing: they are equal.
        Equal = "equal",
    }
}

fusion_settings!(
    ScheduledConfig: equal_widths,
    FusionInfo {
        name: "scheduled",
        about: "features weighted for each sample by a small network that sees entropies and agreement (or by `entropy` alone, \
            by learnt `static` weights, `equal`), one head on their sum (equal widths)",
        unimodal: "a head of its own",
        modalities: ANY,
    },
    OFFERS,
    |settings, build, on| Scheduled::new(build, on.names, on.widths, (settings.hidden, settings.weights), on.classes)?
);

/// Features weighted for each sample, and one head on their sum. A modality's logits are those of a head of its own.
pub struct Scheduled {
    heads: Vec<Linear>,
    scheduler: Scheduler,
    head: Linear,
}

/// [`Weights`] with their parameters.
enum Scheduler {
    Network(Box<[Linear; 2]>),
    Entropy,
    Static(Handle),
    Equal,
}

impl Scheduled {
    /// `head.<modality>.*`, `scheduler.0.*` and `scheduler.1.*` over a hidden layer or `scheduler.logits`, and
    /// `head.*`.
    ///
    /// # Errors
    /// If the widths differ.
    pub fn new(
        build: &mut Build,
        names: &[String],
        widths: &[usize],
        (hidden, weights): (usize, Weights),
        classes: usize,
    ) -> Result<Self> {
        let (width, modalities) = (same_width(widths)?, names.len());
        let scheduler = match weights {
            Weights::Scheduler => Scheduler::Network(Box::new([
                build.linear("scheduler.0", Part::Fusion, 2 * modalities, hidden, true)?,
                build.zero_linear("scheduler.1", Part::Fusion, hidden, modalities)?,
            ])),
            Weights::Entropy => Scheduler::Entropy,
            Weights::Static => {
                let role = Role { part: Part::Fusion, kind: Kind::Bias };
                Scheduler::Static(build.param("scheduler.logits", role, &[modalities], Init::Constant(0.), (1, 1))?)
            }
            Weights::Equal => Scheduler::Equal,
        };
        Ok(Self {
            heads: heads(build, names, widths, classes)?,
            scheduler,
            head: build.linear("head", Part::Head { modality: None }, width, classes, true)?,
        })
    }

    /// The weights `[B, M]`.
    fn weights(&self, features: &[Tensor], unimodal: &[Tensor], pass: &Pass<'_>) -> Result<Tensor> {
        let logits = match &self.scheduler {
            Scheduler::Network(layers) => {
                let [first, second] = &**layers;
                let signals = [entropies(unimodal)?, agreements(features)?].concat();
                let hidden = aim_ops::relu(&first.forward(&Tensor::cat(&signals, 1)?, pass)?)?;
                second.forward(&hidden, pass)?
            }
            Scheduler::Entropy => Tensor::cat(&entropies(unimodal)?, 1)?.neg()?,
            Scheduler::Static(logits) => {
                pass.weight(logits).broadcast_as((features[0].dim(0)?, features.len()))?.contiguous()?
            }
            Scheduler::Equal => Tensor::cat(&entropies(unimodal)?, 1)?.zeros_like()?,
        };
        Ok(aim_ops::softmax(&logits)?)
    }
}

/// Entropy of each modality's prediction as a share of the largest, `[B, 1]` each.
fn entropies(unimodal: &[Tensor]) -> Result<Vec<Tensor>> {
    let entropy = |logits: &Tensor| {
        let log_p = aim_ops::log_softmax(&logits.detach())?;
        let largest = (log_p.dim(1)?.max(2) as f64).ln();
        Ok(((log_p.exp()? * log_p)?.sum_keepdim(1)? * (-1. / largest))?)
    };
    unimodal.iter().map(entropy).collect()
}

/// Mean cosine of each modality's feature with the others', `[B, 1]` each.
fn agreements(features: &[Tensor]) -> Result<Vec<Tensor>> {
    let units = features.iter().map(|x| aim_ops::unit_rows(&x.detach())).collect::<candle_core::Result<Vec<_>>>()?;
    let (total, others) = (Tensor::stack(&units, 0)?.sum(0)?, (units.len() - 1).max(1) as f64);
    units.iter().map(|x| Ok((((&total - x)? * x)?.sum_keepdim(D::Minus1)? / others)?)).collect()
}

impl Fusion for Scheduled {
    fn capabilities(&self) -> Capabilities {
        Capabilities::of(OFFERS)
    }
    fn forward(&self, features: &[Tensor], pass: &mut Pass<'_>) -> Result<Joined> {
        let unimodal = apply(&self.heads, features, pass)?;
        let weights = self.weights(features, &unimodal, pass)?;
        let joined = Tensor::stack(features, 1)?.broadcast_mul(&weights.unsqueeze(2)?)?.sum(1)?;
        let logits = self.head.forward(&joined, pass)?;
        Ok(Joined { logits, unimodal, extras: Extras::from([(WEIGHTS, weights)]) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aim_core::Params;
    use candle_core::Device;

    fn fusion() -> (Scheduled, Params) {
        weighted(Weights::Scheduler)
    }

    fn weighted(weights: Weights) -> (Scheduled, Params) {
        let mut build = Build::new(0, &Device::Cpu);
        let names = ["a", "b", "c"].map(str::to_owned);
        let fusion = Scheduled::new(&mut build, &names, &[2, 2, 2], (4, weights), 2).unwrap();
        (fusion, build.finish())
    }

    fn features() -> Vec<Tensor> {
        [[[3f32, 4.], [1., 0.]], [[4., 3.], [0., 2.]], [[0., 0.], [-1., 0.]]]
            .map(|x| Tensor::new(&x, &Device::Cpu).unwrap())
            .to_vec()
    }

    fn close(got: &Tensor, want: &[f32]) {
        let got: Vec<f32> = got.flatten_all().unwrap().to_vec1().unwrap();
        assert!(got.iter().zip(want).all(|(a, b)| (a - b).abs() < 1e-5) && got.len() == want.len(), "{got:?} {want:?}");
    }

    #[test]
    fn signals_by_hand() {
        // Units of the first sample: (0.6, 0.8), (0.8, 0.6), 0: cosines 0.96, 0, 0. Of the second: (1, 0), (0, 1), (-1,
        // 0).
        let agreement = agreements(&features()).unwrap();
        for (found, by_hand) in agreement.iter().zip([[0.48, -0.5], [0.48, 0.], [0., -0.5]]) {
            close(found, &by_hand);
        }
        // Probabilities (1/2, 1/2) and (3/4, 1/4).
        let logits = Tensor::new(&[[1f32, 1.], [3f32.ln(), 0.]], &Device::Cpu).unwrap();
        let second = -(0.75f32 * 0.75f32.ln() + 0.25 * 0.25f32.ln()) / 2f32.ln();
        close(&entropies(&[logits]).unwrap()[0], &[1., second]);
    }

    #[test]
    fn weights_start_equal_and_the_head_reads_the_mean() {
        let (fusion, _) = fusion();
        let mut pass = Pass::eval();
        let joined = fusion.forward(&features(), &mut pass).unwrap();
        close(&joined.extras[WEIGHTS], &[1. / 3.; 6]);
        let mean = Tensor::new(&[[7f32 / 3., 7. / 3.], [0., 2. / 3.]], &Device::Cpu).unwrap();
        let by_hand: Vec<f32> = fusion.head.forward(&mean, &pass).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        close(&joined.logits, &by_hand);
    }

    #[test]
    fn other_weights_by_hand() {
        let weights = |kind| weighted(kind).0.forward(&features(), &mut Pass::eval()).unwrap().extras[WEIGHTS].clone();
        close(&weights(Weights::Equal), &[1. / 3.; 6]);
        close(&weights(Weights::Static), &[1. / 3.; 6]);
        let (fusion, params) = weighted(Weights::Static);
        let logits = Tensor::new(&[0f32, 2f32.ln(), 0.], &Device::Cpu).unwrap();
        params.get("scheduler.logits").unwrap().var.set(&logits).unwrap();
        let joined = fusion.forward(&features(), &mut Pass::eval()).unwrap();
        close(&joined.extras[WEIGHTS], &[0.25, 0.5, 0.25, 0.25, 0.5, 0.25]);
        let grads = aim_core::Grads::of(&joined.logits.sqr().unwrap().sum_all().unwrap(), &params).unwrap();
        assert!(grads.get("scheduler.logits").is_some());
        // In proportion to exp(-H), H of the heads' own predictions.
        let (fusion, _) = weighted(Weights::Entropy);
        let joined = fusion.forward(&features(), &mut Pass::eval()).unwrap();
        let h: Vec<Vec<f32>> =
            entropies(&joined.unimodal).unwrap().iter().map(|h| h.flatten_all().unwrap().to_vec1().unwrap()).collect();
        let by_hand = (0..2).flat_map(|i| {
            let total: f32 = h.iter().map(|h| (-h[i]).exp()).sum();
            h.iter().map(move |h| (-h[i]).exp() / total).collect::<Vec<_>>()
        });
        close(&joined.extras[WEIGHTS], &by_hand.collect::<Vec<_>>());
    }

    #[test]
    fn the_fused_loss_trains_the_scheduler_but_not_the_heads_of_single_modalities() {
        let (fusion, params) = fusion();
        let joined = fusion.forward(&features(), &mut Pass::eval()).unwrap();
        let grads = aim_core::Grads::of(&joined.logits.sqr().unwrap().sum_all().unwrap(), &params).unwrap();
        assert!(grads.get("scheduler.1.weight").is_some() && grads.get("head.a.weight").is_none());
    }
}
