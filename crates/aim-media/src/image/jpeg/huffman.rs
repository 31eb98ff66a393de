//! Huffman codes of JPEG.

use super::super::fault::Fault;
use super::bits::extend;

/// Number of bits that are looked up at once.
pub(super) const LOOK: u32 = 10;
const SIZE: usize = 1 << LOOK;

/// A code as tables.
pub(super) struct Huffman {
    /// For each start of `LOOK` bits: length of the code word `<< 8 |` symbol; 0 for longer words.
    short: [u16; SIZE],
    /// For each start of `LOOK` bits the whole coefficient, where word and value fit; 0 where not.
    coefficients: [Coefficient; SIZE],
    /// First 16-bit pattern beyond the words of each length.
    limits: [u32; 17],
    /// Index of a symbol less its word, per length.
    offsets: [i32; 17],
    symbols: Vec<u8>,
}

/// A coefficient in one step: what to skip, the value (0: none), and the number of bits of it all (0: not this way).
#[derive(Clone, Copy, Default)]
pub(super) struct Coefficient {
    /// Value.
    pub value: i16,
    /// Number of places to skip before it; 64 at the end of a block.
    pub run: u8,
    /// Number of bits.
    pub bits: u8,
}

impl Huffman {
    /// The code with `counts[i]` words of length `i + 1`, in the order of `symbols`.
    pub(super) fn new(counts: &[u8; 16], symbols: &[u8]) -> Result<Self, Fault> {
        let (limits, offsets) = canonical(counts)?;
        let coefficients = [Coefficient::default(); SIZE];
        let mut code = Self { short: [0; SIZE], coefficients, limits, offsets, symbols: symbols.to_vec() };
        for start in 0..SIZE {
            let found = code.long((start as u32) << (16 - LOOK)).filter(|&(_, length)| length <= LOOK);
            if let Some((symbol, length)) = found {
                code.short[start] = (length << 8) as u16 | u16::from(symbol);
                code.coefficients[start] = coefficient(start as i32, symbol, length);
            }
        }
        Ok(code)
    }

    /// Symbol and length of the word at the start of `LOOK` bits; length 0 where the word is longer.
    #[inline(always)]
    pub(super) fn short(&self, start: u32) -> (u8, u32) {
        let entry = self.short[start as usize % SIZE];
        (entry as u8, u32::from(entry >> 8))
    }

    /// The coefficient at the start of `LOOK` bits.
    #[inline(always)]
    pub(super) fn coefficient(&self, start: u32) -> Coefficient {
        self.coefficients[start as usize % SIZE]
    }

    /// Symbol and length of the word at the start of 16 bits.
    pub(super) fn long(&self, start: u32) -> Option<(u8, u32)> {
        let length = (1..=16).find(|&length| start < self.limits[length])?;
        let index = self.offsets[length] + (start >> (16 - length)) as i32;
        Some((*self.symbols.get(usize::try_from(index).ok()?)?, length as u32))
    }
}

/// Limits and offsets of the canonical code.
fn canonical(counts: &[u8; 16]) -> Result<([u32; 17], [i32; 17]), Fault> {
    let (mut limits, mut offsets, mut word, mut index) = ([0; 17], [0; 17], 0u32, 0i32);
    for length in 1..=16 {
        let count = u32::from(counts[length - 1]);
        offsets[length] = index - word as i32;
        word += count;
        index += count as i32;
        if word > 1 << length {
            return Err(Fault::corrupt("a Huffman table with too many words"));
        }
        limits[length] = word << (16 - length);
        word <<= 1;
    }
    Ok((limits, offsets))
}

/// The coefficient of an AC word with its value, where both fit into the `LOOK` bits `start`.
fn coefficient(start: i32, symbol: u8, length: u32) -> Coefficient {
    let (run, size) = (symbol >> 4, u32::from(symbol & 15));
    let bits = length + size;
    match (run, size) {
        (15, 0) => Coefficient { value: 0, run: 16, bits: length as u8 },
        (0, 0) => Coefficient { value: 0, run: 64, bits: length as u8 },
        (_, 0) => Coefficient::default(),
        _ if bits > LOOK => Coefficient::default(),
        _ => {
            let value = (start >> (LOOK - bits)) & ((1 << size) - 1);
            Coefficient { value: extend(value, size) as i16, run, bits: bits as u8 }
        }
    }
}
