//! PNG: every colour type, 8-bit values, without alpha.

use super::exif;
use super::fault::Fault;
use super::picture::Picture;
use png::{ColorType, Decoder, DecodingError, Limits, Reader, Transformations};
use std::io::Cursor;

/// Largest ancillary data, such as colour profiles: they are passed over.
const MAX_EXTRAS: usize = 16 << 20;

/// A PNG file whose head has been read.
pub(super) struct Png<'a>(Reader<Cursor<&'a [u8]>>);

impl<'a> Png<'a> {
    /// Reads the head of a file.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), Limits { bytes: MAX_EXTRAS });
        // Values of 16 bits lose their lower eight, as in Pillow's reader of colour pictures.
        decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
        decoder.set_ignore_text_chunk(true);
        decoder.set_ignore_iccp_chunk(true);
        decoder.read_info().map(Self).map_err(fault)
    }

    /// Width and height in pixels as stored, before any turn.
    pub(super) fn size(&self) -> [usize; 2] {
        [self.0.info().width as usize, self.0.info().height as usize]
    }

    /// Orientation by EXIF, 1 to 8.
    pub(super) fn orientation(&self) -> u8 {
        self.0.info().exif_metadata.as_deref().map_or(1, exif::orientation)
    }

    /// Pixels of the picture as stored.
    pub(super) fn decode(mut self) -> Result<Picture, Fault> {
        let too_large = || Fault::corrupt("more pixels than a memory can hold");
        let [width, height] = self.size();
        let mut values = vec![0; self.0.output_buffer_size().ok_or_else(too_large)?];
        let colours = self.0.next_frame(&mut values).map_err(fault)?.color_type;
        let rgb = match colours {
            ColorType::Rgb => values,
            ColorType::Rgba => values.as_chunks::<4>().0.iter().flat_map(|&[r, g, b, _]| [r, g, b]).collect(),
            ColorType::Grayscale => values.iter().flat_map(|&grey| [grey; 3]).collect(),
            ColorType::GrayscaleAlpha => values.as_chunks::<2>().0.iter().flat_map(|&[grey, _]| [grey; 3]).collect(),
            ColorType::Indexed => return Err(Fault::corrupt("a palette is missing")),
        };
        Ok(Picture { width, height, rgb })
    }
}

fn fault(error: DecodingError) -> Fault {
    match error {
        DecodingError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Fault::Truncated,
        DecodingError::LimitsExceeded => Fault::corrupt("extra data of more than 16 MiB"),
        other => Fault::corrupt(other),
    }
}
