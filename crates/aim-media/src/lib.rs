//! Recordings, pictures, video and text as numbers, without any tensor library.
#![deny(missing_docs)]

mod error;
pub mod front;
pub mod image;

pub use error::{Error, Result};
