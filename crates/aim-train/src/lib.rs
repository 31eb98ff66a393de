//! Training, checkpoints, run folders, metrics, probes and reports.
#![deny(missing_docs)]

pub mod golden;
