//! Learning-rate schedules: a factor on the base rate for each epoch.

use aim_core::{Error, Optim, Result, State, Stateful};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A schedule as a config names it. Epochs count from 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "name", rename_all = "kebab-case", deny_unknown_fields)]
pub enum ScheduleConfig {
    /// The base rate throughout.
    #[default]
    Constant,
    /// Times `gamma` every `every` epochs.
    Step {
        /// Epochs between drops.
        every: usize,
        /// Factor of a drop.
        #[serde(default = "tenth")]
        gamma: f64,
    },
    /// Times `gamma` at each of the given epochs.
    MultiStep {
        /// Epochs at which the rate drops.
        milestones: Vec<usize>,
        /// Factor of a drop.
        #[serde(default = "tenth")]
        gamma: f64,
    },
    /// Half a cosine from the base rate down to `min` times it (Loshchilov & Hutter 2017).
    Cosine {
        /// Final factor.
        #[serde(default)]
        min: f64,
        /// Epochs of linear warm-up before the cosine begins.
        #[serde(default)]
        warmup: usize,
    },
    /// Linear growth over the first `warmup` epochs, then the base rate.
    LinearWarmup {
        /// Epochs until the base rate is reached.
        warmup: usize,
    },
    /// Times `factor` when validation accuracy has not grown for more than `patience` epochs.
    Plateau {
        /// Factor of a drop.
        #[serde(default = "tenth")]
        factor: f64,
        /// Epochs without growth that are tolerated.
        #[serde(default = "patience")]
        patience: usize,
        /// Growth below this does not count.
        #[serde(default = "threshold")]
        threshold: f64,
    },
}

fn tenth() -> f64 {
    0.1
}
fn patience() -> usize {
    5
}
fn threshold() -> f64 {
    1e-4
}

/// Names and meanings of all schedules.
pub static SCHEDULES: &[(&str, &str)] = &[
    ("constant", "the base rate throughout"),
    ("step", "times gamma (0.1) every `every` epochs"),
    ("multi-step", "times gamma (0.1) at each of `milestones`"),
    ("cosine", "half a cosine down to min (0) times the base rate, after `warmup` (0) epochs of linear growth"),
    ("linear-warmup", "linear growth over `warmup` epochs, then the base rate"),
    ("plateau", "times factor (0.1) after `patience` (5) epochs without growth of validation accuracy"),
];

impl ScheduleConfig {
    /// Checks the values; `place` names the section in messages.
    ///
    /// # Errors
    /// If a factor or count makes no sense.
    pub fn check(&self, place: &str) -> Result<()> {
        let problem = match self {
            Self::Step { every: 0, .. } => "every must be at least 1",
            Self::Step { gamma, .. } | Self::MultiStep { gamma, .. } if !(*gamma > 0. && *gamma <= 1.) => {
                "gamma must lie in (0, 1]"
            }
            Self::Cosine { min, .. } if !(0. ..=1.).contains(min) => "min must lie in [0, 1]",
            Self::Plateau { factor, .. } if !(*factor > 0. && *factor < 1.) => "factor must lie in (0, 1)",
            _ => return Ok(()),
        };
        Err(Error::invalid(place, problem, "mend the schedule"))
    }
}

/// A schedule in use: sets the optimizer's rate before each epoch.
pub struct Scheduler {
    config: ScheduleConfig,
    base: f64,
    epochs: usize,
    /// Of the plateau schedule: factor so far, best validation accuracy, epochs since.
    plateau: (f64, f64, usize),
}

impl Scheduler {
    /// A schedule over `epochs` epochs around the rate `base`.
    pub fn new(config: &ScheduleConfig, base: f64, epochs: usize) -> Self {
        Self { config: config.clone(), base, epochs, plateau: (1., f64::NEG_INFINITY, 0) }
    }

