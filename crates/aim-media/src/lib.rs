//! Recordings, pictures, video and text as numbers, without any tensor library.
//!
//! Front ends for sound, the geometry of pictures and vocabularies need nothing else, nor do WAV files. The feature
//! `decode` adds decoders for other recordings, pictures and video (the latter by the program `ffmpeg`), and
//! tokenizers.
//!
//! ```
//! use aim_media::front::{Pad, log_spectrogram};
//! use aim_media::image::{Normalisation, Picture};
//!
//! let tone: Vec<f32> = (0..8000).map(|i| (0.3 * i as f32).sin()).collect();
//! assert_eq!(log_spectrogram(&tone, 512, 160, Pad::Constant)?.shape, [257, 51]);
//! let picture = Picture::new(4, 2, vec![128; 24])?.resize_shorter(8)?.crop_centre(8, 8)?;
//! assert_eq!(Normalisation::IMAGENET.apply(&picture).len(), 3 * 8 * 8);
//! # Ok::<(), aim_media::Error>(())
//! ```
#![deny(missing_docs)]

pub mod audio;
mod disguise;
mod error;
pub mod front;
pub mod image;
pub mod text;
#[cfg(feature = "decode")]
pub mod video;

pub use error::{Error, Result};
