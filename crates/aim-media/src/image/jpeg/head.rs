//! Segments of a JPEG file up to its first scan, and between scans.

use super::super::exif;
use super::super::fault::Fault;
use super::bits::next_marker;
use super::huffman::Huffman;
use super::tables::{Tables, component_table};

/// A colour plane as the file declares it.
#[derive(Clone, Debug)]
pub(super) struct Component {
    /// Name of the plane in the file.
    pub id: u8,
    /// Number of samples per unit of the sampling grid, across and down.
    pub sampling: [usize; 2],
    /// Index of its quantisation table.
    pub table: usize,
}

/// Size and planes of a picture.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Whether scans refine one another.
    pub progressive: bool,
    /// Planes, in the file's order.
    pub components: Vec<Component>,
    /// Largest sampling of all planes, across and down.
    pub largest: [usize; 2],
}

/// Part of the coefficients of some planes.
#[derive(Debug)]
pub(super) struct Scan {
    /// Index of each plane, of its DC code and of its AC code.
    pub planes: Vec<[usize; 3]>,
    /// First and last coefficient in zigzag order.
    pub band: [usize; 2],
    /// Bit above the ones that this scan brings (0: it is the first), and the lowest that it brings.
    pub bits: [u32; 2],
    /// Position of the coded data.
    pub data: usize,
}

/// What the segments before a scan say.
pub(super) struct Head<'a> {
    /// The whole file.
    pub bytes: &'a [u8],
    /// Position of the next segment.
    pub position: usize,
    /// Size and planes.
    pub frame: Option<Frame>,
    /// Tables in force.
    pub tables: Tables,
    /// Whether the file calls itself JFIF.
    pub jfif: bool,
    /// Colour transform that Adobe's segment names.
    pub adobe: Option<u8>,
    /// Orientation by EXIF, 1 to 8.
    pub orientation: u8,
}

impl<'a> Head<'a> {
    /// A head that has read nothing yet.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let tables = Tables::default();
        Self { bytes, position: 2, frame: None, tables, jfif: false, adobe: None, orientation: 1 }
    }

    /// Reads segments up to the next scan; none where the picture ends.
    pub(super) fn next_scan(&mut self) -> Result<Option<Scan>, Fault> {
        loop {
            let (at, marker) = next_marker(self.bytes, self.position).ok_or(Fault::Truncated)?;
            self.position = at + 2;
            match marker {
                0xd9 => return Ok(None),
                0x01 | 0xd0..=0xd8 => continue,
                _ => {}
            }
            let segment = self.segment()?;
            if marker == 0xda {
                return self.scan(segment).map(Some);
            }
            self.read(marker, segment)?;
        }
    }

    /// The frame, which has to stand before any scan.
    pub(super) fn frame(&self) -> Result<&Frame, Fault> {
        self.frame.as_ref().ok_or_else(|| Fault::corrupt("data without a frame header"))
    }

    /// Body of the segment at the position, which moves behind it.
    fn segment(&mut self) -> Result<&'a [u8], Fault> {
        let rest = self.bytes.get(self.position..).unwrap_or_default();
        let length = rest.first_chunk::<2>().map(|bytes| usize::from(u16::from_be_bytes(*bytes)));
        let body = rest.get(2..length.ok_or(Fault::Truncated)?.max(2)).ok_or(Fault::Truncated)?;
        self.position += 2 + body.len();
        Ok(body)
    }

    fn read(&mut self, marker: u8, body: &[u8]) -> Result<(), Fault> {
        match marker {
            0xc4 => self.tables.read_codes(body)?,
            0xdb => self.tables.read_quantisation(body)?,
            0xdd => self.tables.restart = usize::from(word(body, 0)?),
            0xc0..=0xc2 => self.read_frame(marker == 0xc2, body)?,
            0xc3 | 0xc5..=0xcf => return Err(Fault::unread(format!("a JPEG of kind {}", kind(marker)))),
            0xe0 => self.jfif |= body.starts_with(b"JFIF\0"),
            0xe1 if body.starts_with(b"Exif\0\0") => self.orientation = exif::orientation(&body[6..]),
            0xee if body.starts_with(b"Adobe") => self.adobe = body.get(11).copied(),
            _ => {}
        }
        Ok(())
    }

    fn read_frame(&mut self, progressive: bool, body: &[u8]) -> Result<(), Fault> {
        if self.frame.is_some() {
            return Err(Fault::corrupt("two frame headers"));
        }
        if byte(body, 0)? != 8 {
            return Err(Fault::unread(format!("a JPEG of {} bits a value", body[0])));
        }
        let (height, width) = (usize::from(word(body, 1)?), usize::from(word(body, 3)?));
        let count = usize::from(byte(body, 5)?);
        let components = (0..count).map(|i| component(body, 6 + 3 * i)).collect::<Result<Vec<_>, _>>()?;
        if width == 0 || height == 0 {
            return Err(Fault::corrupt("a side of zero pixels"));
        }
        if !matches!(count, 1 | 3 | 4) {
            return Err(Fault::unread(format!("a JPEG of {count} planes")));
        }
        let largest = [0, 1].map(|axis| components.iter().map(|c| c.sampling[axis]).max().unwrap_or(1));
        self.frame = Some(Frame { width, height, progressive, components, largest });
        Ok(())
    }

    fn scan(&self, body: &[u8]) -> Result<Scan, Fault> {
        let frame = self.frame()?;
        let count = usize::from(byte(body, 0)?);
        if count == 0 || count > frame.components.len() {
            return Err(Fault::corrupt(format!("a scan of {count} planes")));
        }
        let planes = (0..count).map(|i| scan_plane(frame, body, 1 + 2 * i)).collect::<Result<Vec<_>, _>>()?;
        let after = 1 + 2 * count;
        let band = [usize::from(byte(body, after)?), usize::from(byte(body, after + 1)?)];
        let bits = byte(body, after + 2)?;
        let scan = Scan { planes, band, bits: [u32::from(bits >> 4), u32::from(bits & 15)], data: self.position };
        scan.check(frame)?;
        Ok(scan)
    }
}

