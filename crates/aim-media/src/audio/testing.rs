//! Recordings that tests make, byte by byte.

/// A chunk of a RIFF file.
pub(crate) fn chunk(name: &[u8; 4], content: &[u8]) -> Vec<u8> {
    let padding: &[u8] = if content.len() % 2 == 1 { &[0] } else { &[] };
    [name, (content.len() as u32).to_le_bytes().as_slice(), content, padding].concat()
}

/// A WAV file of chunks.
pub(crate) fn riff(chunks: &[Vec<u8>]) -> Vec<u8> {
    let body = [b"WAVE".as_slice(), &chunks.concat()].concat();
    [b"RIFF", (body.len() as u32).to_le_bytes().as_slice(), &body].concat()
}

/// Content of a format chunk: coding, channels, rate and bits of a sample.
pub(crate) fn format(tag: u16, channels: u16, rate: u32, bits: u16) -> Vec<u8> {
    let block = channels * bits.div_ceil(8);
    let bytes = rate.wrapping_mul(u32::from(block));
    let parts = [tag.to_le_bytes().to_vec(), channels.to_le_bytes().to_vec(), rate.to_le_bytes().to_vec()];
    let rest = [bytes.to_le_bytes().to_vec(), block.to_le_bytes().to_vec(), bits.to_le_bytes().to_vec()];
    [parts.concat(), rest.concat()].concat()
}

/// A WAV file of bytes in a coding.
pub(crate) fn wav(tag: u16, channels: u16, rate: u32, bits: u16, data: &[u8]) -> Vec<u8> {
    riff(&[chunk(b"fmt ", &format(tag, channels, rate, bits)), chunk(b"data", data)])
}

/// A WAV file of 16-bit samples in mono.
pub(crate) fn wav16(rate: u32, samples: &[i16]) -> Vec<u8> {
    wav(1, 1, rate, 16, &samples.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>())
}

/// Bits of a FLAC stream, the most significant first.
#[derive(Default)]
struct Bits {
    bytes: Vec<u8>,
    count: usize,
}

impl Bits {
    fn put(&mut self, value: u64, bits: usize) {
        for bit in (0..bits).rev() {
            if self.count.is_multiple_of(8) {
                self.bytes.push(0);
            }
            let last = self.bytes.len() - 1;
            self.bytes[last] |= ((value >> bit & 1) as u8) << (7 - self.count % 8);
            self.count += 1;
        }
    }
}

/// Remainder of FLAC's frames: polynomial `x^n + ...` over the bytes.
fn remainder(bytes: &[u8], polynomial: u32, bits: u32) -> u32 {
    bytes.iter().fold(0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte) << (bits - 8), |crc, _| {
            let carry = crc >> (bits - 1) & 1;
            ((crc << 1) ^ (carry * polynomial)) & ((1 << bits) - 1)
        })
    })
}

/// A FLAC file of 16-bit samples in mono, verbatim, in blocks of 192, without a checksum of the samples.
pub(crate) fn flac(rate: u32, samples: &[i16]) -> Vec<u8> {
    let mut info = Bits::default();
    for (value, bits) in [(192, 16), (192, 16), (0, 24), (0, 24), (u64::from(rate), 20), (0, 3), (15, 5)] {
        info.put(value, bits);
    }
    info.put(samples.len() as u64, 36);
    let mut file = [b"fLaC\x80\0\0\x22".as_slice(), &info.bytes, &[0; 16]].concat();
    for (number, block) in samples.chunks(192).enumerate() {
        file.extend(frame(number as u8, block));
    }
    file
}

/// A frame of at most 192 samples; numbers up to 127 take a byte.
fn frame(number: u8, block: &[i16]) -> Vec<u8> {
    let mut bits = Bits::default();
    // Sync, fixed blocks; length of the block in 16 bits at the end; rate of the stream; mono; 16 bits a sample.
    for (value, width) in [(0xfff8, 16), (7, 4), (0, 4), (0, 4), (4, 3), (0, 1)] {
        bits.put(value, width);
    }
    bits.put(u64::from(number), 8);
    bits.put(block.len() as u64 - 1, 16);
    bits.put(u64::from(remainder(&bits.bytes, 0x07, 8)), 8);
    bits.put(0b0000_0010, 8);
    block.iter().for_each(|&sample| bits.put(u64::from(sample.cast_unsigned()), 16));
    bits.put(u64::from(remainder(&bits.bytes, 0x8005, 16)), 16);
    bits.bytes
}
