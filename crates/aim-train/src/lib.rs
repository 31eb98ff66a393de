//! Configurations, training, checkpoints, run folders, metrics, probes, and every row of a table with every seed.
//!
//! * [`Learner`] is the training loop by itself: no folder, no configuration.
//! * [`config`] understands files, with the names in [`Registries`], and says what makes a run the run it is.
//! * [`run`] trains one configuration with one seed in a folder that survives kills; [`experiment`] makes whole tables.
//! * [`metrics`] scores what was trained.
#![deny(missing_docs)]

pub mod config;
pub mod experiment;
mod learner;
pub mod metrics;
mod registries;
pub mod run;

pub use learner::Learner;
pub use registries::{Registries, standard};
