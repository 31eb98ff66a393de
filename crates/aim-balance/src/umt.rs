//! UMT: Uni-Modal Teacher (Du et al., ICML 2023, arXiv 2305.01233): joint training that keeps each encoder's feature
//! near that of the encoder trained alone.
//!
//! ```text
//! L = CE(fused) + lambda sum_m mean over batch and width of (z_m - t_m)^2
//! ```
//! `z_m` is the feature of modality m, `t_m` that of its teacher: the same architecture, trained on m alone before the
//! run.

use aim_config::{at_least, between, settings};
use aim_core::{
    EpochStart, EpochWork, Loss, NetSpec, Objective, Preparation, Report, Result, Seen, State, Stateful, capability,
};
use candle_core::Tensor;

use crate::{
    Built, MethodInfo, MethodSettings, Provenance, Requirements,
    card::in_order,
    joint::cross_entropy,
    teacher::{self, Teacher},
};

/// Card of [`Umt`].
pub static ABOUT: MethodInfo = MethodInfo {
    name: "umt",
    title: "UMT",
    idea: "joint training, with each encoder's feature held near that of the encoder trained alone",
    paper: "Du et al., ICML 2023 (arXiv 2305.01233)",
    cost: "1 forward and 1 backward pass; 1 more forward pass of the encoders without gradient; each modality trained \
    alone before",
    departs: &["Teachers answer in evaluation mode; BalanceBenchmark's normalise by the batch, a fault."],
    requires: Requirements { capabilities: &[capability::VIEWS], ..Requirements::SEPARATE },
    provenance: Provenance::Faithful,
    reports: &[],
    revision: 1,
};

settings! {
    /// Settings of `umt`.
    pub struct Umt {
        /// Weight of the distance between features; 0 is joint training.
        pub lambda: f64 = 10. => between(0., 1000.),
            "third party (BalanceBenchmark); the paper's is not known for sure";
        /// First epoch with teachers.
        pub starts: usize = 0 => at_least(0), "third party (BalanceBenchmark)";
        /// Last epoch with teachers; the run's by default.
        pub ends: Option<usize> = None => at_least(0).shown("none"), "ours";
    }
}

impl MethodSettings for Umt {
    fn info(&self) -> &'static MethodInfo {
        &ABOUT
    }
    fn check(&self) -> Result<()> {
        in_order("ends", self.starts, self.ends.unwrap_or(usize::MAX))
    }
    fn build(&self, _: &NetSpec) -> Result<Built> {
        Ok(Built::objective(Taught { settings: self.clone(), teachers: Vec::new() }))
    }
    fn prepares(&self, modalities: &[String]) -> Vec<Preparation> {
        if self.lambda == 0. { Vec::new() } else { Preparation::each(modalities) }
    }
}

struct Taught {
    settings: Umt,
    /// None before the first epoch, and none if they have no weight.
    teachers: Vec<Teacher>,
}

impl Stateful for Taught {
    fn state(&self) -> Result<State> {
        Ok(teacher::save(&self.teachers))
    }
    fn load(&mut self, state: &State) -> Result<()> {
        self.teachers = teacher::load(state)?;
        Ok(())
    }
}

impl EpochWork for Taught {
    fn before_epoch(&mut self, cx: &mut EpochStart<'_>) -> Result<()> {
        if self.settings.lambda != 0. && self.teachers.is_empty() {
            self.teachers = Teacher::all(cx)?;
        }
        Ok(())
    }
}

impl Objective for Taught {
    fn losses(&mut self, seen: &Seen<'_>, _: &mut Report) -> Result<Vec<Loss>> {
        let mut losses = vec![Loss::new("loss.ce", cross_entropy(&seen.out.logits, seen.batch)?)];
        let Umt { lambda, starts, ends } = self.settings;
        if !(starts..=ends.unwrap_or(usize::MAX)).contains(&seen.clock.epoch) {
            return Ok(losses);
        }
        for (m, teacher) in self.teachers.iter().enumerate() {
            let taught = teacher.feature(seen.net, m, &seen.batch.inputs[m])?;
            let name = format!("loss.feature.{}", seen.net.spec().modalities[m]);
            losses.push(Loss::new(name, distance(&seen.out.features[m], &taught)?).times(lambda));
        }
        Ok(losses)
    }
}

/// Mean over batch and width of the squared difference.
pub(crate) fn distance(feature: &Tensor, taught: &Tensor) -> Result<Tensor> {
    Ok((feature - taught)?.sqr()?.mean_all()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::util::number;
    use candle_core::Device;

    #[test]
    fn distance_by_hand() {
        let z = Tensor::new(&[[1f64, 2.], [0., 4.]], &Device::Cpu).unwrap();
        let t = Tensor::new(&[[0f64, 2.], [3., 2.]], &Device::Cpu).unwrap();
        assert_eq!(number(&distance(&z, &t).unwrap()).unwrap(), (1. + 0. + 9. + 4.) / 4.);
    }
}
