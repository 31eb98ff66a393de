//! Settings of optimizers, and the registry of those that a configuration can name.

use std::sync::{Arc, LazyLock};

use aim_config::{AnySettings, Card, Registry, Settings, Spec, Value};
use aim_core::{Optim, Result};

use crate::{AdaGrad, Adam, AdamW, Lion, RmsProp, Sgd};

/// Description of an optimizer.
#[derive(Clone, Copy, Debug)]
pub struct OptimizerInfo {
    /// Name in a configuration.
    pub name: &'static str,
    /// Its rule.
    pub about: &'static str,
}

/// Settings of an optimizer, and how it is made.
pub trait OptimizerSettings: AnySettings {
    /// The optimizer's description.
    fn info(&self) -> &'static OptimizerInfo;

    /// Base learning rate.
    fn lr(&self) -> f64;

    /// Makes the optimizer, before its first gradient.
    fn build(&self) -> Box<dyn Optim>;

    /// Checks what single declarations cannot say; `place` names the section in messages.
    ///
    /// # Errors
    /// If settings do not go together.
    fn check(&self, _place: &str) -> Result<()> {
        Ok(())
    }
}

/// The card of an optimizer.
pub type OptimizerCard = Card<dyn OptimizerSettings>;

/// Optimizers by name.
pub type Optimizers = Registry<OptimizerCard>;

/// An optimizer with its settings, as a configuration names it.
pub type OptimizerSpec = Spec<dyn OptimizerSettings>;

/// The card of the optimizer that `S` configures, for a registry.
pub fn optimizer_card<S: Settings + OptimizerSettings>() -> OptimizerCard {
    let read: fn(&Value, &str) -> Result<Arc<dyn OptimizerSettings>> = |section, place| {
        let settings: S = OptimizerCard::read_as(section, place)?;
        OptimizerSettings::check(&settings, place)?;
        Ok(Arc::new(settings))
    };
    let defaults = S::default();
    OptimizerCard::new(defaults.info().name, Arc::new(defaults), read)
}

/// An optimizer with settings that were made in Rust.
pub fn optimizer<S: Settings + OptimizerSettings>(settings: S) -> OptimizerSpec {
    Spec::of(settings.info().name, Arc::new(settings))
}

/// The optimizers of this crate.
pub fn builtin_optimizers() -> &'static Optimizers {
    static OPTIMIZERS: LazyLock<Optimizers> = LazyLock::new(|| {
        let mut all = Optimizers::new("optimizer", "optimizers");
        // Names differ, as a test makes sure.
        for card in [
            optimizer_card::<Sgd>(),
            optimizer_card::<Adam>(),
            optimizer_card::<AdamW>(),
            optimizer_card::<AdaGrad>(),
            optimizer_card::<RmsProp>(),
            optimizer_card::<Lion>(),
        ] {
            drop(all.add(card));
        }
        all
    });
    &OPTIMIZERS
}