impl Scan {
    fn check(&self, frame: &Frame) -> Result<(), Fault> {
        let repeated = (1..self.planes.len()).any(|i| self.planes[..i].iter().any(|p| p[0] == self.planes[i][0]));
        let [first, last] = self.band;
        let band = first <= last && last < 64 && (first > 0 || last == 0) && (first == 0 || self.planes.len() == 1);
        let bits = self.bits[1] <= 13 && (self.bits[0] == 0 || self.bits[0] == self.bits[1] + 1);
        if repeated || frame.progressive && !(band && bits) {
            return Err(Fault::corrupt("a scan header that contradicts itself"));
        }
        Ok(())
    }

    /// The DC code of a plane of the scan.
    pub(super) fn dc<'t>(&self, slot: usize, tables: &'t Tables) -> Result<&'t Huffman, Fault> {
        component_table(&tables.dc, self.planes[slot][1])
    }

    /// The AC code of a plane of the scan.
    pub(super) fn ac<'t>(&self, slot: usize, tables: &'t Tables) -> Result<&'t Huffman, Fault> {
        component_table(&tables.ac, self.planes[slot][2])
    }
}

fn component(body: &[u8], at: usize) -> Result<Component, Fault> {
    let (id, sampling, table) = (byte(body, at)?, byte(body, at + 1)?, usize::from(byte(body, at + 2)?));
    let sampling = [usize::from(sampling >> 4), usize::from(sampling & 15)];
    if sampling.iter().any(|factor| !(1..=4).contains(factor)) || table > 3 {
        return Err(Fault::corrupt("a plane of impossible sampling"));
    }
    Ok(Component { id, sampling, table })
}

fn scan_plane(frame: &Frame, body: &[u8], at: usize) -> Result<[usize; 3], Fault> {
    let (id, codes) = (byte(body, at)?, byte(body, at + 1)?);
    let index = frame.components.iter().position(|component| component.id == id);
    let index = index.ok_or_else(|| Fault::corrupt(format!("a scan of plane {id}, which the frame does not have")))?;
    Ok([index, usize::from(codes >> 4), usize::from(codes & 15)])
}

fn byte(body: &[u8], at: usize) -> Result<u8, Fault> {
    body.get(at).copied().ok_or_else(|| Fault::corrupt("a segment that is too short"))
}

fn word(body: &[u8], at: usize) -> Result<u16, Fault> {
    Ok(u16::from_be_bytes([byte(body, at)?, byte(body, at + 1)?]))
}

fn kind(marker: u8) -> &'static str {
    match marker {
        0xc3 | 0xc7 | 0xcb | 0xcf => "lossless",
        0xc5 | 0xc6 => "hierarchical",
        _ => "arithmetic coding",
    }
}
