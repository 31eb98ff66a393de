//! Measurements: whole training steps of fixed networks, and single operations against what the processor can do.
#![deny(missing_docs)]

mod machine;
mod ops;
mod prepared;
mod preset;
mod timing;
mod training;

pub use machine::{Limits, peak_rss_mb};
pub use ops::{Case, Work, cases};
pub use prepared::OnData;
pub use preset::{PRESETS, Preset};
pub use timing::Timing;
pub use training::Training;
