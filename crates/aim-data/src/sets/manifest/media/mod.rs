//! Decoders of recordings and pictures.

mod picture;
mod sound;
