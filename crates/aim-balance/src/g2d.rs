//! G2D: Gradient-Guided Distillation (arXiv 2506.21514): joint training that learns from the logits and features of
//! modalities trained alone, and at first trains only the encoder whose teacher is least sure (sequential modality
//! prioritization).
//!
//! ```text
//! L = CE(fused) + logits T^2 sum_m KL(softmax(s_m / T) || softmax(fused / T)) + features sum_m mean of (z_m - t_m)^2
//! c_m = sum over the batch of softmax(s_m)[y]                       s_m, t_m: logits and feature of m's teacher
//! epochs before priority * epochs: weights of every encoder but that with the smallest c_m get the gradient 0
//! ```

use aim_config::{between, settings};
use aim_core::{
    EpochStart, EpochWork, Error, GradOp, Grads, Idle, Loss, NetSpec, Objective, Preparation, Report, Result, Seen,
    State, Stateful, Stateless, capability,
};
use candle_core::Tensor;

use crate::{
    Built, MethodInfo, MethodSettings, Provenance, Quantity, Requirements,
    joint::cross_entropy,
    ogm::scores,
    teacher::{self, Teacher},
    umt::distance,
    util::divergence,
};

/// Card of [`G2d`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "g2d",
    title: "G2D",
    idea: "distil logits and features of modalities trained alone; at first train only the encoder with the weakest \
    teacher",
    paper: "arXiv 2506.21514",
    cost: "1 forward and 1 backward pass; 1 more forward pass of the encoders without gradient; each modality trained \
    alone before",
    departs: &[
        "Linear weights of encoders are held back too, so that the method acts on an MLP or transformer; the released \
        code holds back convolutions alone.",
        "With three or more modalities all encoders but the weakest are held back, because the rule was readable for \
        two.",
    ],
    requires: Requirements { capabilities: &[capability::VIEWS], ..Requirements::SEPARATE },
    provenance: Provenance::Faithful,
    reports: &[
        Quantity::modality("confidence", "", "sum over the batch of its teacher's probability of the true class"),
        Quantity::modality("coef", "", "factor on the gradients of the encoder's weights"),
    ],
    revision: 1,
};

settings! {
    /// Settings of `g2d`.
    pub struct G2d {
        /// Weight of the teachers' logits.
        pub logits: f64 = 1. => between(0., 100.), "released code";
        /// Weight of the teachers' features.
        pub features: f64 = 1. => between(0., 100.), "released code";
        /// Temperature T of the logits.
        pub temperature: f64 = 1. => between(0.01, 100.), "released code";
        /// Share of the epochs in which only the weakest encoder is trained; with both weights 0 too it is
        /// joint training.
        pub priority: f64 = 0.5 => between(0., 1.), "released code (150 of 300 epochs)";
    }
}

impl G2d {
    fn is_joint(&self) -> bool {
        self.logits == 0. && self.features == 0. && self.priority == 0.
    }
}

impl MethodSettings for G2d {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn build(&self, _: &NetSpec) -> Result<Built> {
        let op = Prioritized { share: self.priority };
        Ok(Built::op(op).with_objective(Distilled { settings: self.clone(), teachers: Vec::new() }))
    }
    fn prepares(&self, modalities: &[String]) -> Vec<Preparation> {
        if self.is_joint() { Vec::new() } else { Preparation::each(modalities) }
    }
}

struct Distilled {
    settings: G2d,
    /// None before the first epoch, and none if nothing is learnt from them.
    teachers: Vec<Teacher>,
}

impl Stateful for Distilled {
    fn state(&self) -> Result<State> {
        Ok(teacher::save(&self.teachers))
    }
    fn load(&mut self, state: &State) -> Result<()> {
        self.teachers = teacher::load(state)?;
        Ok(())
    }
}

impl EpochWork for Distilled {
    fn before_epoch(&mut self, cx: &mut EpochStart<'_>) -> Result<()> {
        if !self.settings.is_joint() && self.teachers.is_empty() {
            self.teachers = Teacher::all(cx)?;
        }
        Ok(())
    }
}

impl Objective for Distilled {
    fn losses(&mut self, seen: &Seen<'_>, report: &mut Report) -> Result<Vec<Loss>> {
        let G2d { logits, features, temperature: t, .. } = self.settings;
        let mut losses = vec![Loss::new("loss.ce", cross_entropy(&seen.out.logits, seen.batch)?)];
        for (m, teacher) in self.teachers.iter().enumerate() {
            let name = &seen.net.spec().modalities[m];
            // Of a sample that lacks the modality its teacher knows nothing: it sees a zero and does not teach.
            let known = seen.batch.present.as_ref().map(|present| present.narrow(1, m, 1)).transpose()?;
            let heard =
                |t: Tensor| Ok::<_, aim_core::Error>(known.as_ref().map_or(Ok(t.clone()), |k| t.broadcast_mul(k))?);
            let feature = heard(teacher.feature(seen.net, m, &seen.batch.inputs[m])?)?;
            let taught = teacher.logits(&feature)?;
            report.scalar(confidence(name), scores(std::slice::from_ref(&taught), &seen.batch.labels)?[0])?;
            let kl = divergence(&heard(aim_ops::softmax(&(taught / t)?)?)?, &(&seen.out.logits / t)?)?;
            losses.push(Loss::new(format!("loss.kl.{name}"), kl).times(logits * t * t));
            let apart = distance(&seen.out.features[m], &feature)?;
            losses.push(Loss::new(format!("loss.feature.{name}"), apart).times(features));
        }
        Ok(losses)
    }
}

/// Under which name the objective notes how sure a teacher is, and prioritization finds it.
fn confidence(modality: &str) -> String {
    format!("confidence.{modality}")
}

struct Prioritized {
    share: f64,
}

impl Stateless for Prioritized {}
impl Idle for Prioritized {}

impl GradOp for Prioritized {
    fn apply(&mut self, grads: &mut Grads, seen: &Seen<'_>, report: &mut Report) -> Result<()> {
        if seen.clock.epoch as f64 >= self.share * seen.clock.epochs as f64 {
            return Ok(());
        }
        let names = &seen.net.spec().modalities;
        let sure = |name: &String| Ok(report.values(&confidence(name))?.and_then(|v| v.first().copied()));
        let sure = names.iter().map(sure).collect::<Result<Option<Vec<f64>>>>()?;
        let sure = sure.ok_or_else(|| Error::invalid("g2d", "has no teachers", "call before_epoch before a step"))?;
        let factors = factors(&sure);
        for (name, factor) in names.iter().zip(&factors) {
            report.scalar(format!("coef.{name}"), *factor)?;
        }
        grads.map(seen.net.params(), |_, role, grad| match role.encoder() {
            Some(m) if role.is_weight() && factors[m] == 0. => Ok(Some(grad.zeros_like()?)),
            _ => Ok(None),
        })
    }
}

/// 1 for the modality whose teacher is least sure, the first of equals; 0 for the others.
fn factors(confidence: &[f64]) -> Vec<f64> {
    let weakest = (0..confidence.len()).min_by(|a, b| confidence[*a].total_cmp(&confidence[*b]));
    (0..confidence.len()).map(|m| f64::from(u8::from(Some(m) == weakest))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weakest_teacher_has_priority() {
        assert_eq!(factors(&[7.5, 3.]), [0., 1.]);
        assert_eq!(factors(&[2., 3., 9.]), [1., 0., 0.]);
        assert_eq!(factors(&[4., 4.]), [1., 0.]);
    }
}
