//! Order of the blocks of a scan, and scans that hold whole blocks.

use super::super::fault::Fault;
use super::bits::Bits;
use super::head::{Frame, Scan};
use super::huffman::Huffman;
use super::idct;
use super::kernels::Transform;
use super::plane::{Plane, size};
use super::tables::{Tables, ZIGZAG};

/// What a scan remembers from block to block; a restart clears it.
#[derive(Default)]
pub(super) struct Memory {
    /// Last first coefficient of each plane of the scan.
    pub dc: [i32; 4],
    /// Number of blocks that stay as they are.
    pub skip: u32,
}

/// A block: slot of its plane in the scan, and its place in the plane.
#[derive(Clone, Copy)]
pub(super) struct Place {
    /// Index of the plane among those of the scan.
    pub slot: usize,
    /// Index of the block, across and down.
    pub block: [usize; 2],
}

/// Visits the blocks of a scan in the file's order, as long as rows of units are wanted.
pub(super) fn walk(
    bits: &mut Bits,
    (frame, scan, restart): (&Frame, &Scan, usize),
    wanted: usize,
    mut visit: impl FnMut(&mut Bits, &mut Memory, Place) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let (units, places) = units(frame, scan);
    let mut memory = Memory::default();
    for unit in 0..units[0] * units[1].min(wanted) {
        if restart > 0 && unit > 0 && unit % restart == 0 {
            bits.restart(unit / restart - 1)?;
            memory = Memory::default();
        }
        let at = [unit % units[0], unit / units[0]];
        for (place, sampling) in &places {
            let block = [0, 1].map(|axis| at[axis] * sampling[axis] + place.block[axis]);
            visit(bits, &mut memory, Place { slot: place.slot, block })?;
        }
        bits.check()?;
    }
    Ok(())
}

/// Number of units across and down, and the blocks of a unit with their plane's blocks per unit.
fn units(frame: &Frame, scan: &Scan) -> ([usize; 2], Vec<(Place, [usize; 2])>) {
    if let [[index, ..]] = scan.planes[..] {
        let blocks = size(frame, &frame.components[index]).map(|samples| samples.div_ceil(8));
        return (blocks, vec![(Place { slot: 0, block: [0, 0] }, [1, 1])]);
    }
    let units = [frame.width.div_ceil(8 * frame.largest[0]), frame.height.div_ceil(8 * frame.largest[1])];
    let mut places = Vec::new();
    for (slot, [index, ..]) in scan.planes.iter().enumerate() {
        let sampling = frame.components[*index].sampling;
        for i in 0..sampling[0] * sampling[1] {
            places.push((Place { slot, block: [i % sampling[0], i / sampling[0]] }, sampling));
        }
    }
    (units, places)
}

/// Number of rows of units that hold every block which the planes keep.
fn wanted(scan: &Scan, frame: &Frame, planes: &[Plane]) -> usize {
    let alone = scan.planes.len() == 1;
    let rows = scan.planes.iter().map(|&[index, ..]| {
        let per_unit = if alone { 1 } else { frame.components[index].sampling[1] };
        (planes[index].first[1] + planes[index].blocks[1]).div_ceil(per_unit)
    });
    rows.max().unwrap_or(0)
}

/// Rows of blocks to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rows {
    /// Down to the last one that the planes keep.
    Kept,
    /// All that the scan has.
    All,
}

/// Reads a scan of whole blocks into the planes.
pub(super) fn sequential(
    bits: &mut Bits,
    (frame, scan, tables): (&Frame, &Scan, &Tables),
    planes: &mut [Plane],
    (transform, rows): (Transform, Rows),
) -> Result<(), Fault> {
    let slots = 0..scan.planes.len();
    let codes =
        slots.map(|slot| Ok((scan.dc(slot, tables)?, scan.ac(slot, tables)?))).collect::<Result<Vec<_>, _>>()?;
    let steps = scan.planes.iter().map(|plane| tables.steps(frame.components[plane[0]].table));
    let steps = steps.collect::<Result<Vec<_>, _>>()?;
    let rows = if rows == Rows::All { usize::MAX } else { wanted(scan, frame, planes) };
    walk(bits, (frame, scan, tables.restart), rows, |bits, memory, place| {
        let (dc, ac) = codes[place.slot];
        let plane = &mut planes[scan.planes[place.slot][0]];
        let first = first_coefficient(bits, dc, &mut memory.dc[place.slot])?;
        if !plane.keeps(place.block) {
            return others(bits, ac, |_, _| ()).map(drop);
        }
        let steps = steps[place.slot];
        let mut block = [0; 64];
        block[0] = first.wrapping_mul(i32::from(steps[0]));
        let any = others(bits, ac, |k, value| block[usize::from(ZIGZAG[k])] = value * i32::from(steps[k]))?;
        let stride = plane.stride();
        let out = plane.block_mut(place.block);
        if any {
            transform(&block, out, stride)
        } else {
            idct::flat(block[0], out, stride)
        }
        Ok(())
    })
}

/// First coefficient of a block, which the file gives as the difference from the last one.
#[inline(always)]
pub(super) fn first_coefficient(bits: &mut Bits, code: &Huffman, last: &mut i32) -> Result<i32, Fault> {
    let size = bits.symbol(code)?;
    *last = last.wrapping_add(bits.signed(u32::from(size)));
    Ok(*last)
}

/// Reads the other coefficients of a block; whether there are any.
#[inline(always)]
fn others(bits: &mut Bits, code: &Huffman, mut store: impl FnMut(usize, i32)) -> Result<bool, Fault> {
    let (mut k, mut any) = (1, false);
    while k < 64 {
        bits.refill();
        let found = code.coefficient(bits.peek(super::huffman::LOOK));
        let (run, value) = if found.bits > 0 {
            bits.consume(u32::from(found.bits));
            (usize::from(found.run), i32::from(found.value))
        } else {
            long_coefficient(bits, code)?
        };
        k += run;
        if value != 0 {
            if k > 63 {
                return Err(Fault::corrupt("a block of more than 64 coefficients"));
            }
            store(k, value);
            any = true;
            k += 1;
        }
    }
    Ok(any)
}

/// Places to skip and value of a coefficient whose word and value are long.
fn long_coefficient(bits: &mut Bits, code: &Huffman) -> Result<(usize, i32), Fault> {
    let symbol = bits.symbol(code)?;
    let (run, size) = (usize::from(symbol >> 4), u32::from(symbol & 15));
    match (run, size) {
        (15, 0) => Ok((16, 0)),
        (_, 0) => Ok((64, 0)),
        _ => Ok((run, bits.signed(size))),
    }
}
