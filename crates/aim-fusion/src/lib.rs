//! Fusion modules with their heads, and the late-fusion network made of encoders and one fusion.
#![deny(missing_docs)]

mod config;
mod deep;
mod gated;
mod heads;
mod memory;
mod mmtm;
mod mods;
mod network;
mod scheduled;
mod sum_linear;
mod symmetric;

pub use config::{CARDS, Card, FusionConfig};
pub use deep::{Boosted, Deep};
pub use gated::{Film, Gated};
pub use heads::{Concat, Separate, Shared, Sum};
pub use memory::Memory;
pub use mmtm::Mmtm;
pub use mods::{Mods, ModsConfig};
pub use network::{LateFusion, ModelConfig};
pub use scheduled::{Scheduled, Weights};
pub use sum_linear::SumLinear;
pub use symmetric::Symmetric;
