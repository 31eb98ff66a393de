//! MA-AFS-like: a reconstruction of Modality-Aware Adaptive Fusion Scheduling (Bennett et al. 2025, arXiv 2506.12733).
//! Only the abstract is public: fusion weights are predicted for each sample from entropies and agreement. Everything
//! else is ours.
//!
//! ```text
//! L = CE(fused) + mu * sum_m CE(m) + entropy * KL(w || uniform) + consistency * KL(p(x) || p(x'))
//! ```
//! The fusion `scheduled` makes the weights w. With probability `corrupt` a sample is trained with one modality, drawn
//! uniformly, replaced by standard normal noise (inputs are standardised), so that the scheduler meets inputs that say
//! nothing. x' is the batch with one modality of every sample replaced in that way; p(x) is the target and carries no
//! gradient.

use aim_config::{between, settings};
use aim_core::{
    Batch, Error, GradFn, Grads, Idle, Loss, NetSpec, Norm, Objective, Pass, Plain, Recipe, Report, Result, Rng, Seen,
    Stateless, Step, WEIGHTS, capability,
};
use candle_core::{D, Tensor};

use crate::{
    Built, MethodInfo, MethodSettings, Provenance, Quantity, Requirements, Unimodal, joint::FusedAndUnimodal,
    util::divergence,
};

/// Card of [`MaAfs`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "ma-afs",
    title: "MA-AFS-like (reconstruction)",
    idea: "weight each sample's modalities by a scheduler that sees entropies and agreement, trained with corrupted \
    inputs",
    paper: "after the abstract of Bennett et al. 2025 (arXiv 2506.12733); formulas and settings are ours",
    cost: "1 forward and backward; another forward and backward with consistency",
    departs: &[
        "A reconstruction: the paper's formulas could not be had, so scheduler, losses and all defaults are inferred.",
        "The scheduler must be better than weights by entropy alone, learnt weights that know nothing of the sample, \
        and equal ones: `model.fusion: {scheduled: {hidden: 32, weights: entropy}}`, `static`, `equal`.",
        "Agreement is the mean cosine of features and they are summed; a divergence of predictions, or weighted \
        features side by side, would serve as well.",
        "Tasks are classifications in place of retrieval, captioning and question answering.",
    ],
    requires: Requirements {
        unimodal: Unimodal::Trained,
        capabilities: &[capability::SCHEDULED],
        ..Requirements::NONE
    },
    provenance: Provenance::Reconstruction,
    reports: &[Quantity::modality("weight", "", "mean weight in the fusion")],
    revision: 1,
};

settings! {
    /// Settings of `ma-afs`.
    pub struct MaAfs {
        /// Weight of each modality's own loss.
        pub mu: f64 = 0.5 => between(0., 100.), "ours";
        /// Weight of KL(w || uniform), the distance of the weights from equal ones.
        pub entropy: f64 = 0.01 => between(0., 100.), "ours";
        /// Share of samples that are trained with one modality replaced by noise.
        pub corrupt: f64 = 0.2 => between(0., 1.), "ours";
        /// Weight of the agreement with a corrupted copy.
        pub consistency: f64 = 0. => between(0., 100.), "ours";
    }
}

impl MethodSettings for MaAfs {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn build(&self, _: &NetSpec) -> Result<Built> {
        Ok(Built::grads(Corrupting { share: self.corrupt, inner: Recipe::of(Scheduling(self.clone())) }))
    }
}

struct Scheduling(MaAfs);

impl Stateless for Scheduling {}
impl Idle for Scheduling {}

impl Objective for Scheduling {
    fn losses(&mut self, seen: &Seen<'_>, report: &mut Report) -> Result<Vec<Loss>> {
        let MaAfs { mu, entropy, consistency, .. } = self.0;
        let mut losses = FusedAndUnimodal { weight: mu }.losses(seen, report)?;
        let missing =
            || Error::invalid("model.fusion", "gives no weights", "set model.fusion: {scheduled: {hidden: 32}}");
        let weights = seen.out.extras.get(WEIGHTS).ok_or_else(missing)?;
        for (m, name) in seen.net.spec().modalities.iter().enumerate() {
            report.note(format!("weight.{name}"), &weights.narrow(1, m, 1)?.mean_all()?);
        }
        losses.push(Loss::new("loss.weights", from_equal(weights)?).times(entropy));
        if consistency != 0. {
            let batch = corrupted(seen.batch, 1., &mut seen.draws.rng("ma-afs.consistency"))?;
            let logits = seen.net.forward(&batch, &mut Pass::train(seen.draws).norm(Norm::Batch))?.logits;
            let target = aim_ops::softmax(&seen.out.logits.detach())?;
            losses.push(Loss::new("loss.consistency", divergence(&target, &logits)?).times(consistency));
        }
        Ok(losses)
    }
}

