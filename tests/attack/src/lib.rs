//! An attack on every reader of files that this workspace has: valid files are changed in all the ways that files
//! break, and whatever comes of them must be content or one error with a place and a remedy, within seconds and a
//! bounded memory.
//!
//! A [`Target`] takes the bytes of a file through the public reader of its format. The same targets serve a loop over
//! mutations on stable Rust ([`attack`]), in which every input has a number by which it can be made again, and the
//! coverage-guided fuzzer in `fuzz/`.
#![deny(missing_docs)]

mod attack;
mod inputs;
mod memory;
mod place;
mod targets;

pub use attack::{Fault, Figures, Plan, attack};
pub use inputs::{dictionary, input};
pub use memory::{Counting, LIMIT};
pub use targets::{Target, find, targets};
