//! JPEG: baseline and progressive, with Huffman coding and 8 bits a value.
//!
//! The pixels are those of libjpeg and libjpeg-turbo with their defaults, to the last bit: published recipes read
//! pictures through them, and the decoders at hand differ by up to 8 of 255. And only what a crop needs is transformed.

mod bits;
mod colour;
mod head;
mod huffman;
mod idct;
mod kernels;
mod plane;
mod progressive;
mod render;
mod scan;
mod tables;

use self::bits::Bits;
use self::head::{Frame, Head, Scan};
use self::plane::Plane;
use self::progressive::Coefficients;
use self::scan::Rows;
use super::fault::Fault;
use super::picture::Picture;
use super::region::Region;

/// Largest number of scans: encoders write about ten, and each costs a pass over the whole picture.
const MAX_SCANS: usize = 256;

/// A JPEG file whose head has been read.
pub(super) struct Jpeg<'a> {
    head: Head<'a>,
    scan: Scan,
}

impl<'a> Jpeg<'a> {
    /// Reads the head of a file.
    pub(super) fn open(bytes: &'a [u8]) -> Result<Self, Fault> {
        let mut head = Head::new(bytes);
        let scan = head.next_scan()?.ok_or_else(|| Fault::corrupt("no picture before the end mark"))?;
        head.frame()?;
        Ok(Self { head, scan })
    }

    /// Width and height in pixels as stored, before any turn.
    pub(super) fn size(&self) -> Result<[usize; 2], Fault> {
        self.head.frame().map(|frame| [frame.width, frame.height])
    }

    /// Orientation by EXIF, 1 to 8.
    pub(super) fn orientation(&self) -> u8 {
        self.head.orientation
    }

    /// Pixels of a region of the picture as stored.
    pub(super) fn decode(mut self, region: &Region) -> Result<Picture, Fault> {
        let frame = self.head.frame()?.clone();
        let factors = factors(&frame)?;
        let mut planes: Vec<_> = frame.components.iter().map(|c| Plane::new(&frame, c, region)).collect();
        if frame.progressive {
            self.progressive(&frame, &mut planes)?;
        } else {
            self.sequential(&frame, &mut planes)?;
        }
        let ids: Vec<u8> = frame.components.iter().map(|component| component.id).collect();
        Ok(kernels::pixels(&planes, &factors, colour::colours(&self.head, &ids), region))
    }

    fn sequential(&mut self, frame: &Frame, planes: &mut [Plane]) -> Result<(), Fault> {
        let transform = kernels::transform();
        let mut missing = vec![true; planes.len()];
        loop {
            let mut bits = self.bits();
            let part = (frame, &self.scan, &self.head.tables);
            scan::sequential(&mut bits, part, planes, (transform, Rows::Kept))?;
            self.scan.planes.iter().for_each(|plane| missing[plane[0]] = false);
            if !missing.contains(&true) {
                // A file that ends without a mark, yet after the last row, is whole.
                let how = (transform, Rows::All);
                return bits.end().map(drop).or_else(|_| scan::sequential(&mut self.bits(), part, planes, how));
            }
            self.head.position = bits.end()?;
            self.scan = self.head.next_scan()?.ok_or_else(|| Fault::corrupt("a plane without data"))?;
        }
    }

    fn bits(&self) -> Bits<'a> {
        Bits::new(self.head.bytes, self.scan.data)
    }

    fn progressive(&mut self, frame: &Frame, planes: &mut [Plane]) -> Result<(), Fault> {
        let mut coefficients: Vec<_> =
            frame.components.iter().map(|component| Coefficients::new(frame, component.sampling)).collect();
        // Steps of each plane, those in force at its first scan: later tables are for later planes.
        let mut steps = vec![None; planes.len()];
        for _ in 0..MAX_SCANS {
            for plane in self.scan.planes.iter().map(|plane| plane[0]) {
                let table = frame.components[plane].table;
                steps[plane] = steps[plane].or(Some(*self.head.tables.steps(table)?));
            }
            let mut bits = self.bits();
            progressive::progressive(&mut bits, (frame, &self.scan, &self.head.tables), &mut coefficients)?;
            self.head.position = bits.end()?;
            match self.head.next_scan()? {
                Some(scan) => self.scan = scan,
                None => return render(&steps, &coefficients, planes),
            }
        }
        Err(Fault::corrupt(format!("more than {MAX_SCANS} scans")))
    }
}

/// Computes the samples of all planes from their coefficients and steps.
fn render(steps: &[Option<[u16; 64]>], coefficients: &[Coefficients], planes: &mut [Plane]) -> Result<(), Fault> {
    let transform = kernels::transform();
    for ((steps, coefficients), plane) in steps.iter().zip(coefficients).zip(planes) {
        let steps = steps.as_ref().ok_or_else(|| Fault::corrupt("a plane without data"))?;
        coefficients.render(steps, plane, transform);
    }
    Ok(())
}

/// Pixels per sample of each plane, across and down.
fn factors(frame: &Frame) -> Result<Vec<[usize; 2]>, Fault> {
    let all = frame.components.iter().map(|component| {
        let whole = (0..2).all(|axis| frame.largest[axis].is_multiple_of(component.sampling[axis]));
        let factor = [0, 1].map(|axis| frame.largest[axis] / component.sampling[axis]);
        whole.then_some(factor).ok_or_else(|| Fault::unread("a JPEG with planes of fractional resolution"))
    });
    all.collect()
}
