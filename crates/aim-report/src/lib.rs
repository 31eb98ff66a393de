//! Reports of runs: the tables of an experiment, summaries of families of tables, records for other programs, and
//! pages.
//!
//! Pages are made of a registry of [`Sections`]; a section of your own is a value with a function from the rows of a
//! table to HTML:
//!
//! ```
//! use aim_report::{Section, page};
//!
//! let mut sections = page::builtin();
//! let before = sections.names();
//! let count = Section {
//!     name: "count",
//!     title: "Number of rows",
//!     over_seeds: false,
//!     about: "Rows of this table.",
//!     content: |rows| format!("<p>{}</p>", rows.len()),
//! };
//! sections.add(count)?;
//! assert_eq!(sections.names(), before + ", count");
//! # Ok::<(), aim_core::Error>(())
//! ```
#![deny(missing_docs)]

mod across;
mod best;
mod classes;
mod compare;
mod compat;
pub mod export;
mod lacking;
mod notes;
pub mod page;
mod planned;
pub mod power;
mod protocols;
mod recipes;
mod remarks;
mod report;
mod runs;
mod searches;
mod sets;
mod summary;
mod tables;
mod verdict;

pub use across::{across, agreed};
pub use best::best;
pub use classes::classes;
pub use compare::compare;
pub use compat::title;
pub use lacking::lacking;
pub use page::{Section, Sections, View};
pub use planned::planned;
pub use protocols::protocols;
pub use report::{Written, write, write_across, write_compared, write_family, write_run};
pub use summary::summary;
pub use tables::{combined, comparison, diagnosis, sign_flips};
pub use verdict::verdict;
