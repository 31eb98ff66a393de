//! Cards, which make settings known by a name, and what a section becomes.

use std::{fmt, ops::Deref, sync::Arc};

use aim_core::{Result, Rng};
use serde::{Serialize, Serializer};
use serde_json::Value;

use crate::{
    Kind, Named, Registry, Setting, Settings, parse,
    registry::section,
    setting::{rows, to_value},
};

/// Settings of any type: what traits for kinds of entries build on.
pub trait AnySettings: fmt::Debug + Send + Sync + 'static {
    /// All values, as a configuration's section without the name.
    fn values(&self) -> Value;
    /// The declarations.
    fn declared(&self) -> &'static [Setting];
    /// Checks every value against its declaration.
    ///
    /// # Errors
    /// If a value is out of range or missing; the place is `<place>.<key>`.
    fn check_values(&self, place: &str) -> Result<()>;
}

impl<S: Settings> AnySettings for S {
    fn values(&self) -> Value {
        to_value(self)
    }
    fn declared(&self) -> &'static [Setting] {
        S::SETTINGS
    }
    fn check_values(&self, place: &str) -> Result<()> {
        self.check(place)
    }
}

/// Reads the settings of a section.
type Read<D> = fn(&Value, &str) -> Result<Arc<D>>;

/// An entry of a registry: its name, and how its settings are read. `D` is the trait that settings of this kind have.
pub struct Card<D: ?Sized> {
    name: &'static str,
    defaults: Arc<D>,
    read: Read<D>,
}

impl<D: ?Sized> Card<D> {
    /// The card of an entry whose settings with their defaults are `defaults`, read by `read`: for the functions that
    /// make cards of one kind, with [`Card::read_as`].
    pub fn new(name: &'static str, defaults: Arc<D>, read: Read<D>) -> Self {
        Self { name, defaults, read }
    }

    /// Typed settings that were checked against their declarations.
    ///
    /// # Errors
    /// If a key is unknown, or a value has the wrong type or is out of range.
    pub fn read_as<S: Settings>(section: &Value, place: &str) -> Result<S> {
        let settings: S = parse(section, place)?;
        settings.check(place)?;
        Ok(settings)
    }

    /// The settings with their defaults.
    pub fn defaults(&self) -> &D {
        &self.defaults
    }

    /// The entry with its defaults, of which those of required settings are none to use.
    pub fn default_spec(&self) -> Spec<D> {
        Spec::of(self.name, Arc::clone(&self.defaults))
    }

    /// The entry's name.
    pub fn name(&self) -> &'static str {
        self.name
    }
}

impl<D: ?Sized> Clone for Card<D> {
    fn clone(&self) -> Self {
        Self { name: self.name, defaults: Arc::clone(&self.defaults), read: self.read }
    }
}

impl<D: ?Sized> fmt::Debug for Card<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Card").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<D: ?Sized> Named for Card<D> {
    fn name(&self) -> &str {
        self.name
    }
}

impl<D: AnySettings + ?Sized> Card<D> {
    /// The declarations of its settings.
    pub fn settings(&self) -> &'static [Setting] {
        self.defaults.declared()
    }

    /// An entry with settings.
    ///
    /// # Errors
    /// If a key is unknown, or a value has the wrong type or is out of range; `place` names the section.
    pub fn spec(&self, settings: &Value, place: &str) -> Result<Spec<D>> {
        Ok(Spec { name: self.name, settings: (self.read)(settings, place)? })
    }

    /// The setting that decides most, which searches draw: the one that is marked so, or else the first number that
    /// can be drawn; none if there is none.
    pub fn main(&self) -> Option<&'static Setting> {
        let defaults = self.defaults.values();
        let number = |s: &&Setting| {
            matches!(s.kind, Kind::Number | Kind::Whole)
                && s.draw(&defaults[s.name], &mut Rng::keyed(0, s.name)).is_some()
        };
        let marked = self.settings().iter().find(|s| s.rule.main);
        marked.or_else(|| self.settings().iter().find(number))
    }

    /// Each setting with its default in words.
    pub fn rows(&self) -> Vec<(&'static Setting, String)> {
        rows(self.settings(), &self.defaults.values())
    }
}

impl<D: AnySettings + ?Sized> Registry<Card<D>> {
    /// Understands a section that names one entry.
    ///
    /// # Errors
    /// If it names nothing or something unknown, or its settings are wrong; `place` names the section.
    pub fn read(&self, value: &Value, place: &str) -> Result<Spec<D>> {
        let section = section(value, place, self.kind())?;
        let card = self.get(&section.name, &format!("{place}.name"))?;
        card.spec(&Value::Object(section.settings), place)
    }
}

/// A registered entry with its settings: what a section of a configuration becomes.
pub struct Spec<D: ?Sized> {
    name: &'static str,
    settings: Arc<D>,
}

impl<D: ?Sized> Spec<D> {
    /// An entry with settings that were made in Rust.
    pub fn of(name: &'static str, settings: Arc<D>) -> Self {
        Self { name, settings }
    }

    /// The entry's name.
    pub fn name(&self) -> &'static str {
        self.name
    }
}

impl<D: AnySettings + ?Sized> Spec<D> {
    /// The section that gives this entry with these settings, all of them written.
    pub fn section(&self) -> Value {
        let mut section = self.settings.values();
        if let Value::Object(map) = &mut section {
            map.insert("name".into(), self.name.into());
        }
        section
    }
}

impl<D: ?Sized> Deref for Spec<D> {
    type Target = D;
    fn deref(&self) -> &D {
        &self.settings
    }
}

impl<D: ?Sized> Clone for Spec<D> {
    fn clone(&self) -> Self {
        Self { name: self.name, settings: Arc::clone(&self.settings) }
    }
}

impl<D: AnySettings + ?Sized> PartialEq for Spec<D> {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name && self.settings.values() == other.settings.values()
    }
}

impl<D: AnySettings + ?Sized> fmt::Debug for Spec<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple(self.name).field(&&*self.settings).finish()
    }
}

impl<D: AnySettings + ?Sized> Serialize for Spec<D> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        self.section().serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{above, between, by_type, settings};

    settings! {
        /// Settings whose first number can be drawn.
        struct First {
            /// Flag.
            flag: bool = true => by_type(), "ours";
            /// Number that nothing can be drawn around.
            bound: Option<f64> = None => above(0.), "ours";
            /// Weight.
            weight: f64 = 0.5 => between(0., 100.), "ours";
            /// Another.
            other: f64 = 0.5 => between(0., 100.), "ours";
        }
    }

    settings! {
        /// Settings with a mark.
        struct Marked {
            /// Weight.
            weight: f64 = 0.5 => between(0., 100.), "ours";
            /// Radius.
            radius: f64 = 0.5 => between(0., 100.).main(), "ours";
        }
    }

    settings! {
        /// Nothing to draw.
        struct Neither {
            /// Flag.
            flag: bool = true => by_type(), "ours";
        }
    }

    #[test]
    fn the_main_setting_is_marked_or_the_first_number() {
        fn main<S: Settings>() -> Option<&'static str> {
            let read = |_: &Value, _: &str| -> Result<Arc<S>> { Ok(Arc::new(S::default())) };
            Card::new("card", Arc::new(S::default()), read).main().map(|setting| setting.name)
        }
        assert_eq!((main::<First>(), main::<Marked>(), main::<Neither>()), (Some("weight"), Some("radius"), None));
    }
}
