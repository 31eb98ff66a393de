//! Fusion modules with their heads, and the late-fusion network made of encoders and one fusion.
#![deny(missing_docs)]

mod config;
mod deep;
mod gated;
mod heads;
mod mmtm;
mod network;
mod sum_linear;

pub use config::{CARDS, Card, FusionConfig};
pub use deep::{Boosted, Deep};
pub use gated::{Film, Gated};
pub use heads::{Concat, Separate, Shared, Sum};
pub use mmtm::Mmtm;
pub use network::{LateFusion, ModelConfig};
pub use sum_linear::SumLinear;
