//! Training, checkpoints, run folders, metrics, probes, tables and reports.
#![deny(missing_docs)]

pub mod config;
pub mod experiment;
pub mod export;
pub mod golden;
pub mod metrics;
pub mod page;
pub mod run;
