//! Valid files, byte by byte.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

/// Content packed by gzip, without effort.
pub(super) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(content).expect("memory");
    encoder.finish().expect("memory")
}

/// An archive of members that are stored as they are.
pub(super) fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut file = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, content) in members {
        file.start_file(format!("{name}.npy"), options).expect("a name");
        file.write_all(content).expect("memory");
    }
    file.finish().expect("memory").into_inner()
}

/// A NumPy array of version 1.
pub(super) fn npy(kind: &str, shape: &[usize], values: &[u8]) -> Vec<u8> {
    let shape: String = shape.iter().map(|length| format!("{length}, ")).collect();
    let mut header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': ({shape}), }}");
    header += &" ".repeat(63 - (10 + header.len()) % 64);
    header.push('\n');
    [b"\x93NUMPY\x01\0".as_slice(), &(header.len() as u16).to_le_bytes(), header.as_bytes(), values].concat()
}

/// Little-endian bytes of numbers.
pub(super) fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A safetensors file: each tensor's name, type, shape and values.
pub(super) fn tensors(all: &[(&str, &str, &[usize], Vec<u8>)]) -> Vec<u8> {
    let (mut header, mut values) = (serde_json::Map::new(), vec![]);
    for (name, kind, shape, bytes) in all {
        let offsets = [values.len(), values.len() + bytes.len()];
        header.insert((*name).into(), serde_json::json!({"dtype": kind, "shape": shape, "data_offsets": offsets}));
        values.extend(bytes);
    }
    let header = serde_json::Value::from(header).to_string();
    [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &values].concat()
}

/// A file of IDX, whose axes are 4-byte numbers.
pub(super) fn idx(shape: &[u32], values: &[u8]) -> Vec<u8> {
    let axes: Vec<u8> = shape.iter().flat_map(|length| length.to_be_bytes()).collect();
    [&[0, 0, 8, shape.len() as u8], axes.as_slice(), values].concat()
}

/// A WAV file: the coding's tag, channels, rate, bits of a sample and its bytes.
pub(super) fn wav(tag: u16, channels: u16, rate: u32, bits: u16, data: &[u8]) -> Vec<u8> {
    let block = channels * bits / 8;
    let mut format = [tag.to_le_bytes(), channels.to_le_bytes()].concat();
    [rate, rate * u32::from(block)].iter().for_each(|word| format.extend(word.to_le_bytes()));
    [block, bits].iter().for_each(|word| format.extend(word.to_le_bytes()));
    let chunk =
        |name: &[u8; 4], content: &[u8]| [name.as_slice(), &(content.len() as u32).to_le_bytes(), content].concat();
    let body = [b"WAVE".as_slice(), &chunk(b"fmt ", &format), &chunk(b"data", data)].concat();
    chunk(b"RIFF", &body)
}

/// An AIFF file of 16-bit samples in mono at 8,000 Hz.
pub(super) fn aiff(samples: &[i16]) -> Vec<u8> {
    let chunk =
        |name: &[u8; 4], content: &[u8]| [name.as_slice(), &(content.len() as u32).to_be_bytes(), content].concat();
    // 8,000 as a number of 80 bits.
    let rate = [0x40, 0x0b, 0xfa, 0, 0, 0, 0, 0, 0, 0];
    let head = [&[0, 1], (samples.len() as u32).to_be_bytes().as_slice(), &[0, 16], &rate].concat();
    let values: Vec<u8> = samples.iter().flat_map(|value| value.to_be_bytes()).collect();
    let sound = [&[0; 8], values.as_slice()].concat();
    chunk(b"FORM", &[b"AIFF".as_slice(), &chunk(b"COMM", &head), &chunk(b"SSND", &sound)].concat())
}

/// Frames of MP3 that are silence: 128 kbit/s at 44,100 Hz.
pub(super) fn mp3(frames: usize) -> Vec<u8> {
    [[0xff, 0xfb, 0x90, 0x64].as_slice(), &[0; 413]].concat().repeat(frames)
}
