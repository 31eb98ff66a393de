//! The types that settings have.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use aim_core::{Error, Result};
use serde_json::Value;

use crate::{
    Rule, Setting, Settings, Values,
    setting::{rows, to_value},
};

/// What a type looks like in a configuration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A number.
    Number,
    /// A whole number.
    Whole,
    /// True or false.
    Flag,
    /// A text.
    Text,
    /// One of some words.
    Choice,
    /// A list.
    List(&'static Kind),
    /// Values by name.
    Map(&'static Kind),
    /// A section with settings of its own.
    Section(&'static Below),
    /// A method.
    Method,
}

/// The settings of a section below a setting.
#[derive(Clone, Copy)]
pub struct Below {
    /// Their declarations.
    pub settings: &'static [Setting],
    defaults: fn() -> Value,
}

impl Below {
    /// Each setting with its default in words.
    pub fn rows(&self) -> Vec<(&'static Setting, String)> {
        rows(self.settings, &(self.defaults)())
    }
}

impl PartialEq for Below {
    fn eq(&self, other: &Self) -> bool {
        self.settings == other.settings
    }
}

impl fmt::Debug for Below {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.settings.fmt(f)
    }
}

/// A type that a setting can have.
pub trait Field {
    /// What it looks like in a configuration.
    const KIND: Kind;
    /// The words of a choice.
    const WORDS: &'static [&'static str] = &[];
    /// Whether nothing stands for the value if it is left out.
    const OPTIONAL: bool = false;
    /// Checks the value; `place` names it in the message.
    ///
    /// # Errors
    /// If it is not one of the rule's values.
    fn check(&self, rule: &Rule, place: &str) -> Result<()>;
    /// Whether this is the empty value that stands for a missing one.
    fn is_missing(&self) -> bool {
        false
    }
}

macro_rules! numbers {
    ($($type:ty: $kind:ident),+) => { $(
        impl Field for $type {
            const KIND: Kind = Kind::$kind;
            fn check(&self, rule: &Rule, place: &str) -> Result<()> {
                rule.check_number(*self as f64, place)
            }
            fn is_missing(&self) -> bool {
                *self == <$type>::default()
            }
        }
    )+ };
}
numbers!(f64: Number, usize: Whole, u64: Whole, u32: Whole, u8: Whole);

impl Field for bool {
    const KIND: Kind = Kind::Flag;
    const WORDS: &'static [&'static str] = &["true", "false"];
    fn check(&self, rule: &Rule, place: &str) -> Result<()> {
        match rule.values {
            Values::OneOf(words) if !words.contains(&self.to_string().as_str()) => {
                Err(Error::invalid(place, format!("is {self}"), format!("use {}", words.join(" or "))))
            }
            _ => Ok(()),
        }
    }
}

impl Field for String {
    const KIND: Kind = Kind::Text;
    fn check(&self, _: &Rule, _: &str) -> Result<()> {
        Ok(())
    }
    fn is_missing(&self) -> bool {
        self.is_empty()
    }
}

impl Field for PathBuf {
    const KIND: Kind = Kind::Text;
    fn check(&self, _: &Rule, _: &str) -> Result<()> {
        Ok(())
    }
    fn is_missing(&self) -> bool {
        self.as_os_str().is_empty()
    }
}

impl<T: Field> Field for Option<T> {
    const KIND: Kind = T::KIND;
    const WORDS: &'static [&'static str] = T::WORDS;
    const OPTIONAL: bool = true;
    fn check(&self, rule: &Rule, place: &str) -> Result<()> {
        self.as_ref().map_or(Ok(()), |value| value.check(rule, place))
    }
}

impl<T: Field> Field for Vec<T> {
    const KIND: Kind = Kind::List(&T::KIND);
    fn check(&self, rule: &Rule, place: &str) -> Result<()> {
        self.iter().enumerate().try_for_each(|(i, value)| value.check(rule, &format!("{place}[{i}]")))
    }
    fn is_missing(&self) -> bool {
        self.is_empty()
    }
}

impl<T: Field + PartialEq + Default, const N: usize> Field for [T; N] {
    const KIND: Kind = Kind::List(&T::KIND);
    fn check(&self, rule: &Rule, place: &str) -> Result<()> {
        self.iter().enumerate().try_for_each(|(i, value)| value.check(rule, &format!("{place}[{i}]")))
    }
    fn is_missing(&self) -> bool {
        self.iter().all(|value| *value == T::default())
    }
}

impl<T: Field> Field for (T, T) {
    const KIND: Kind = Kind::List(&T::KIND);
    fn check(&self, rule: &Rule, place: &str) -> Result<()> {
        self.0.check(rule, &format!("{place}[0]"))?;
        self.1.check(rule, &format!("{place}[1]"))
    }
}

impl<T: Field> Field for BTreeMap<String, T> {
    const KIND: Kind = Kind::Map(&T::KIND);
    fn check(&self, rule: &Rule, place: &str) -> Result<()> {
        self.iter().try_for_each(|(name, value)| value.check(rule, &format!("{place}.{name}")))
    }
}

/// A section below a setting.
impl<S: Settings> Field for S {
    const KIND: Kind = Kind::Section(&Below { settings: S::SETTINGS, defaults: || to_value(&S::default()) });
    fn check(&self, _: &Rule, place: &str) -> Result<()> {
        Settings::check(self, place)
    }
}
