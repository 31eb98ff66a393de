//! WAV: the header, and samples that stand as they are; ADPCM is left to the decoder of packed formats.

use std::ops::Range;

use super::mixer::Mixer;
#[cfg(feature = "decode")]
use super::{Format, packed};
use super::{Options, Sound};
use crate::{Error, Result};

/// Length that a program writes while it does not know the length yet.
const UNKNOWN: u32 = u32::MAX;

/// Coding of samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    /// Integers of so many bytes; one byte is unsigned.
    Integer(usize),
    /// IEEE floats of 4 or 8 bytes.
    Float(usize),
    /// ITU-T G.711, A-law.
    ALaw,
    /// ITU-T G.711, mu-law.
    MuLaw,
    /// Microsoft or IMA ADPCM.
    Adpcm,
}

/// What the header says.
struct Header {
    coding: Coding,
    channels: usize,
    rate: u32,
    data: Range<usize>,
}

/// Sound of a WAV file's content.
pub(super) fn decode(bytes: &[u8], place: &str, options: &Options) -> Result<Sound> {
    let header = header(bytes, place)?;
    let mut mixer = Mixer::new(place, header.rate, header.channels, options)?;
    let data = &bytes[header.data];
    match header.coding {
        Coding::Integer(1) => samples(data, &mut mixer, header.channels, |[b]| (f32::from(b) - 128.0) / 128.0),
        Coding::Integer(2) => {
            samples(data, &mut mixer, header.channels, |b| f32::from(i16::from_le_bytes(b)) / 32_768.0)
        }
        // The three bytes on top of an integer of 32 bits: the scale is that of 32 bits too.
        Coding::Integer(3) => samples(data, &mut mixer, header.channels, |[a, b, c]| of_i32([0, a, b, c])),
        Coding::Integer(_) => samples(data, &mut mixer, header.channels, of_i32),
        Coding::Float(4) => samples(data, &mut mixer, header.channels, f32::from_le_bytes),
        Coding::Float(_) => samples(data, &mut mixer, header.channels, |b| f64::from_le_bytes(b) as f32),
        Coding::ALaw => samples(data, &mut mixer, header.channels, |[b]| a_law(b)),
        Coding::MuLaw => samples(data, &mut mixer, header.channels, |[b]| mu_law(b)),
        #[cfg(feature = "decode")]
        Coding::Adpcm => return packed::decode(bytes, Format::Wav, place, options),
        #[cfg(not(feature = "decode"))]
        Coding::Adpcm => return Err(Error::new(place, "ADPCM is not read by this build", "convert it to 16-bit WAV")),
    }?;
    mixer.finish()
}

/// Hands the samples of `N` bytes each to the mixer, some thousand at a time.
fn samples<const N: usize>(
    data: &[u8],
    mixer: &mut Mixer,
    channels: usize,
    value: impl Fn([u8; N]) -> f32,
) -> Result<()> {
    let frame = N * channels;
    let frames = data.len() / frame;
    mixer.promise(frames as u64)?;
    mixer.jump(mixer.first().min(frames as u64));
    let mut piece = Vec::new();
    for block in data[mixer.seen() as usize * frame..frames * frame].chunks(4096 * frame) {
        if mixer.full() {
            break;
        }
        piece.clear();
        piece.extend(block.as_chunks().0.iter().map(|bytes| value(*bytes)));
        mixer.push(&piece)?;
    }
    Ok(())
}

fn of_i32(bytes: [u8; 4]) -> f32 {
    i32::from_le_bytes(bytes) as f32 / 2_147_483_648.0
}

/// A-law of G.711: sign, three bits of exponent, four of mantissa, every other bit inverted.
fn a_law(byte: u8) -> f32 {
    let byte = byte ^ 0x55;
    let (exponent, mantissa) = (byte >> 4 & 7, i16::from(byte & 15));
    let size = match exponent {
        0 => mantissa << 4 | 8,
        _ => (mantissa << 4 | 0x108) << (exponent - 1),
    };
    f32::from(if byte & 0x80 == 0 { -size } else { size }) / 32_768.0
}

