//! Files of pictures, decoded as a whole or in part.

use super::exif;
use super::fault::Fault;
use super::jpeg::Jpeg;
use super::kind::{Kind, kind};
use super::picture::Picture;
use super::png::Png;
use super::region::Region;
use crate::{Error, Result, disguise};
use std::path::Path;

/// Largest number of pixels where no other limit is set: 100 million.
pub const MAX_PIXELS: usize = 100_000_000;

/// Largest size of a file in bytes.
const MAX_BYTES: u64 = 512 << 20;

/// A JPEG or PNG file in memory whose head has been read. What it is, its content says, not its name.
///
/// JPEG gives the pixels that libjpeg-turbo and Pillow give, bit for bit; grey, CMYK and YCCK become RGB as by
/// Pillow's `convert("RGB")`. PNG of every colour type becomes RGB: alpha is dropped, and values of 16 bits lose their
/// lower eight. EXIF orientation is applied.
pub struct Encoded<'a> {
    place: String,
    source: Source<'a>,
    stored: [usize; 2],
    orientation: u8,
}

enum Source<'a> {
    Jpeg(Box<Jpeg<'a>>),
    Png(Box<Png<'a>>),
}

impl<'a> Encoded<'a> {
    /// Reads the head; `place` names the file in errors, and pictures of more than `max_pixels` are refused here,
    /// before any memory is taken for them.
    ///
    /// # Errors
    /// Bytes that are no JPEG or PNG, a damaged head, a kind of JPEG that is not read, too many pixels.
    pub fn open(bytes: &'a [u8], place: &str, max_pixels: usize) -> Result<Self> {
        let source = match kind(bytes, place)? {
            Kind::Jpeg => Jpeg::open(bytes).map(Box::new).map(Source::Jpeg),
            Kind::Png => Png::open(bytes).map(Box::new).map(Source::Png),
        };
        let parts = source.and_then(|source| source.head().map(|head| (source, head)));
        let (source, (stored, orientation)) = parts.map_err(|fault| fault.at(place))?;
        let [width, height] = stored;
        if width.checked_mul(height).is_none_or(|pixels| pixels > max_pixels) {
            let problem = format!("{width} x {height} pixels are more than the limit of {max_pixels}");
            return Err(Error::new(
                place,
                problem,
                "make the picture smaller, or raise the limit if the file is trusted",
            ));
        }
        Ok(Self { place: place.into(), source, stored, orientation })
    }

    /// Width of the upright picture in pixels.
    #[must_use]
    pub fn width(&self) -> usize {
        self.stored[usize::from(self.orientation > 4)]
    }

    /// Height of the upright picture in pixels.
    #[must_use]
    pub fn height(&self) -> usize {
        self.stored[usize::from(self.orientation <= 4)]
    }

    /// The whole picture, upright.
    ///
    /// # Errors
    /// Data that are damaged or end too early.
    pub fn decode(self) -> Result<Picture> {
        let region = Region::whole(self.width(), self.height());
        self.decode_region(&region)
    }

    /// A region of the upright picture, with the very pixels that the whole picture has there. Of a JPEG that needs no
    /// turn, little more than the region is computed; rows below it are then not looked at, only that the file goes on
    /// to its end mark.
    ///
    /// # Errors
    /// A region that is empty or reaches beyond the picture; data that are damaged or end too early.
    pub fn decode_region(self, region: &Region) -> Result<Picture> {
        region.check(self.width(), self.height())?;
        let stored = Region::whole(self.stored[0], self.stored[1]);
        let decoded = match self.source {
            Source::Jpeg(jpeg) if self.orientation == 1 => {
                return jpeg.decode(region).map_err(|fault| fault.at(&self.place));
            }
            Source::Jpeg(jpeg) => jpeg.decode(&stored),
            Source::Png(png) => png.decode(),
        };
        exif::upright(decoded.map_err(|fault| fault.at(&self.place))?, self.orientation).into_crop(region)
    }
}

impl Source<'_> {
    fn head(&self) -> Result<([usize; 2], u8), Fault> {
        match self {
            Self::Jpeg(jpeg) => Ok((jpeg.size()?, jpeg.orientation())),
            Self::Png(png) => Ok((png.size(), png.orientation())),
        }
    }
}

/// The picture that bytes encode; `place` names the file in errors.
///
/// # Errors
/// As [`Encoded::open`] and [`Encoded::decode`].
pub fn decode(bytes: &[u8], place: &str) -> Result<Picture> {
    Encoded::open(bytes, place, MAX_PIXELS)?.decode()
}

/// The picture in a file.
///
/// # Errors
/// A file that cannot be read or holds more than 512 MiB, and as [`decode`].
pub fn read(path: &Path) -> Result<Picture> {
    let place = path.display().to_string();
    let bytes = disguise::head(path, MAX_BYTES + 1)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(Error::new(place, "the file holds more than 512 MiB", "make the picture smaller"));
    }
    decode(&bytes, &place)
}
