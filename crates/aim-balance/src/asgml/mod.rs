//! ASGML, a probe-guided boost of the weak modality: linear probes on each encoder's features measure how much they
//! tell, and the gradients of weaker encoders grow. Nobody is slowed down.
//!
//! ```text
//! L = CE(z) + unimodal sum over m of CE(h_m);   gradients of encoder m *= s_m        (s_m = 1 at first)
//! behind every `every`-th batch of an epoch, with its features:
//!   probe_m: probe_steps of Adam on the first half of the batch;   e_m = accuracy on the rest
//!   E_m <- accuracy_ema e_m + (1 - accuracy_ema) E_m        (E_m = 0 at first)
//!   target_m = min(1 + alpha (1 - (E_m - min E) / (max E - min E)), scale_max);   1 for all where all E are equal
//!   s_m <- scale_ema target_m + (1 - scale_ema) s_m
//! ```
//! Even a small gap gives the weakest modality the whole boost. With OGM-GE the boost stands behind it: `[ogm-ge,
//! asgml]`. Batches of one sample measure nothing and change nothing.

mod probe;
mod settings;

use aim_core::{GradOp, Grads, Idle, Report, Result, Seen, State, Stateful};

pub use self::{
    probe::Probe,
    settings::{ABOUT, Asgml},
};
use crate::util::{pick, rows_with};

struct Boost {
    settings: Asgml,
    names: Vec<String>,
    classes: usize,
    /// One a modality, made at the first measurement.
    probes: Vec<Probe>,
    scales: Scales,
}

/// What the measurements have led to.
#[derive(Clone, Debug)]
pub struct Scales {
    /// Moving average of each probe's accuracy.
    pub average: Vec<f64>,
    /// Scales that the last measurement asked for.
    pub target: Vec<f64>,
    /// Factors on the gradients of the encoders.
    pub scale: Vec<f64>,
}

impl Scales {
    /// Before any measurement.
    pub fn new(modalities: usize) -> Self {
        Self { average: vec![0.; modalities], target: vec![1.; modalities], scale: vec![1.; modalities] }
    }

    /// Takes the probes' accuracies into account.
    pub fn learn(&mut self, accuracy: &[f64], settings: &Asgml) {
        let Asgml { alpha, scale_max, accuracy_ema, scale_ema, .. } = *settings;
        for (average, now) in self.average.iter_mut().zip(accuracy) {
            *average = accuracy_ema * now + (1. - accuracy_ema) * *average;
        }
        let low = self.average.iter().copied().fold(f64::INFINITY, f64::min);
        let gap = self.average.iter().copied().fold(f64::NEG_INFINITY, f64::max) - low;
        let target = |average: &f64| (1. + alpha * (1. - (average - low) / gap)).min(scale_max);
        self.target = self.average.iter().map(|a| if gap < 1e-8 { 1. } else { target(a) }).collect();
        for (scale, target) in self.scale.iter_mut().zip(&self.target) {
            *scale = scale_ema * target + (1. - scale_ema) * *scale;
        }
    }
}

impl Idle for Boost {}

impl GradOp for Boost {
    fn apply(&mut self, grads: &mut Grads, seen: &Seen<'_>, report: &mut Report) -> Result<()> {
        let scale = self.scales.scale.clone();
        grads.map(seen.net.params(), |_, role, grad| match role.encoder() {
            Some(m) if scale[m] != 1. => Ok(Some((grad * scale[m])?)),
            _ => Ok(None),
        })?;
        for (name, scale) in self.names.iter().zip(&scale) {
            report.scalar(format!("scale.{name}"), *scale)?;
        }
        if (seen.clock.batch + 1).is_multiple_of(self.settings.every) {
            self.measure(seen, report)?;
        }
        Ok(())
    }
}

impl Boost {
    /// Trains the probes on one half of the batch and measures them on the other.
    fn measure(&mut self, seen: &Seen<'_>, report: &mut Report) -> Result<()> {
        let mut measured = Vec::with_capacity(self.names.len());
        for (m, feature) in seen.out.features.iter().enumerate() {
            if self.probes.len() == m {
                let rng = &mut seen.draws.rng(&format!("asgml.probe.{}", self.names[m]));
                self.probes.push(Probe::new(feature.dim(1)?, self.classes, rng, feature.device())?);
            }
            let rows = rows_with(&[m], seen.batch)?;
            let (feature, labels) = (pick(&feature.detach(), rows.as_ref())?, pick(&seen.batch.labels, rows.as_ref())?);
            measured.push(self.probes[m].measure(&feature, &labels, &self.settings)?);
        }
        if measured.iter().all(Option::is_none) {
            return Ok(());
        }
        let known = measured.iter().zip(&self.scales.average);
        let accuracy: Vec<f64> = known.map(|(now, average)| now.map_or(*average, |now| now.accuracy)).collect();
        self.scales.learn(&accuracy, &self.settings);
        for (m, name) in self.names.iter().enumerate() {
            report.scalar(format!("accuracy.{name}"), accuracy[m])?;
            report.scalar(format!("average.{name}"), self.scales.average[m])?;
            report.scalar(format!("target.{name}"), self.scales.target[m])?;
        }
        Ok(())
    }
}

impl Stateful for Boost {
    fn state(&self) -> Result<State> {
        let mut state = State::default();
        state.put("average", &self.scales.average)?;
        state.put("target", &self.scales.target)?;
        for (name, scale) in self.names.iter().zip(&self.scales.scale) {
            state.put(format!("scale.{name}"), &[*scale])?;
        }
        for (name, probe) in self.names.iter().zip(&self.probes) {
            state.nest(&format!("probe.{name}"), probe.state()?);
        }
        Ok(state)
    }
    fn load(&mut self, state: &State) -> Result<()> {
        let scale = self.names.iter().map(|name| state.number(&format!("scale.{name}"))).collect::<Result<_>>()?;
        self.scales = Scales { average: state.numbers("average")?, target: state.numbers("target")?, scale };
        let probes = self.names.iter().map(|name| state.part(&format!("probe.{name}"))).filter(|p| !p.0.is_empty());
        self.probes = probes.map(|part| Probe::of(&part)).collect::<Result<_>>()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weakest_grows_by_the_whole_boost_and_the_strongest_not_at_all() {
        let settings = Asgml { accuracy_ema: 1., scale_ema: 1., ..Asgml::default() };
        let mut scales = Scales::new(3);
        scales.learn(&[0.5, 0.3, 0.4], &settings);
        assert!(scales.scale.iter().zip([1., 1.5, 1.25]).all(|(a, b)| (a - b).abs() < 1e-12), "{scales:?}");
        scales.learn(&[0.4; 3], &settings);
        assert_eq!(scales.scale, [1.; 3]);
    }
}
