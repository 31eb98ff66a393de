//! Everything that a configuration can name, open to entries of anybody's own.

use std::sync::LazyLock;

use aim_backbones::Encoders;
use aim_balance::Methods;
use aim_core::Capability;
use aim_data::Datasets;
use aim_fusion::Fusions;
use aim_optim::{Optimizers, Schedules};

use crate::metrics::{Metrics, builtin};

/// What configurations can name: methods, encoders, fusions, optimizers, schedules and data sets, and the metrics that
/// runs are scored by.
///
/// ```
/// use aim_config::settings;
/// use aim_optim::{ByEpoch, Schedule, ScheduleInfo, ScheduleSettings, schedule_card};
/// use aim_train::Registries;
///
/// settings! {
///     /// Settings of a schedule of our own.
///     pub struct Halving {}
/// }
///
/// impl ScheduleSettings for Halving {
///     fn info(&self) -> &'static ScheduleInfo {
///         &ScheduleInfo { name: "halving", about: "half as much every epoch" }
///     }
///     fn build(&self, _: usize) -> Box<dyn Schedule> {
///         Box::new(ByEpoch(|epoch| 0.5f64.powi(epoch as i32)))
///     }
/// }
///
/// let mut registries = Registries::default();
/// registries.schedules.add(schedule_card::<Halving>())?;
/// assert!(registries.schedules.find("halving").is_some());
/// # Ok::<(), aim_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Registries {
    /// Balancing methods.
    pub methods: Methods,
    /// Encoders.
    pub encoders: Encoders,
    /// Fusions.
    pub fusions: Fusions,
    /// Optimizers.
    pub optimizers: Optimizers,
    /// Schedules of the learning rate.
    pub schedules: Schedules,
    /// Data sets.
    pub datasets: Datasets,
    /// Metrics.
    pub metrics: Metrics,
}

impl Default for Registries {
    /// What this workspace brings.
    fn default() -> Self {
        Self {
            methods: aim_balance::builtin().clone(),
            encoders: aim_backbones::builtin().clone(),
            fusions: aim_fusion::builtin().clone(),
            optimizers: aim_optim::builtin_optimizers().clone(),
            schedules: aim_optim::builtin_schedules().clone(),
            datasets: aim_data::builtin().clone(),
            metrics: builtin(),
        }
    }
}

impl Registries {
    /// What to do in a configuration to have a capability: the setting that gives it, or the fusions and encoders that
    /// do.
    pub fn offers(&self, capability: Capability) -> String {
        if !capability.setting().is_empty() {
            return capability.setting().into();
        }
        let fusions = self.fusions.iter().filter(|card| card.defaults().capabilities().has(capability));
        let encoders = self.encoders.iter().filter(|card| card.defaults().capabilities().has(capability));
        let fusions = one_of(fusions.map(|card| card.name())).map(|names| format!("set model.fusion to {names}"));
        let encoders = one_of(encoders.map(|card| card.name())).map(|names| format!("use the encoder {names}"));
        let ways: Vec<String> = fusions.into_iter().chain(encoders).collect();
        if ways.is_empty() { "register a fusion or an encoder that gives it".into() } else { ways.join(", or ") }
    }
}

/// Names joined as alternatives; nothing if there are none.
fn one_of<'a>(names: impl Iterator<Item = &'a str>) -> Option<String> {
    match names.collect::<Vec<_>>().as_slice() {
        [] => None,
        [one] => Some((*one).into()),
        [most @ .., last] => Some(format!("{} or {last}", most.join(", "))),
    }
}

/// What this workspace brings.
pub fn standard() -> &'static Registries {
    static STANDARD: LazyLock<Registries> = LazyLock::new(Registries::default);
    &STANDARD
}