/// Mu-law of G.711: sign, three bits of exponent, four of mantissa, all inverted, with a bias of 132.
fn mu_law(byte: u8) -> f32 {
    let byte = !byte;
    let size = ((i16::from(byte & 15) << 3 | 0x84) << (byte >> 4 & 7)) - 0x84;
    f32::from(if byte & 0x80 == 0 { size } else { -size }) / 32_768.0
}

/// Goes through the chunks until format and data are found.
fn header(bytes: &[u8], place: &str) -> Result<Header> {
    let mut format = None;
    let mut at = 12;
    while let Some(start) = bytes.get(at..at + 8) {
        let length = word(start, 4);
        let end = (at + 8).saturating_add(length as usize);
        let data = start.starts_with(b"data");
        if data && (length == UNKNOWN || length == 0 && matches!(word(bytes, 4), 0 | UNKNOWN)) {
            return described(format, at + 8..bytes.len(), place);
        }
        if end > bytes.len() {
            return Err(short(end, bytes.len(), place));
        }
        if data {
            check_behind(bytes, end + end % 2, length, place)?;
            return described(format, at + 8..end, place);
        }
        if start.starts_with(b"fmt ") {
            format = Some(&bytes[at + 8..end]);
        }
        at = end + end % 2;
    }
    Err(Error::new(place, "the WAV header is followed by no data", "fetch or export the file again"))
}

/// Refuses a file whose bytes behind the sound are no chunks: a writer that was cut off left too small a length in the
/// header, and what it wrote afterwards would be passed over.
fn check_behind(bytes: &[u8], behind: usize, length: u32, place: &str) -> Result<()> {
    let mut at = behind;
    let riff = match word(bytes, 4) {
        UNKNOWN => 0,
        length => length as usize + 8,
    };
    while let Some(start) = bytes.get(at..at + 8) {
        // Tags are put behind the file as it was.
        if at >= riff && [&b"ID3"[..], b"TAG", b"APETAGEX"].iter().any(|tag| start.starts_with(tag)) {
            return Ok(());
        }
        let end = (at + 8).saturating_add(word(start, 4) as usize);
        if end > bytes.len() {
            let more = bytes.len() - behind;
            let problem =
                format!("the header says that the sound has {length} bytes, behind which {more} more are no part");
            return Err(Error::new(place, problem, "write it again, as `ffmpeg -i IN.wav OUT.wav` does"));
        }
        at = end + end % 2;
    }
    Ok(())
}

/// Error of a file that ends too early.
pub(super) fn short(promised: usize, found: usize, place: &str) -> Error {
    let problem = format!("cut short: the header promises {promised} bytes, the file has {found}");
    Error::new(place, problem, "fetch or export the file again")
}

/// Number of four bytes, the least first; the caller knows that they are there.
fn word(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// Header of the format chunk's content.
fn described(format: Option<&[u8]>, data: Range<usize>, place: &str) -> Result<Header> {
    let fault = |problem: String| Error::new(place, problem, "convert it to 16-bit WAV or FLAC with ffmpeg");
    let format = format
        .filter(|format| format.len() >= 16)
        .ok_or_else(|| fault("the WAV header does not say how samples are coded".into()))?;
    let half = |at: usize| u16::from_le_bytes([format[at], format[at + 1]]);
    let (channels, block, bits) = (usize::from(half(2)), usize::from(half(12)), usize::from(half(14)));
    // The extended form keeps the tag in the first two bytes of an identifier.
    let tag = if half(0) == 0xfffe && format.len() >= 26 { half(24) } else { half(0) };
    // Fewer bits than their bytes hold stand at the top, so that the bytes alone give the scale.
    let width = if channels > 0 && block % channels == 0 && block > 0 { block / channels } else { bits.div_ceil(8) };
    let coding = match (tag, width) {
        (1, 1..=4) => Coding::Integer(width),
        (3, 4 | 8) => Coding::Float(width),
        (6, 1) => Coding::ALaw,
        (7, 1) => Coding::MuLaw,
        (2 | 17, _) => Coding::Adpcm,
        _ => return Err(fault(format!("WAV of coding {tag} with {bits} bits a sample is not read here"))),
    };
    Ok(Header { coding, channels, rate: word(format, 4), data })
}
