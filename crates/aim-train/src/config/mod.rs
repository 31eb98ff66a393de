//! Configurations: one YAML file describes a table of runs, or a single run.
//!
//! Everything is checked before any data is read: unknown keys, values out of range and pairs that cannot work (a
//! method that needs what the fusion cannot give) are errors that name the file, the line and the key.

pub mod builtin;
mod diff;
mod family;
mod file;
mod folds;
mod groups;
mod identity;
mod missing;
mod planned;
mod protocol;
mod recipe;
mod resolved;
mod run;
mod schema;
mod search;
mod single;
mod source;
mod table;
mod train;

pub use diff::{Difference, differences, text};
pub use family::load_tables;
pub use groups::{Group, GroupKind, GroupPart};
pub(crate) use groups::{check_groups, factors, group_of};
pub use identity::Identity;
pub use missing::{Counts, Missing};
pub(crate) use planned::TRIALS;
pub use planned::{Planned, Power};
pub use protocol::Protocol;
pub use recipe::{Fact, Recipe, recipes};
pub use resolved::resolve;
pub use run::RunConfig;
pub(crate) use run::weights_file;
pub use schema::schema;
pub use search::{Interval, Random, Search, Trial};
pub use source::Source;
pub use table::{Row, Scale, TableConfig};
pub use train::{ClassWeights, DropLast, Sampler, Select, TrainConfig};
