//! Configurations, training, checkpoints, run folders, metrics, probes, and every row of a table with every seed.
//!
//! * [`Learner`] is the training loop by itself: no folder, no configuration.
//! * [`config`] understands files, with the names in [`Registries`], and says what makes a run the run it is.
//! * [`run`] trains one configuration with one seed in a folder that survives kills; [`experiment`] makes whole tables.
//! * [`metrics`] scores what was trained.
//!
//! A single run's configuration is understood before any data are read:
//!
//! ```
//! use aim_train::{config::{RunConfig, Source}, standard};
//!
//! let text = "name: mine
//! data: synth-av
//! model: {encoders: {sound: {name: mlp, widths: [8]}, image: {name: mlp, widths: [8]}}, fusion: concat}
//! optimizer: adam
//! method: ogm-ge
//! ";
//! let (config, seed) = RunConfig::single(&Source::parse("mine.yaml".as_ref(), text)?, None, standard())?;
//! assert_eq!((config.method.name().as_str(), seed), ("ogm-ge", 0));
//! let wrong = Source::parse("mine.yaml".as_ref(), &text.replace("ogm-ge", "ogm-gee"))?;
//! let message = RunConfig::single(&wrong, None, standard()).unwrap_err().to_string();
//! assert!(message.starts_with("mine.yaml:5: method.name: unknown method `ogm-gee`"));
//! # Ok::<(), aim_core::Error>(())
//! ```
#![deny(missing_docs)]

pub mod config;
pub mod experiment;
mod learner;
pub mod metrics;
mod registries;
pub mod run;

pub use learner::Learner;
pub use registries::{Registries, standard};
