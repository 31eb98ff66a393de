//! Tables of a JPEG file.

use super::super::fault::Fault;
use super::huffman::Huffman;

/// Place of the coefficients of a block, `8 * row + column`, in the order of the file.
pub(super) const ZIGZAG: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21,
    28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54,
    47, 55, 62, 63,
];

/// Tables in force, each of up to four.
#[derive(Default)]
pub(super) struct Tables {
    /// Steps of quantisation, in the order of the file.
    pub steps: [Option<[u16; 64]>; 4],
    /// Codes of first coefficients.
    pub dc: [Option<Box<Huffman>>; 4],
    /// Codes of the other coefficients.
    pub ac: [Option<Box<Huffman>>; 4],
    /// Number of units between restarts; 0: none.
    pub restart: usize,
}

impl Tables {
    /// Takes in a segment of Huffman tables.
    pub(super) fn read_codes(&mut self, mut body: &[u8]) -> Result<(), Fault> {
        while let Some((&name, rest)) = body.split_first() {
            let (counts, rest) = rest.split_first_chunk::<16>().ok_or_else(short)?;
            let length = counts.iter().map(|&count| usize::from(count)).sum();
            let (symbols, rest) = rest.split_at_checked(length).ok_or_else(short)?;
            let dc = name >> 4 == 0;
            if name >> 4 > 1 || name & 15 > 3 || dc && symbols.iter().any(|&size| size > 15) {
                return Err(Fault::corrupt("a Huffman table of unknown use"));
            }
            let family = if dc { &mut self.dc } else { &mut self.ac };
            family[usize::from(name & 15)] = Some(Box::new(Huffman::new(counts, symbols)?));
            body = rest;
        }
        Ok(())
    }

    /// Takes in a segment of quantisation tables.
    pub(super) fn read_quantisation(&mut self, mut body: &[u8]) -> Result<(), Fault> {
        while let Some((&name, rest)) = body.split_first() {
            let width = if name >> 4 == 0 { 1 } else { 2 };
            let (values, rest) = rest.split_at_checked(64 * width).ok_or_else(short)?;
            let index = usize::from(name & 15);
            let table =
                self.steps.get_mut(index).ok_or_else(|| Fault::corrupt("a quantisation table beyond the fourth"))?;
            let step = |i: usize| values[i * width..(i + 1) * width].iter().fold(0, |sum, &b| sum << 8 | u16::from(b));
            *table = Some(std::array::from_fn(step));
            body = rest;
        }
        Ok(())
    }

    /// Steps of quantisation of a plane.
    pub(super) fn steps(&self, index: usize) -> Result<&[u16; 64], Fault> {
        self.steps[index].as_ref().ok_or_else(|| Fault::corrupt("a quantisation table is missing"))
    }
}

/// A code that a scan names.
pub(super) fn component_table(family: &[Option<Box<Huffman>>; 4], index: usize) -> Result<&Huffman, Fault> {
    family.get(index).and_then(Option::as_deref).ok_or_else(|| Fault::corrupt("a Huffman table is missing"))
}

fn short() -> Fault {
    Fault::corrupt("a table that is too short")
}
