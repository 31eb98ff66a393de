//! Causal transformers of the Qwen2 and Llama families, over the layers of candle-transformers.

mod cache;
mod config;
mod decoder;
mod files;
mod layer;
mod prefix;
mod rope;

pub use cache::Cache;
pub use config::{Config, Family};
pub use decoder::Decoder;
pub(crate) use files::{end_tokens, json, weights};
pub(crate) use prefix::{Prefix, common};
