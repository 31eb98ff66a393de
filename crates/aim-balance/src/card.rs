//! Method cards: settings that are known by a name.

use std::sync::Arc;

use aim_config::{AnySettings, Card, Registry, Settings};
use aim_core::{Capability, Error, NetSpec, Preparation, Result};

use crate::{Inner, MethodInfo, stack::Built};

/// Settings of a method, and how it is made.
pub trait MethodSettings: AnySettings {
    /// The method's description.
    fn info(&self) -> &'static MethodInfo;

    /// Makes the method, or the part of one that it is, for a network.
    ///
    /// # Errors
    /// If it cannot work on that network.
    fn build(&self, net: &NetSpec) -> Result<Built>;

    /// Checks what single declarations cannot say: settings that depend on each other.
    ///
    /// # Errors
    /// If they do not go together; the place is `method.<key>`.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Networks that must be trained before its run; `modalities` are the run's.
    fn prepares(&self, _modalities: &[String]) -> Vec<Preparation> {
        Vec::new()
    }

    /// The modality that it trains alone, if it is a method of one.
    fn only(&self) -> Option<&str> {
        None
    }

    /// Whether it does as released code does where that is a fault.
    fn compat(&self) -> bool {
        false
    }

    /// The method that it wraps.
    fn inner(&self) -> Option<&Inner> {
        None
    }

    /// The same around another method; `None` unless it wraps one.
    fn around(&self, _inner: Inner) -> Option<Arc<dyn MethodSettings>> {
        None
    }
}

/// The card of a method.
pub type MethodCard = Card<dyn MethodSettings>;

/// Methods by name.
pub type Methods = Registry<MethodCard>;

/// The card of the method that `S` configures, for a registry.
pub fn card<S: Settings + MethodSettings>() -> MethodCard {
    let defaults = S::default();
    let read: fn(&aim_config::Value, &str) -> Result<Arc<dyn MethodSettings>> = |section, place| {
        let settings: S = MethodCard::read_as(section, place)?;
        MethodSettings::check(&settings)?;
        Ok(Arc::new(settings))
    };
    MethodCard::new(defaults.info().name, Arc::new(defaults), read)
}

/// Indices of modalities that a setting names; all of them, in the network's order, if it names none.
pub(crate) fn order(key: &str, names: Option<&[String]>, net: &NetSpec) -> Result<Vec<usize>> {
    let Some(names) = names.filter(|names| !names.is_empty()) else { return Ok((0..net.modalities.len()).collect()) };
    let index = |name: &String| {
        let problem = || format!("there is no modality `{name}`, only {}", net.modalities.join(", "));
        let unknown = || Error::invalid(format!("method.{key}"), problem(), "name the network's modalities");
        net.modalities.iter().position(|n| n == name).ok_or_else(unknown)
    };
    names.iter().map(index).collect()
}

/// Checks that a network has what one setting of a method needs; `setting` names it as in a configuration.
pub(crate) fn only_with(setting: &str, capability: Capability, net: &NetSpec) -> Result<()> {
    if net.capabilities.has(capability) {
        return Ok(());
    }
    let problem = format!("needs {}, which the network lacks", capability.meaning());
    Err(Error::invalid(format!("method.{setting}"), problem, format!("{}, or use another value", capability.setting())))
}

/// Checks that an epoch does not come before another; `key` is the later one's.
pub(crate) fn in_order(key: &str, starts: usize, ends: usize) -> Result<()> {
    if starts <= ends {
        return Ok(());
    }
    let problem = format!("is {ends}, before the first epoch, {starts}");
    Err(Error::invalid(format!("method.{key}"), problem, format!("use a whole number, {starts} or more")))
}

/// Checks that a setting's names of modalities are the network's.
pub(crate) fn known<'a>(key: &str, names: impl Iterator<Item = &'a String>, net: &NetSpec) -> Result<()> {
    let names: Vec<String> = names.cloned().collect();
    order(key, Some(&names), net).map(drop)
}