/// Mean over the batch of `KL(w || uniform)` for weights `[B, M]`.
fn from_equal(weights: &Tensor) -> Result<Tensor> {
    let negative_entropy = (weights * (weights + 1e-30)?.log()?)?.sum(D::Minus1)?.mean_all()?;
    Ok((negative_entropy + (weights.dim(1)? as f64).ln())?)
}

/// The batch with one modality of a share of its samples replaced by noise, of the same length.
fn corrupted(batch: &Batch, share: f64, rng: &mut Rng) -> Result<Batch> {
    let mut draw = || (rng.uniform() < share).then(|| rng.below(batch.inputs.len()));
    let victims: Vec<Option<usize>> = (0..batch.len()).map(|_| draw()).collect();
    let mut batch = batch.clone();
    for (m, x) in batch.inputs.iter_mut().enumerate() {
        let keep: Vec<f32> = victims.iter().map(|v| f32::from(u8::from(*v != Some(m)))).collect();
        let column: Vec<usize> = x.values.dims().iter().enumerate().map(|(i, n)| if i == 0 { *n } else { 1 }).collect();
        let keep = Tensor::from_vec(keep, column, x.values.device())?;
        let noise = rng.normal_tensor(x.values.dims(), 1., x.values.device())?;
        x.values = (x.values.broadcast_mul(&keep)? + noise.broadcast_mul(&keep.affine(-1., 1.)?)?)?;
    }
    Ok(batch)
}

/// Trains on batches of which a share is corrupted.
struct Corrupting {
    share: f64,
    inner: Recipe,
}

impl Stateless for Corrupting {}
impl Idle for Corrupting {}
impl Plain for Corrupting {}

impl GradFn for Corrupting {
    fn grads(&mut self, cx: &mut Step<'_>) -> Result<(Grads, Report)> {
        if self.share == 0. {
            return self.inner.grads(cx);
        }
        let batch = &corrupted(cx.batch, self.share, &mut cx.draws().rng("ma-afs.corrupt"))?;
        let (net, clock, seed, trace) = (cx.net, cx.clock, cx.seed, cx.trace);
        self.inner.grads(&mut Step { net, opt: &mut *cx.opt, batch, clock, seed, trace })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::number;
    use aim_core::Input;
    use candle_core::Device;

    #[test]
    fn distance_from_equal_weights_by_hand() {
        let found = |w: &[f32]| {
            let weights = Tensor::new(w, &Device::Cpu).unwrap().reshape(((), 2)).unwrap();
            number(&from_equal(&weights).unwrap()).unwrap()
        };
        assert!(found(&[0.5, 0.5]).abs() < 1e-6);
        // All on one: ln 2. Mean with (3/4, 1/4): that is 0.75 ln 1.5 + 0.25 ln 0.5.
        let second = 0.75 * 1.5f64.ln() + 0.25 * 0.5f64.ln();
        assert!((found(&[1., 0., 0.75, 0.25]) - (2f64.ln() + second) / 2.).abs() < 1e-6);
    }

    #[test]
    fn corruption_replaces_one_modality_of_some_samples() {
        let x = Tensor::full(9f32, (400, 2, 1), &Device::Cpu).unwrap();
        let labels = Tensor::zeros(400, candle_core::DType::U32, &Device::Cpu).unwrap();
        let batch = Batch::new(vec![x.clone(), x.clone(), x], labels).unwrap();
        let touched = |share: f64| {
            let found = corrupted(&batch, share, &mut Rng::keyed(0, "x")).unwrap();
            let changed = |x: &Input| x.values.flatten_from(1).unwrap().to_vec2::<f32>().unwrap();
            let rows: Vec<_> = found.inputs.iter().map(changed).collect();
            let hit = |i: usize| rows.iter().filter(|r| r[i].iter().all(|v| v.abs() < 7.)).count();
            let whole = |i: usize| rows.iter().filter(|r| r[i] == [9., 9.]).count();
            assert!((0..400).all(|i| hit(i) + whole(i) == 3 && hit(i) <= 1));
            (0..400).filter(|i| hit(*i) == 1).count()
        };
        assert_eq!((touched(0.), touched(1.)), (0, 400));
        assert!((80..160).contains(&touched(0.3)), "{}", touched(0.3));
    }
}
