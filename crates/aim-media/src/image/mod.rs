//! Pictures: what they are in memory, how files become them, and their geometry.
//!
//! A picture for training is a random region of a file, resized, perhaps mirrored, and normalised:
//!
//! ```
//! # #[cfg(feature = "decode")]
//! # fn main() -> aim_media::Result<()> {
//! use aim_media::image::{Encoded, MAX_PIXELS, Normalisation, RandomCrop};
//! # let bytes = include_bytes!("../../tests/pictures/oriented.jpg");
//! # let mut uniform = || 0.5;
//! let encoded = Encoded::open(bytes, "oriented.jpg", MAX_PIXELS)?;
//! let region = RandomCrop::default().draw([encoded.width(), encoded.height()], &mut uniform);
//! let mut picture = encoded.decode_region(&region)?.resize(224, 224)?;
//! if uniform() < 0.5 {
//!     picture.flip();
//! }
//! let values = Normalisation::IMAGENET.apply(&picture);
//! assert_eq!(values.len(), 3 * 224 * 224);
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "decode"))]
//! # fn main() {}
//! ```

mod crop;
mod normalise;
mod picture;
mod random;
mod region;
mod resize;
mod sizes;
mod weights;

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
pub use self::normalise::Normalisation;
pub use self::picture::Picture;
pub use self::random::RandomCrop;
pub use self::region::Region;
pub use self::sizes::shorter_side;
