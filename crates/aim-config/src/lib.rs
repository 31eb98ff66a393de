//! Settings that are declared once, and open registries of what a configuration can name.
//!
//! * [`settings!`] declares the settings of a method, an encoder, a fusion, an optimizer or a data set: from one line
//!   for each setting come the field, its default, its check, its row on the card, its schema and the range that a
//!   search draws from.
//! * A [`Card`] makes such settings known by a name; a [`Registry`] holds cards and anyone can add their own.
//! * A section of a configuration becomes a [`Spec`]: the name of an entry with its typed settings, defaults filled in.
//!
//! Sections are [`Value`]s (JSON's data model), whatever they were written in; with the feature `yaml`, [`yaml`] reads
//! them from YAML.
//!
//! ```
//! use aim_config::{Registry, Settings, at_least, between, settings};
//!
//! settings! {
//!     /// Settings of a smoothing.
//!     pub struct Smoothing {
//!         /// Share of the old value.
//!         pub decay: f64 = 0.9 => between(0., 1.), "ours";
//!         /// Steps between updates.
//!         pub every: usize = 1 => at_least(1).unit("steps"), "ours";
//!     }
//! }
//!
//! assert!(Smoothing { decay: 2., ..Smoothing::default() }.check("smoothing").is_err());
//! ```
#![deny(missing_docs)]

// The macros name this crate as others do.
#[cfg(test)]
extern crate self as aim_config;

mod card;
mod draw;
mod field;
mod macros;
mod registry;
mod rule;
mod schema;
mod setting;
mod words;
#[cfg(feature = "yaml")]
pub mod yaml;

pub use card::{AnySettings, Card, Spec};
pub use draw::{draw_number, rounded};
pub use field::{Below, Field, Kind};
pub use registry::{Named, Registry, Section, section};
pub use rule::{Rule, Values, above, above_to, at_least, below, between, by_type, free, one_of, whole, words};
pub use schema::{described, entry_schema, setting_schema};
pub use serde_json::Value;
pub use setting::{Setting, Settings, parse};
pub use words::plain_words;

#[doc(hidden)]
pub use aim_core as __core;
#[doc(hidden)]
pub use serde;
#[doc(hidden)]
pub use setting::missing as __missing;
