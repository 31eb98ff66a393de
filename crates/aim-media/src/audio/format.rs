//! What a file holds, by its first bytes.

/// A format of recordings that is decoded here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// RIFF WAVE.
    Wav,
    /// AIFF and AIFF-C.
    Aiff,
    /// FLAC in its own container.
    Flac,
    /// MPEG audio, layer 3.
    Mp3,
    /// Vorbis in Ogg.
    Vorbis,
}

impl Format {
    /// Format of a file's content, whatever its name; `None` for what is not decoded here.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let bytes = untagged(bytes);
        let form = bytes.get(8..12);
        match bytes.get(..4)? {
            b"RIFF" if form == Some(b"WAVE") => Some(Self::Wav),
            b"FORM" if form == Some(b"AIFF") || form == Some(b"AIFC") => Some(Self::Aiff),
            b"fLaC" => Some(Self::Flac),
            // The first packet follows the page's 27 bytes and its table of one entry.
            b"OggS" => bytes.get(28..35).filter(|packet| *packet == b"\x01vorbis").map(|_| Self::Vorbis),
            _ => is_mp3(bytes).then_some(Self::Mp3),
        }
    }

    /// Name in messages.
    #[cfg(feature = "decode")]
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Wav => "WAV",
            Self::Aiff => "AIFF",
            Self::Flac => "FLAC",
            Self::Mp3 => "MP3",
            Self::Vorbis => "Ogg Vorbis",
        }
    }
}

/// Content without ID3 tags at the start and the zeros that may follow them.
pub(super) fn behind_tags(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let Some(length) = id3_length(rest) {
        rest = &rest[length.min(rest.len())..];
        rest = &rest[rest.iter().take_while(|&&byte| byte == 0).count()..];
    }
    rest
}

/// Content without ID3 tags at the start, the zeros that may follow them, and ID3 and APE tags at the end.
pub(super) fn untagged(bytes: &[u8]) -> &[u8] {
    let mut rest = behind_tags(bytes);
    if rest.len() > 128 && rest[rest.len() - 128..].starts_with(b"TAG") {
        rest = &rest[..rest.len() - 128];
    }
    rest.len().checked_sub(ape_length(rest)).map_or(rest, |length| &rest[..length])
}

/// Length of the ID3v2 tag at the start, its ten bytes of header included.
fn id3_length(bytes: &[u8]) -> Option<usize> {
    let header = bytes.get(..10).filter(|header| header.starts_with(b"ID3"))?;
    let size = header[6..].iter().try_fold(0, |size, &byte| (byte < 0x80).then_some(size << 7 | usize::from(byte)))?;
    let footer = if header[5] & 0x10 == 0 { 0 } else { 10 };
    Some(10 + size + footer)
}

/// Length of the APE tag at the end, its header of 32 bytes included; 0 without one.
fn ape_length(bytes: &[u8]) -> usize {
    let Some(footer) = bytes.len().checked_sub(32).map(|at| &bytes[at..]).filter(|foot| foot.starts_with(b"APETAGEX"))
    else {
        return 0;
    };
    let number = |at: usize| u32::from_le_bytes([footer[at], footer[at + 1], footer[at + 2], footer[at + 3]]);
    let header = if number(20) & 1 << 31 == 0 { 0 } else { 32 };
    number(12) as usize + header
}

/// Whether a frame of layer 3 stands at the start, and another of its kind (or the end) behind it.
fn is_mp3(bytes: &[u8]) -> bool {
    mp3_frame(bytes).is_some_and(|length| match bytes.get(length..) {
        None | Some([]) => true,
        Some(next) => next.len() < 4 || mp3_frame(next).is_some(),
    })
}

/// Length in bytes of the layer 3 frame at the start.
fn mp3_frame(bytes: &[u8]) -> Option<usize> {
    let header = u32::from_be_bytes(*bytes.first_chunk()?);
    let (sync, version, layer) = (header >> 21, header >> 19 & 3, header >> 17 & 3);
    let (kilobits, rate, padding) = (header >> 12 & 15, header >> 10 & 3, header >> 9 & 1);
    if sync != 0x7ff || version == 1 || layer != 1 || rate == 3 {
        return None;
    }
    let first = version == 3;
    let rates = [44_100, 48_000, 32_000];
    let rate = rates[rate as usize] >> [2, 0, 1, 0][version as usize];
    let steps = if first {
        [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0]
    } else {
        [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0]
    };
    let kilobits = steps[kilobits as usize];
    let length = (if first { 144_000 } else { 72_000 }) * kilobits / rate + padding;
    (kilobits > 0).then_some(length as usize)
}

#[cfg(test)]
mod tests {
    use super::{Format, mp3_frame, untagged};

    #[test]
    fn the_length_of_an_mp3_frame_follows_from_its_header() {
        // MPEG 1, 128 kbit/s, 44.1 kHz, no padding: 144,000 * 128 / 44,100 = 417.9, so 417 bytes.
        assert_eq!(mp3_frame(&[0xff, 0xfb, 0x90, 0x00]), Some(417));
        // MPEG 2, 64 kbit/s (entry 8), 22.05 kHz, padded: 72,000 * 64 / 22,050 = 208.98, 208 + 1.
        assert_eq!(mp3_frame(&[0xff, 0xf3, 0x82, 0x00]), Some(209));
        // Layer 2, and a rate that does not exist.
        assert_eq!(mp3_frame(&[0xff, 0xfd, 0x90, 0x00]), None);
        assert_eq!(mp3_frame(&[0xff, 0xfb, 0x9c, 0x00]), None);
    }

    #[test]
    fn tags_before_and_behind_the_content_are_no_content() {
        // ID3v2 of 3 bytes, two zeros, content, and an ID3v1 of 128 bytes.
        let mut file = b"ID3\x04\x00\x00\x00\x00\x00\x03abc\x00\x00fLaC".to_vec();
        file.extend(vec![7; 200]);
        file.extend([b"TAG".as_slice(), &[0; 125]].concat());
        assert_eq!(untagged(&file).len(), 204);
        assert_eq!(Format::of(&file), Some(Format::Flac));
        // A tag that says to be longer than the file leaves nothing.
        assert_eq!(Format::of(b"ID3\x04\x00\x00\x7f\x7f\x7f\x7ffLaC"), None);
    }

    #[test]
    fn other_content_is_left_to_others() {
        for bytes in [b"".as_slice(), b"\xff", b"RIFF\0\0\0\0AVI ", b"OggS\0\0", b"\x89PNG\r\n\x1a\n", b"hello, world"]
        {
            assert_eq!(Format::of(bytes), None);
        }
    }
}
