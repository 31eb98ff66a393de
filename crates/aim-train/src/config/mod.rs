//! Configurations: one YAML file describes a table of runs, or a single run.
//!
//! Everything is checked before any data is read: unknown keys, values out of range and pairs that cannot work (a method
//! that needs what the fusion cannot give) are errors that name the file, the line and the key.

mod family;
mod run;
mod search;
mod source;
mod table;

pub use family::load_tables;
pub use run::{RunConfig, Select, TrainConfig};
pub use search::{Interval, Random, Search, Trial};
pub use source::Source;
pub use table::{Row, Scale, TableConfig};
