//! Datasets, loaders, audio front ends and a generated set.
//!
//! A set is described by its settings, read by [`load`] and known to configurations by its card in a registry
//! ([`builtin`]); a set of one's own implements [`DatasetSettings`] and joins a registry by [`card`]. What comes out is
//! a [`Dataset`]: three splits, each a [`Source`] of samples that are always f32 and finite. The sets here lie in
//! memory ([`Subset`]); a source of one's own may read them from a disk when they are asked for. [`Loader`] turns a
//! split into batches in an order that depends on (seed, epoch) alone, and [`Splits`] shows whole splits to methods.
//!
//! ```
//! use aim_data::{Synth, builtin, dataset, load};
//!
//! let spec = dataset(Synth { train: 100, validation: 20, test: 20, ..Synth::default() });
//! let section = serde_json::json!({"name": "synth-av", "train": 100, "validation": 20, "test": 20});
//! assert_eq!(spec, builtin().read(&section, "data")?);
//! assert_eq!(load(&spec, None)?.modalities, ["sound", "image"]);
//! # Ok::<(), aim_core::Error>(())
//! ```
//!
//! Real data never lies in this project: its folder comes from `--data-root` or `AIM_DATA`, see [`root`].
#![deny(missing_docs)]

mod about;
mod card;
mod dataset;
mod demand;
mod files;
mod fitted;
pub mod front;
mod hub;
mod lacking;
mod loader;
mod new;
mod pca;
mod prepare;
mod read;
mod reading;
mod sets;
mod shares;
mod source;
mod splits;
mod subset;
mod table;
mod views;
mod weights;

pub use about::data_card;
pub use card::{DatasetCard, DatasetInfo, DatasetSettings, DatasetSpec, Datasets, card, dataset, load, load_by};
pub use dataset::Dataset;
pub use demand::Demand;
pub use files::root;
pub use fitted::{Fitted, Modality};
pub use lacking::{Lack, Lacking};
pub use loader::{Batches, Loader};
pub use new::{NewForm, NewSamples};
pub use pca::principal;
pub use prepare::{PrepareOptions, Prepared, Preparing, prepare};
pub use reading::Reading;
pub use sets::*;
pub use source::{Showing, Source};
pub use splits::Splits;
pub use subset::Subset;
pub use views::{First, Joined, Projected};
pub use weights::{Checkpoint, WeightsFile};
