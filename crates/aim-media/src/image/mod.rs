//! Pictures: what they are in memory, how files become them, and their geometry.

mod picture;

pub use picture::Picture;
