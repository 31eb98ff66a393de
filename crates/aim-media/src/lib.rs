//! Recordings, pictures, video and text as numbers, without any tensor library.
#![deny(missing_docs)]

#[cfg(feature = "decode")]
pub mod audio;
#[cfg(feature = "decode")]
mod disguise;
mod error;
pub mod front;
pub mod image;
pub mod text;
#[cfg(feature = "decode")]
pub mod video;

pub use error::{Error, Result};
