//! Datasets, loaders, audio front ends and a generated set.
//!
//! A set is described by its settings (a YAML mapping with `name:`), read by [`load`] and listed by its [`Card`]. What
//! comes out is a [`Dataset`]: three splits in memory, one tensor a modality, always f32 and finite. [`Loader`] turns a
//! split into batches in an order that depends on (seed, epoch) alone.
//!
//! Real data never lies in this project: its folder comes from `--data-root` or `AIM_DATA`, see [`root`].
#![deny(missing_docs)]

mod card;
mod dataset;
mod files;
pub mod front;
mod hub;
mod loader;
mod pca;
mod read;
mod sets;
mod settings;
mod table;

pub use card::{CARDS, Card, SettingCard, card, check_settings, load};
pub use dataset::{Dataset, Subset};
pub use files::root;
pub use loader::Loader;
pub use pca::principal;