    /// The factor of an epoch.
    pub fn factor(&self, epoch: usize) -> f64 {
        let grow = |warmup: usize| (epoch + 1) as f64 / warmup as f64;
        match &self.config {
            ScheduleConfig::Constant => 1.,
            ScheduleConfig::Step { every, gamma } => gamma.powi((epoch / every) as i32),
            ScheduleConfig::MultiStep { milestones, gamma } => {
                gamma.powi(milestones.iter().filter(|m| **m <= epoch).count() as i32)
            }
            ScheduleConfig::Cosine { warmup, .. } if epoch < *warmup => grow(*warmup),
            ScheduleConfig::Cosine { min, warmup } => {
                let span = self.epochs.saturating_sub(*warmup).max(1) as f64;
                let t = ((epoch - warmup) as f64 / span).min(1.);
                min + (1. - min) * 0.5 * (1. + (std::f64::consts::PI * t).cos())
            }
            ScheduleConfig::LinearWarmup { warmup } if epoch < *warmup => grow(*warmup),
            ScheduleConfig::LinearWarmup { .. } => 1.,
            ScheduleConfig::Plateau { .. } => self.plateau.0,
        }
    }

    /// Sets the rate for an epoch.
    pub fn before_epoch(&self, epoch: usize, opt: &mut dyn Optim) {
        opt.set_lr(self.base * self.factor(epoch));
    }

    /// Tells the plateau schedule how the epoch went; the others do not listen.
    pub fn after_epoch(&mut self, validation_accuracy: f64) {
        let ScheduleConfig::Plateau { factor, patience, threshold } = &self.config else { return };
        let (scale, best, since) = &mut self.plateau;
        if validation_accuracy > *best + threshold {
            (*best, *since) = (validation_accuracy, 0);
            return;
        }
        *since += 1;
        if *since > *patience {
            (*scale, *since) = (*scale * factor, 0);
        }
    }
}

impl Stateful for Scheduler {
    fn state(&self) -> Result<State> {
        let (scale, best, since) = self.plateau;
        let mut state = State::default();
        state.put("plateau", &[scale, best, since as f64])?;
        Ok(state)
    }

    fn load(&mut self, state: &State) -> Result<()> {
        let [scale, best, since] = state.numbers("plateau")?[..] else {
            return Err(Error::shape("state `plateau`", &[], "[3]"));
        };
        self.plateau = (scale, best, since as usize);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factors(config: ScheduleConfig, epochs: usize) -> Vec<f64> {
        let s = Scheduler::new(&config, 1., epochs);
        (0..epochs).map(|e| s.factor(e)).collect()
    }

    #[test]
    fn factors_by_hand() {
        assert_eq!(factors(ScheduleConfig::Step { every: 2, gamma: 0.5 }, 5), [1., 1., 0.5, 0.5, 0.25]);
        assert_eq!(factors(ScheduleConfig::MultiStep { milestones: vec![1, 3], gamma: 0.5 }, 4), [1., 0.5, 0.5, 0.25]);
        assert_eq!(factors(ScheduleConfig::LinearWarmup { warmup: 4 }, 5), [0.25, 0.5, 0.75, 1., 1.]);
        let cosine = factors(ScheduleConfig::Cosine { min: 0., warmup: 0 }, 4);
        for (got, want) in cosine.iter().zip([1., 0.853_553, 0.5, 0.146_447]) {
            assert!((got - want).abs() < 1e-6, "{cosine:?}");
        }
    }

    #[test]
    fn plateau_drops_after_patience() {
        let mut s = Scheduler::new(&ScheduleConfig::Plateau { factor: 0.5, patience: 1, threshold: 0. }, 1., 9);
        let seen: Vec<f64> = [0.5, 0.6, 0.6, 0.6, 0.7]
            .into_iter()
            .map(|v| {
                s.after_epoch(v);
                s.factor(0)
            })
            .collect();
        assert_eq!(seen, [1., 1., 1., 0.5, 0.5]);
    }
}
