//! Pictures: what they are in memory, how files become them, and their geometry.

mod crop;
mod picture;
mod region;

#[cfg(feature = "decode")]
mod encoded;
#[cfg(feature = "decode")]
mod exif;
#[cfg(feature = "decode")]
mod fault;
#[cfg(feature = "decode")]
mod jpeg;
#[cfg(feature = "decode")]
mod kind;
#[cfg(feature = "decode")]
mod png;

#[cfg(feature = "decode")]
pub use self::encoded::{Encoded, MAX_PIXELS, decode, read};
pub use self::picture::Picture;
pub use self::region::Region;
