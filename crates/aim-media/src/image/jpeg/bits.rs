//! Bits of a scan's entropy-coded data.

use super::super::fault::Fault;
use super::huffman::{Huffman, LOOK};

/// A reader of bits that never passes a marker.
pub(super) struct Bits<'a> {
    data: &'a [u8],
    position: usize,
    /// Bits not yet read, the next one at the top. Below the first `count` stand zeros or bits that come again.
    buffer: u64,
    count: u32,
    /// Number of zero bits put in after the end of the data.
    missing: u32,
}

impl<'a> Bits<'a> {
    /// A reader from a position of a file on.
    pub(super) fn new(data: &'a [u8], position: usize) -> Self {
        Self { data, position, buffer: 0, count: 0, missing: 0 }
    }

    /// Makes at least 32 bits ready, with zeros where the data are over.
    #[inline(always)]
    pub(super) fn refill(&mut self) {
        if self.count >= 32 {
            return;
        }
        if let Some(bytes) = self.data.get(self.position..).and_then(|rest| rest.first_chunk::<8>()) {
            let word = u64::from_be_bytes(*bytes);
            if !has_marker_byte(word) {
                self.buffer |= word >> self.count;
                let bytes = (63 - self.count) >> 3;
                self.position += bytes as usize;
                self.count += 8 * bytes;
                return;
            }
        }
        self.refill_bytewise();
    }

    #[cold]
    fn refill_bytewise(&mut self) {
        while self.count <= 56 {
            let byte = match self.data.get(self.position..) {
                Some([0xff, 0, ..]) => {
                    self.position += 2;
                    0xff
                }
                None | Some([] | [0xff, ..]) => {
                    self.missing += 8;
                    0
                }
                Some([byte, ..]) => {
                    self.position += 1;
                    *byte
                }
            };
            // The bits below `count` may be those of this byte already, or of bytes that a marker cut off.
            self.buffer &= !(u64::MAX >> self.count);
            self.buffer |= u64::from(byte) << (56 - self.count);
            self.count += 8;
        }
    }

    /// The next bits, at most 32, as a number; they stay.
    #[inline(always)]
    pub(super) fn peek(&self, bits: u32) -> u32 {
        (self.buffer >> 32 >> (32 - bits)) as u32
    }

    /// Drops bits.
    #[inline(always)]
    pub(super) fn consume(&mut self, bits: u32) {
        self.buffer <<= bits;
        self.count = self.count.saturating_sub(bits);
    }

    /// The next bits, at most 16, as a number.
    #[inline(always)]
    pub(super) fn take(&mut self, bits: u32) -> u32 {
        self.refill();
        let value = self.peek(bits);
        self.consume(bits);
        value
    }

    /// The next bit.
    #[inline(always)]
    pub(super) fn bit(&mut self) -> bool {
        self.take(1) == 1
    }

    /// A number of `bits` bits (at most 15), of which the lower half stands for negative numbers. The bits are ready.
    #[inline(always)]
    pub(super) fn signed(&mut self, bits: u32) -> i32 {
        let value = self.peek(bits) as i32;
        self.consume(bits);
        extend(value, bits)
    }

    /// The next symbol of a code; 16 bits stay ready behind it.
    #[inline(always)]
    pub(super) fn symbol(&mut self, code: &Huffman) -> Result<u8, Fault> {
        self.refill();
        let (symbol, length) = code.short(self.peek(LOOK));
        if length > 0 {
            self.consume(length);
            return Ok(symbol);
        }
        let (symbol, length) = code.long(self.peek(16)).ok_or_else(|| Fault::corrupt("a code that no table has"))?;
        self.consume(length);
        Ok(symbol)
    }

    /// Refuses to go on where bits were read that the data do not have.
    #[inline(always)]
    pub(super) fn check(&self) -> Result<(), Fault> {
        if self.count >= self.missing { Ok(()) } else { Err(self.ended()) }
    }

    #[cold]
    fn ended(&self) -> Fault {
        match self.data.get(self.position + 1) {
            None => Fault::Truncated,
            Some(marker) => Fault::corrupt(format!("marker {marker:02x} in the middle of the picture's data")),
        }
    }

    /// Goes behind the restart marker that has to follow, of number `index` modulo 8.
    pub(super) fn restart(&mut self, index: usize) -> Result<(), Fault> {
        let (at, marker) = next_marker(self.data, self.position).ok_or(Fault::Truncated)?;
        if usize::from(marker) != 0xd0 + index % 8 {
            return Err(Fault::corrupt(format!("marker {marker:02x} where restart {} belongs", index % 8)));
        }
        *self = Self::new(self.data, at + 2);
        Ok(())
    }

    /// Position of the marker behind the scan.
    pub(super) fn end(&self) -> Result<usize, Fault> {
        let mut position = self.position;
        loop {
            let (at, marker) = next_marker(self.data, position).ok_or(Fault::Truncated)?;
            if !(0xd0..=0xd7).contains(&marker) {
                return Ok(at);
            }
            position = at + 2;
        }
    }
}

/// The number that `bits` bits stand for: the lower half of their range means negative numbers.
#[inline(always)]
pub(super) fn extend(value: i32, bits: u32) -> i32 {
    // All ones where the top bit is 0.
    let negative = ((value << 1) >> bits) - 1;
    value + (negative & (1 - (1 << bits)))
}

/// Whether one of the eight bytes is 0xff.
fn has_marker_byte(word: u64) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    (!word).wrapping_sub(ONES) & word & (ONES << 7) != 0
}

/// Position and second byte of the first marker from a position on.
pub(super) fn next_marker(data: &[u8], from: usize) -> Option<(usize, u8)> {
    let pairs = data.get(from..)?.windows(2);
    pairs
        .enumerate()
        .find(|(_, pair)| pair[0] == 0xff && pair[1] != 0 && pair[1] != 0xff)
        .map(|(i, pair)| (from + i, pair[1]))
}
