//! Scans that refine one another.

use super::super::fault::Fault;
use super::bits::Bits;
use super::head::{Frame, Scan};
use super::huffman::Huffman;
use super::idct;
use super::kernels::Transform;
use super::plane::Plane;
use super::scan::{Place, first_coefficient, walk};
use super::tables::{Tables, ZIGZAG};

/// Coefficients of a block, by row and column.
type Block = [i16; 64];

/// Coefficients of a plane.
pub(super) struct Coefficients {
    /// Number of blocks in a row, those included that only fill up units.
    columns: usize,
    blocks: Vec<Block>,
}

impl Coefficients {
    /// Zeros for a plane of a given sampling.
    pub(super) fn new(frame: &Frame, sampling: [usize; 2]) -> Self {
        let columns = frame.width.div_ceil(8 * frame.largest[0]) * sampling[0];
        let rows = frame.height.div_ceil(8 * frame.largest[1]) * sampling[1];
        Self { columns, blocks: vec![[0; 64]; columns * rows] }
    }

    fn block(&mut self, [x, y]: [usize; 2]) -> &mut Block {
        &mut self.blocks[y * self.columns + x]
    }

    /// Samples of the blocks that a plane keeps.
    pub(super) fn render(&self, steps: &[u16; 64], plane: &mut Plane, transform: Transform) {
        let (first, [columns, rows]) = (plane.first, plane.blocks);
        let stride = plane.stride();
        for i in 0..columns * rows {
            let [x, y] = [first[0] + i % columns, first[1] + i / columns];
            let stored = &self.blocks[y * self.columns + x];
            let mut block = [0; 64];
            for (&place, &step) in ZIGZAG.iter().zip(steps) {
                block[usize::from(place)] = i32::from(stored[usize::from(place)]) * i32::from(step);
            }
            let out = plane.block_mut([x, y]);
            let any = block[1..].iter().fold(0, |all, value| all | value) != 0;
            if any { transform(&block, out, stride) } else { idct::flat(block[0], out, stride) }
        }
    }
}

/// Reads a scan into the coefficients of its planes.
pub(super) fn progressive(
    bits: &mut Bits,
    (frame, scan, tables): (&Frame, &Scan, &Tables),
    planes: &mut [Coefficients],
) -> Result<(), Fault> {
    let low = scan.bits[1];
    let refines = scan.bits[0] > 0;
    let blocks = (frame, scan, tables.restart);
    let plane = |place: Place| scan.planes[place.slot][0];
    if scan.band[0] > 0 {
        let code = scan.ac(0, tables)?;
        return walk(bits, blocks, usize::MAX, |bits, memory, place| {
            let block = planes[plane(place)].block(place.block);
            let step = if refines { refine_band } else { first_band };
            step(bits, code, scan, &mut memory.skip, block)
        });
    }
    if refines {
        return walk(bits, blocks, usize::MAX, |bits, _, place| {
            planes[plane(place)].block(place.block)[0] |= i16::from(bits.bit()) << low;
            Ok(())
        });
    }
    let codes = (0..scan.planes.len()).map(|slot| scan.dc(slot, tables)).collect::<Result<Vec<_>, _>>()?;
    walk(bits, blocks, usize::MAX, |bits, memory, place| {
        let first = first_coefficient(bits, codes[place.slot], &mut memory.dc[place.slot])?;
        planes[plane(place)].block(place.block)[0] = (first << low) as i16;
        Ok(())
    })
}

/// Reads the upper bits of a block's coefficients in the scan's band.
fn first_band(bits: &mut Bits, code: &Huffman, scan: &Scan, skip: &mut u32, block: &mut Block) -> Result<(), Fault> {
    if *skip > 0 {
        *skip -= 1;
        return Ok(());
    }
    let (mut k, last) = (scan.band[0], scan.band[1]);
    while k <= last {
        let symbol = bits.symbol(code)?;
        let (run, size) = (u32::from(symbol >> 4), u32::from(symbol & 15));
        if size == 0 && run < 15 {
            *skip = (1 << run) - 1 + bits.take(run);
            break;
        }
        k += run as usize;
        if size > 0 {
            *block.get_mut(usize::from(*ZIGZAG.get(k).ok_or_else(beyond)?)).ok_or_else(beyond)? =
                (bits.signed(size) << scan.bits[1]) as i16;
        }
        k += 1;
    }
    Ok(())
}

/// Reads one more bit of a block's coefficients in the scan's band, and those that begin with this bit.
fn refine_band(bits: &mut Bits, code: &Huffman, scan: &Scan, skip: &mut u32, block: &mut Block) -> Result<(), Fault> {
    let one = 1i16 << scan.bits[1];
    let (mut k, last) = (scan.band[0], scan.band[1]);
    while *skip == 0 && k <= last {
        let symbol = bits.symbol(code)?;
        let (run, size) = (u32::from(symbol >> 4), symbol & 15);
        if size == 0 && run < 15 {
            *skip = (1 << run) + bits.take(run);
            break;
        }
        let new = match size {
            0 => 0,
            1 if bits.bit() => one,
            1 => -one,
            _ => return Err(Fault::corrupt("a refining scan with more than one bit a coefficient")),
        };
        k = refine_known(bits, block, [k, last], run, one);
        if new != 0 {
            block[usize::from(*ZIGZAG.get(k).ok_or_else(beyond)?)] = new;
        }
        k += 1;
    }
    if *skip > 0 {
        refine_known(bits, block, [k, last], u32::MAX, one);
        *skip -= 1;
    }
    Ok(())
}

/// Refines the coefficients that are not zero, until `zeros` zeros have been passed; the place of the next zero.
fn refine_known(bits: &mut Bits, block: &mut Block, [mut k, last]: [usize; 2], mut zeros: u32, one: i16) -> usize {
    while k <= last {
        let value = &mut block[usize::from(ZIGZAG[k])];
        if *value == 0 {
            if zeros == 0 {
                break;
            }
            zeros -= 1;
        } else if bits.bit() && *value & one == 0 {
            *value = value.wrapping_add(if *value > 0 { one } else { -one });
        }
        k += 1;
    }
    k
}

fn beyond() -> Fault {
    Fault::corrupt("a block of more than 64 coefficients")
}
