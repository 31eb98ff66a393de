//! Statistics of experiments: summaries, intervals, paired tests, corrections, classification scores, Shapley shares
//! and the tables they are printed in. Plain numbers in, plain numbers out: no tensors and no files.
//!
//! Every input is checked and every refusal is an [`Error`]; nothing panics. Whatever draws at random takes its
//! generator as an argument, so that a table is reproduced by the seed it was made with.
//!
//! ```
//! use aim_stats::{adjust, paired, summary::Summary};
//!
//! let joint = [0.70, 0.72, 0.69, 0.71, 0.70];
//! let aim = [0.74, 0.75, 0.71, 0.76, 0.73];
//! let summary = Summary::of(&aim)?;
//! assert_eq!(summary.n, 5);
//! let tests = [paired::t_test(&aim, &joint)?.p, paired::wilcoxon(&aim, &joint)?.p];
//! assert!(adjust::holm(&tests)?[0] < 0.05);
//! # Ok::<(), aim_stats::Error>(())
//! ```

pub mod adjust;
pub mod aggregate;
pub mod calibration;
mod check;
pub mod classification;
mod distribution;
mod error;
pub mod interval;
pub mod paired;
pub mod power;
pub mod shapley;
pub mod summary;
pub mod table;

pub use error::{Error, Result};
